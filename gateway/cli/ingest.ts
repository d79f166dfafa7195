// prov-ledger ingest: a file or standard input into a tenant's chain.
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import type { Command } from 'commander';
import type { TenantId } from '#schemas/ids.ts';
import {
  type IngestCounts,
  type IngestProgress,
  ingestByAppending,
  type Rejection,
} from '../ingest/appending.ts';
import type { Mapping } from '../ingest/mapping.ts';
import { loadResumption, type Resumption, type ResumptionKey, saveResumption } from '../ingest/resumption.ts';
import { fileDigest, fileSource, type Source, streamSource } from '../ingest/source.ts';
import {
  aCount,
  aTenant,
  headOf,
  type LedgerContext,
  ledgerLeaf,
  type Options,
  type Run,
} from './command.ts';
import { CliError } from './exit.ts';
import { loadMapping } from './mapping-file.ts';
import { count, figure, visible } from './output.ts';
import { startProgress } from './progress.ts';

interface IngestOptions extends Options {
  readonly tenant: TenantId;
  readonly mapping: string;
  readonly rejects?: string;
  readonly again?: boolean;
  readonly quiet?: boolean;
  readonly inFlight?: number;
}

const REJECTIONS_SHOWN = 50;
const SAVE_MS = 2_000;

export const ingestCommand = (run: Run): Command =>
  ledgerLeaf<IngestOptions>(
    run,
    {
      usage: 'ingest <file>',
      summary: 'take in receipts, one JSON object a line (NDJSON; plain, gzip or zstd; - for standard input)',
      examples: [
        'ingest receipts.ndjson --tenant acme',
        'ingest commits.ndjson.gz --tenant acme --mapping git-commits --rejects bad.ndjson',
        'ingest - --tenant acme < receipts.ndjson',
      ],
      build: (command) =>
        command
          .requiredOption('-t, --tenant <tenant>', 'the tenant whose chain they go into', aTenant)
          .option(
            '-m, --mapping <file>',
            'how a line becomes a receipt: a mapping file, or a shipped one by name (git-commits, identity)',
            'identity',
          )
          .option('--rejects <file>', 'write the lines that did not go in, with the reason, as NDJSON')
          .option(
            '--again',
            'send every line, also those an earlier run had acknowledged (harmless: nothing is stored twice)',
          )
          .option('--in-flight <count>', 'lines under way at most', aCount(20_000), 1_000)
          .option('-q, --quiet', 'no progress'),
    },
    async (context, options, [file = '-']) => {
      await headOf(context.ledger, options.tenant);
      const { mapping, digest } = await loadMapping(options.mapping);
      const source =
        file === '-' ? streamSource('standard input', () => context.world.stdin) : await fileSource(file);
      const memory = file === '-' ? undefined : await remember(context, { file, digest, options });
      return await ingest(context, { source, mapping, memory, options });
    },
  );

interface Memory {
  readonly folder: string;
  readonly key: ResumptionKey;
  readonly before: Resumption;
}

const remember = async (
  { ledger, world }: LedgerContext,
  { file, digest, options }: { file: string; digest: string; options: IngestOptions },
): Promise<Memory> => {
  const folder = world.resumptionFolder();
  const key = {
    ledgerId: ledger.store.ledgerId,
    tenant: options.tenant,
    source: await fileDigest(file),
    mapping: digest,
  };
  const before = options.again
    ? { through: 0, rejected: [] }
    : await loadResumption(folder, key, ledger.store);
  return { folder, key, before };
};

interface Job {
  readonly source: Source;
  readonly mapping: Mapping;
  readonly memory: Memory | undefined;
  readonly options: IngestOptions;
}

const ingest = async (context: LedgerContext, job: Job) => {
  const { world, ledger, output } = context;
  const { source, mapping, memory, options } = job;
  const rejects = rejectsTo(context, options.rejects);
  const skippable = memory && skipper(memory.before);
  const startedAt = performance.now();
  const work = ingestByAppending({
    store: ledger.store,
    tenant: options.tenant,
    mapping,
    lines: source.lines(world.signal),
    signal: world.signal,
    clock: world.clock,
    onReject: rejects.add,
    inFlight: options.inFlight ?? 1_000,
    ...(skippable && { skip: skippable }),
  });
  const saving = savedRegularly(context, memory, work, rejects.lines);
  const progress = startProgress({
    terminal: world.stderr,
    unit: 'lines',
    verb: 'ingested',
    enabled: options.quiet !== true,
    state: () => ({
      done: settled(work.counts()),
      share: source.size === undefined ? undefined : source.consumed() / Math.max(source.size, 1),
    }),
  });
  let failure: unknown;
  await work.done.catch((error: unknown) => {
    failure = error;
  });
  progress.stop();
  await saving.stop();
  await rejects.close();
  const seconds = (performance.now() - startedAt) / 1000;
  if (failure !== undefined) {
    output.note(`after ${summary(work.counts(), seconds)}: run the same command again to go on`);
    throw failure;
  }
  const interrupted = world.signal.aborted;
  if (!interrupted) await projected(context, options.quiet === true);
  await report(context, { job, work, seconds, rejects: rejects.lines.length, interrupted });
  if (interrupted) return 'interrupted';
  return rejects.lines.length > 0 ? 'refused' : 'ok';
};

const settled = ({ recorded, repeated, rejected, skipped, blank }: IngestCounts): number =>
  recorded + repeated + rejected + skipped + blank;

const summary = (counts: IngestCounts, seconds: number): string => {
  const parts = [`${figure(counts.recorded)} recorded`];
  if (counts.repeated > 0) parts.push(`${figure(counts.repeated)} had been recorded before`);
  if (counts.skipped > 0) parts.push(`${figure(counts.skipped)} skipped (acknowledged to an earlier run)`);
  if (counts.rejected > 0) parts.push(`${figure(counts.rejected)} rejected`);
  const sent = counts.recorded + counts.repeated + counts.rejected;
  return `${parts.join(', ')} in ${seconds.toFixed(1)} s (${figure(sent / seconds)} lines/s)`;
};

interface Ended {
  readonly job: Job;
  readonly work: IngestProgress;
  readonly seconds: number;
  readonly rejects: number;
  readonly interrupted: boolean;
}

const report = async (
  { ledger, output }: LedgerContext,
  { job, work, seconds, rejects, interrupted }: Ended,
): Promise<void> => {
  const { source, options } = job;
  const counts = work.counts();
  const head = await ledger.store.head(options.tenant);
  const lines = settled(counts);
  output.answer(
    {
      tenant: options.tenant,
      source: source.name,
      lines,
      ...counts,
      interrupted,
      seconds: Number(seconds.toFixed(3)),
      head: head && { seq: head.seq, hash: head.hash },
    },
    () =>
      [
        `${options.tenant}: ${count(lines, 'line')} of ${source.name}: ${summary(counts, seconds)}`,
        ...(head ? [`head: fact ${figure(head.seq)}, ${head.hash}`] : []),
        ...(interrupted
          ? [
              'interrupted: everything under way was finished; run the same command again to go on where it ended',
            ]
          : []),
        ...(rejects > 0
          ? [
              `${count(rejects, 'line')} did not go in${options.rejects === undefined ? '; --rejects FILE writes them down' : `: see ${options.rejects}`}`,
            ]
          : []),
      ].join('\n'),
  );
};

const projected = async ({ ledger, world, output }: LedgerContext, quiet: boolean): Promise<void> => {
  if (!quiet && world.stderr.isTTY) output.note('bringing the read models up to date');
  await ledger.catchUp(world.signal);
};

const skipper = ({ through, rejected }: Resumption): ((line: number) => boolean) => {
  const not = new Set(rejected);
  return (line) => line <= through && !not.has(line);
};

/** Each rejected line on standard error, up to a number, and all of them in the file that was asked for. */
const rejectsTo = ({ output }: LedgerContext, path: string | undefined) => {
  const lines: number[] = [];
  const file = path === undefined ? undefined : createWriteStream(path);
  let failure: Error | undefined;
  file?.on('error', (error) => {
    failure = error;
  });
  return {
    lines,
    add: (rejection: Rejection): void => {
      lines.push(rejection.line);
      file?.write(`${JSON.stringify(rejection)}\n`);
      if (lines.length <= REJECTIONS_SHOWN)
        output.note(`line ${rejection.line}: ${rejection.code}: ${visible(rejection.message)}`);
      else if (lines.length === REJECTIONS_SHOWN + 1)
        output.note('further rejected lines are counted and not shown');
    },
    close: async (): Promise<void> => {
      if (!file) return;
      if (!failure) {
        file.end();
        await once(file, 'close').catch(() => undefined);
      }
      if (failure)
        throw new CliError(
          'unavailable',
          'rejects-unwritable',
          `${path} cannot be written: ${failure.message}`,
          { cause: failure },
        );
    },
  };
};

/** Writes down how far it has come, every now and then and at the end. A failure to do so only costs a later run time. */
const savedRegularly = (
  { ledger, output }: LedgerContext,
  memory: Memory | undefined,
  work: IngestProgress,
  rejected: readonly number[],
) => {
  if (!memory) return { stop: async () => undefined };
  let told = false;
  let running = Promise.resolve();
  const save = async (): Promise<void> => {
    const progress = { through: work.through(), rejected: [...rejected] };
    await saveResumption(memory.folder, memory.key, { progress, store: ledger.store }).catch(
      (error: Error) => {
        if (!told)
          output.note(
            `cannot remember how far this has come (${error.message}); a second run will send every line again, which is harmless`,
          );
        told = true;
      },
    );
  };
  const timer = setInterval(() => {
    running = running.then(save);
  }, SAVE_MS);
  return {
    stop: async (): Promise<void> => {
      clearInterval(timer);
      await running;
      await save();
    },
  };
};
