// prov-ledger ingest: a file or standard input into a tenant's chain.
import type { Command } from 'commander';
import type { TenantId } from '#schemas/ids.ts';
import {
  type IngestCounts,
  type IngestProgress,
  ingestByAppending,
  type Rejection,
} from '../ingest/appending.ts';
import { type BulkImport, ingestInBulk } from '../ingest/bulk-progress.ts';
import { loadResumption, type Resumption, type ResumptionKey } from '../ingest/resumption.ts';
import { fileDigest, fileSource, type Source, streamSource } from '../ingest/source.ts';
import { assertOpen } from '../tenancy/write-gate.ts';
import {
  aCount,
  aTenant,
  headOf,
  type LedgerContext,
  ledgerLeaf,
  type Options,
  type Run,
} from './command.ts';
import { type Memory, rejectsTo, savedRegularly } from './ingest-records.ts';
import { loadMapping } from './mapping-file.ts';
import { count, figure } from './output.ts';
import { startProgress } from './progress.ts';

interface IngestOptions extends Options {
  readonly tenant: TenantId;
  readonly mapping: string;
  readonly rejects?: string;
  readonly again?: boolean;
  readonly quiet?: boolean;
  readonly inFlight?: number;
}

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
          .option(
            '--in-flight <count>',
            'send line by line, this many under way at most (1000 for standard input); a file goes in bulk unless given',
            aCount(20_000),
          )
          .option('-q, --quiet', 'no progress'),
    },
    async (context, options, [file = '-']) => {
      await headOf(context.ledger, options.tenant);
      await assertOpen(context.ledger.store, options.tenant, 'receipts');
      const mapping = await loadMapping(options.mapping);
      const source =
        file === '-' ? streamSource('standard input', () => context.world.stdin) : await fileSource(file);
      // Standard input may be slow, and its lines shall not wait for a chunk to fill.
      const bulk = file !== '-' && options.inFlight === undefined ? context.ledger.importInBulk : undefined;
      const unit = bulk ? 'bytes' : 'lines';
      const memory =
        file === '-' ? undefined : await remember(context, { file, unit, mapping: mapping.digest, options });
      return await ingest(context, { source, mapping, memory, bulk, options });
    },
  );

interface Remembering extends Pick<ResumptionKey, 'unit' | 'mapping'> {
  readonly file: string;
  readonly options: IngestOptions;
}

const remember = async (
  { ledger, world }: LedgerContext,
  { file, unit, mapping, options }: Remembering,
): Promise<Memory> => {
  const folder = world.resumptionFolder();
  const key = {
    ledgerId: ledger.store.ledgerId,
    tenant: options.tenant,
    source: await fileDigest(file),
    mapping,
    unit,
  };
  const before = options.again
    ? { through: 0, rejected: [] }
    : await loadResumption(folder, key, ledger.store);
  return { folder, key, before };
};

interface Job {
  readonly source: Source;
  readonly mapping: Awaited<ReturnType<typeof loadMapping>>;
  readonly memory: Memory | undefined;
  readonly bulk: BulkImport | undefined;
  readonly options: IngestOptions;
}

const begin = (
  { world, ledger }: LedgerContext,
  job: Job,
  onReject: (rejection: Rejection) => void,
): IngestProgress => {
  const { source, mapping, memory, bulk, options } = job;
  const { signal, clock } = world;
  const { tenant, inFlight = 1_000 } = options;
  if (bulk) {
    const behind = memory?.before.through ?? 0;
    return ingestInBulk({
      importInBulk: bulk,
      tenant,
      mapping: mapping.content,
      bytes: source.bytes(signal),
      behind,
      onReject,
      signal,
      clock,
    });
  }
  const lines = source.lines(signal);
  const skip = memory && skipper(memory.before);
  const { store } = ledger;
  return ingestByAppending({
    store,
    tenant,
    mapping: mapping.mapping,
    lines,
    signal,
    clock,
    onReject,
    inFlight,
    ...(skip && { skip }),
  });
};

const ingest = async (context: LedgerContext, job: Job) => {
  const { world, output } = context;
  const { source, memory, options } = job;
  // Read models that stand at the head are then kept in the import's own transactions.
  if (job.bulk) await context.ledger.catchUp(world.signal);
  const rejects = rejectsTo(context, options.rejects);
  const startedAt = performance.now();
  const work = begin(context, job, rejects.add);
  const saving = savedRegularly(context, memory, work, job.bulk ? [] : rejects.lines);
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
