// prov-ledger fixtures: histories as files, made from a seed or taken from a ledger.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { projectors } from '#projectors/index.ts';
import { skipsIn } from '#projectors/rebuild/skips.ts';
import { generateFixtureBeside } from '#replay-harness/fixtures/beside.ts';
import { recordFixture } from '#replay-harness/fixtures/record.ts';
import type { Seq, TenantId } from '#schemas/ids.ts';
import {
  aCount,
  aSeq,
  type CommandContext,
  group,
  headOf,
  leaf,
  ledgerLeaf,
  type Options,
  parsedBy,
  type Run,
  tenantArgument,
} from './command.ts';
import { CliError } from './exit.ts';
import { count, figure } from './output.ts';
import { startProgress } from './progress.ts';
import { writeWhole } from './whole-file.ts';

const SEED_MAX = 4_294_967_295;

export const aSeed = parsedBy((raw: string): number => {
  if (!/^\d{1,10}$/.test(raw) || Number(raw) > SEED_MAX)
    throw new Error(`use a whole number from 0 to ${SEED_MAX}`);
  return Number(raw);
});

const OUT = 'the file to write, compressed when its name ends in .gz or .zst';

/** A folder of this process's own, gone when the work is done, however it ends. */
export const inScratchFolder = async <T>(work: (folder: string) => Promise<T>): Promise<T> => {
  const folder = await mkdtemp(join(tmpdir(), 'prov-ledger-'));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};

class Interrupted extends Error {}

interface Writing {
  readonly out: string;
  readonly events: number;
  readonly done: () => number;
  readonly verb: string;
  readonly quiet: boolean | undefined;
}

/** Writes with progress; false when it was interrupted, and there is no file then. */
const writeFixture = async (
  { world }: CommandContext,
  texts: Iterable<string> | AsyncIterable<string>,
  { out, events, done, verb, quiet }: Writing,
): Promise<boolean> => {
  const progress = startProgress({
    terminal: world.stderr,
    unit: 'events',
    verb,
    enabled: quiet !== true,
    state: () => ({ done: done(), share: done() / events }),
  });
  const untilAborted = async function* () {
    for await (const text of texts) {
      if (world.signal.aborted) throw new Interrupted();
      yield text;
    }
  };
  try {
    await writeWhole(out, untilAborted());
    return !world.signal.aborted;
  } catch (error) {
    if (error instanceof Interrupted) return false;
    throw error;
  } finally {
    progress.stop();
  }
};

interface GenerateOptions extends Options {
  readonly events: number;
  readonly seed: number;
  readonly tenants: number;
  readonly out: string;
  readonly quiet?: boolean;
}

const generate = (run: Run): Command =>
  leaf<GenerateOptions>(
    run,
    {
      usage: 'generate',
      summary: 'a fixture out of a seed: the same options give the same bytes on any machine',
      examples: [
        'fixtures generate --events 100000 --out small.ndjson.zst',
        'fixtures generate --events 5000000 --seed 7 --tenants 3 --out large.ndjson.zst',
      ],
      build: (command) =>
        command
          .requiredOption('--events <n>', 'facts, repetitions and conflicts together', aCount(999_999_999))
          .requiredOption('-o, --out <file>', OUT)
          .option('--seed <n>', 'what everything is drawn from', aSeed, 7)
          .option('--tenants <n>', 'how many chains; the first ones are the busiest', aCount(100_000), 3)
          .option('-q, --quiet', 'no progress'),
    },
    async (context, { events, seed, tenants, out, quiet }) => {
      if (tenants > events)
        throw new CliError(
          'usage',
          'too-few-events',
          `each of ${tenants} tenants takes an event to open: give more`,
        );
      let lines = 0;
      const counted = async function* (texts: AsyncIterable<string>) {
        for await (const text of texts) {
          yield text;
          for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) lines += 1;
        }
      };
      const written = await inScratchFolder((folder) =>
        writeFixture(context, counted(generateFixtureBeside({ events, seed, tenants, projectors, folder })), {
          out,
          events,
          done: () => lines,
          verb: 'generated',
          quiet,
        }),
      );
      if (!written) return 'interrupted';
      context.output.answer(
        { events, seed, tenants, file: out },
        () =>
          `${figure(events)} events of ${count(tenants, 'tenant')} in ${out}; replay them with \`prov-ledger replay --fixture ${out}\``,
      );
      return 'ok';
    },
  );

interface RecordOptions extends Options {
  readonly from?: Seq;
  readonly to?: Seq;
  readonly out: string;
  readonly quiet?: boolean;
}

const record = (run: Run): Command =>
  ledgerLeaf<RecordOptions>(
    run,
    {
      usage: 'record <tenant>',
      summary:
        "a fixture out of a tenant's chain as it is stored, or a part of it; it holds what the facts say",
      examples: [
        'fixtures record acme --out acme.ndjson.zst',
        'fixtures record acme --from 1000 --to 2000 --out part.ndjson',
      ],
      build: (command) =>
        command
          .requiredOption('-o, --out <file>', OUT)
          .option('--from <seq>', 'the first fact; 1 unless given', aSeq)
          .option('--to <seq>', 'the last fact; the head unless given', aSeq)
          .option('-q, --quiet', 'no progress'),
    },
    async (context, { from = 1 as Seq, to, out, quiet }, args) => {
      const { ledger, world, output } = context;
      const { tenant, seq: last } = await headOf(ledger, tenantArgument(args));
      const range = rangeOf(tenant, { from, to: to ?? last, last });
      let facts = 0;
      const onFacts = (more: number): void => {
        facts += more;
      };
      const { store } = ledger;
      const written = await inScratchFolder((folder) =>
        writeFixture(
          context,
          recordFixture({
            store,
            ranges: [range],
            projectors,
            skips: skipsIn(store),
            folder,
            signal: world.signal,
            onFacts,
          }),
          { out, events: range.to - range.from + 1, done: () => facts, verb: 'recorded', quiet },
        ),
      );
      if (!written) return 'interrupted';
      output.answer({ ...range, facts, file: out }, () => `${count(facts, 'fact')} of ${tenant} in ${out}`);
      return 'ok';
    },
  );

const rangeOf = (
  tenant: TenantId,
  { from, to, last }: { readonly from: Seq; readonly to: Seq; readonly last: Seq },
) => {
  if (from <= to && to <= last) return { tenant, from, to };
  throw new CliError(
    'usage',
    'no-such-range',
    `${tenant} has facts 1 to ${last}; there is no range from ${from} to ${to}`,
  );
};

export const fixtureCommands = (run: Run): Command =>
  group('fixtures', 'histories as files, for replays', [generate(run), record(run)]);
