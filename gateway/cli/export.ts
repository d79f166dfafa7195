// prov-ledger export: a tenant's chain, or a part of it, into a file that can be verified offline.
import type { Command } from 'commander';
import type { Seq, TenantId } from '#schemas/ids.ts';
import { exportLines } from '../export/chain-text.ts';
import {
  aSeq,
  headOf,
  type LedgerContext,
  ledgerLeaf,
  type Options,
  type Run,
  tenantArgument,
} from './command.ts';
import { CliError } from './exit.ts';
import { count, figure } from './output.ts';
import { startProgress } from './progress.ts';
import { writeWhole } from './whole-file.ts';
import type { Terminal } from './world.ts';

interface ExportOptions extends Options {
  readonly out?: string;
  readonly from?: Seq;
  readonly to?: Seq;
  readonly quiet?: boolean;
}

export const exportCommand = (run: Run): Command =>
  ledgerLeaf<ExportOptions>(
    run,
    {
      usage: 'export <tenant>',
      summary: "a tenant's facts and signatures as NDJSON, to be verified offline with the public keys",
      examples: [
        'export acme --out acme.ndjson.gz',
        'export acme --from 1000 --to 2000 --out part.ndjson',
        'export acme | gzip > acme.ndjson.gz',
      ],
      build: (command) =>
        command
          .option(
            '-o, --out <file>',
            'write to a file, compressed when its name ends in .gz or .zst; standard output unless given',
          )
          .option('--from <seq>', 'the first fact; 1 unless given', aSeq)
          .option('--to <seq>', 'the last fact; the head unless given', aSeq)
          .option('-q, --quiet', 'no progress'),
    },
    async (context, options, args) => {
      const { tenant, seq: last } = await headOf(context.ledger, tenantArgument(args));
      const { from = 1 as Seq, to = last } = options;
      if (from > to || to > last) {
        throw new CliError(
          'usage',
          'no-such-range',
          `${tenant} has facts 1 to ${last}; there is no range from ${from} to ${to}`,
        );
      }
      return await exportRange(context, { tenant, from, to }, options);
    },
  );

interface Range {
  readonly tenant: TenantId;
  readonly from: Seq;
  readonly to: Seq;
}

const exportRange = async (
  { ledger, output, world }: LedgerContext,
  range: Range,
  { out, quiet }: ExportOptions,
) => {
  const { tenant, from, to } = range;
  const totals = { facts: 0 };
  const lines = untilAborted(
    exportLines(ledger.store, { ...range, jwks: ledger.jwks(), totals }),
    world.signal,
  );
  const progress = startProgress({
    terminal: world.stderr,
    unit: 'facts',
    verb: 'exported',
    enabled: quiet !== true && out !== undefined,
    state: () => ({ done: totals.facts, share: totals.facts / (to - from + 1) }),
  });
  try {
    if (out === undefined) await writeOut(world.stdout, lines);
    else await writeWhole(out, lines);
  } catch (error) {
    if (!(error instanceof Interrupted)) throw error;
  } finally {
    progress.stop();
  }
  if (world.signal.aborted) return 'interrupted';
  if (out !== undefined) {
    output.answer(
      { tenant, from, to, facts: totals.facts, file: out },
      () =>
        `${count(totals.facts, 'fact')} of ${tenant} (${figure(from)} to ${figure(to)}) in ${out}; verify with \`prov-ledger verify export ${out} --jwks jwks.json\``,
    );
  }
  return 'ok';
};

const writeOut = async (stdout: Terminal, lines: AsyncIterable<string>): Promise<void> => {
  for await (const text of lines) if (stdout.write(text) === false) await drained(stdout);
};

const drained = async (stream: unknown): Promise<void> => {
  const { promise, resolve } = Promise.withResolvers<void>();
  (stream as NodeJS.WritableStream).once('drain', resolve);
  await promise;
};

class Interrupted extends Error {}

const untilAborted = async function* (
  lines: AsyncIterable<string>,
  signal: AbortSignal,
): AsyncGenerator<string> {
  for await (const text of lines) {
    if (signal.aborted) throw new Interrupted('interrupted');
    yield text;
  }
};
