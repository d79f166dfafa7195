// prov-ledger export: a tenant's chain, or a part of it, into a file that can be verified offline. The file appears
// under its name when it is complete, never before.
import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import type { Command } from 'commander';
import { type ChainPosition, CHAIN_START } from '#proofs/chain.ts';
import { batchLine, type ExportedBatch, endLine, factLine, headerLine } from '#proofs/export.ts';
import type { KeySet } from '#proofs/keys/public-key.ts';
import type { Recorded } from '#schemas/event.ts';
import type { Seq, TenantId } from '#schemas/ids.ts';
import type { StreamStore } from '#streams/stream.ts';
import { aSeq, headOf, ledgerLeaf, type Options, type Run, tenantArgument } from './command.ts';
import { CliError } from './exit.ts';
import { count, figure } from './output.ts';
import { startProgress } from './progress.ts';
import { hashesOf } from './verify-chain.ts';

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
      examples: ['export acme --out acme.ndjson.gz', 'export acme --from 1000 --to 2000 --out part.ndjson', 'export acme | gzip > acme.ndjson.gz'],
      build: (command) =>
        command
          .option('-o, --out <file>', 'write to a file, compressed when its name ends in .gz; standard output unless given')
          .option('--from <seq>', 'the first fact; 1 unless given', aSeq)
          .option('--to <seq>', 'the last fact; the head unless given', aSeq)
          .option('-q, --quiet', 'no progress'),
    },
    async ({ ledger, output, world }, options, args) => {
      const head = await headOf(ledger, tenantArgument(args));
      const from = options.from ?? (1 as Seq);
      const to = options.to ?? head.seq;
      if (from > to || to > head.seq) throw new CliError('usage', 'no-such-range', `${head.tenant} has facts 1 to ${head.seq}; there is no range from ${from} to ${to}`);
      const totals = { facts: 0 };
      const lines = exportLines(ledger.store, { tenant: head.tenant, from, to, jwks: ledger.jwks(), signal: world.signal, totals });
      const progress = startProgress({ terminal: world.stderr, unit: 'facts', verb: 'exported', enabled: options.quiet !== true && options.out !== undefined, state: () => ({ done: totals.facts, share: totals.facts / (to - from + 1) }) });
      try {
        if (options.out === undefined) {
          for await (const text of lines) if (world.stdout.write(text) === false) await drained(world.stdout);
        } else await writeWhole(options.out, lines);
      } finally {
        progress.stop();
      }
      if (world.signal.aborted) return 'interrupted';
      if (options.out !== undefined) {
        const { out } = options;
        output.answer({ tenant: head.tenant, from, to, facts: totals.facts, file: out }, () => `${count(totals.facts, 'fact')} of ${head.tenant} (${figure(from)} to ${figure(to)}) in ${out}; verify with \`prov-ledger verify export ${out} --jwks jwks.json\``);
      }
      return 'ok';
    },
  );

const drained = async (stream: unknown): Promise<void> => {
  const { promise, resolve } = Promise.withResolvers<void>();
  (stream as NodeJS.WritableStream).once('drain', resolve);
  await promise;
};

const writeWhole = async (path: string, lines: AsyncIterable<string>): Promise<void> => {
  const draft = `${path}.partial`;
  try {
    const source = Readable.from(lines);
    const file = createWriteStream(draft, { flags: 'w', flush: true });
    if (path.endsWith('.gz')) await pipeline(source, createGzip(), file);
    else await pipeline(source, file);
    await rename(draft, path);
  } catch (error) {
    await rm(draft, { force: true });
    if (error instanceof Interrupted) return;
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === undefined || !/^E[A-Z]+$/.test(code)) throw error;
    throw new CliError('unavailable', 'file-unwritable', `${path} cannot be written: ${message}`, { cause: error });
  }
};

class Interrupted extends Error {}

export interface ExportRequest {
  readonly tenant: TenantId;
  readonly from: Seq;
  readonly to: Seq;
  readonly jwks: KeySet;
  readonly signal?: AbortSignal;
  /** Counted as they are written. */
  readonly totals: { facts: number };
}

type Store = Pick<StreamStore, 'ledgerId' | 'read' | 'proof'>;

/** The export's text, some lines at a time. */
export const exportLines = async function* (store: Store, { tenant, from, to, jwks, signal, totals }: ExportRequest): AsyncGenerator<string> {
  const before = await placeBefore(store, tenant, from);
  yield `${headerLine({ ledgerId: store.ledgerId, tenant, from, to, before }, jwks)}\n`;
  let position = before;
  let batches = 0;
  let batch: ExportedBatch | undefined;
  for await (const page of store.read(tenant, { from, to })) {
    if (signal?.aborted) throw new Interrupted('interrupted');
    let text = '';
    for (const fact of page) {
      batch ??= await batchOf(store, fact, { from, to });
      text += `${factLine(fact)}\n`;
      position = { seq: fact.seq, hash: fact.hash, recordedAt: fact.recordedAt };
      totals.facts += 1;
      if (fact.seq < Math.min(to, batch.firstSeq + batch.proof.path.factCount - 1)) continue;
      text += `${batchLine(batch)}\n`;
      batches += 1;
      batch = undefined;
    }
    yield text;
  }
  yield `${endLine({ facts: totals.facts, batches, head: position })}\n`;
};

const placeBefore = async (store: Store, tenant: TenantId, from: Seq): Promise<ChainPosition> => {
  const before = (from - 1) as Seq;
  if (before < 1) return CHAIN_START;
  for await (const [fact] of store.read(tenant, { from: before, to: before })) {
    if (fact) return { seq: fact.seq, hash: fact.hash, recordedAt: fact.recordedAt };
  }
  return CHAIN_START;
};

/** The batch that signs a fact, with the hashes of those of its facts that the range leaves out. */
const batchOf = async (store: Store, { tenant, seq }: Recorded, { from, to }: { readonly from: Seq; readonly to: Seq }): Promise<ExportedBatch> => {
  const proof = await store.proof(tenant, seq);
  if (!proof) throw new CliError('internal', 'unsigned', `no signature covers fact ${seq} of ${tenant}: run \`prov-ledger verify tenant ${tenant}\``);
  const firstSeq = (seq - proof.path.factIndex) as Seq;
  const lastSeq = firstSeq + proof.path.factCount - 1;
  const hashesBefore = firstSeq < from ? await hashesOf(store, tenant, { firstSeq, count: from - firstSeq }) : [];
  const hashesAfter = lastSeq > to ? await hashesOf(store, tenant, { firstSeq: to + 1, count: lastSeq - to }) : [];
  return { proof, firstSeq, hashesBefore, hashesAfter };
};
