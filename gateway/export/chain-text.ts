// The text of an export (#proofs/export-lines.ts) from a store, some lines at a time: the command line writes it into a
// file, the service sends it. Nothing is read before it is asked for, so whoever takes slowly makes the reading slow,
// and ending the iteration ends it.
import { batchLine, type ExportedBatch, endLine, factLine, headerLine } from '#proofs/export-lines.ts';
import type { KeySet } from '#proofs/keys/public-key.ts';
import type { Recorded } from '#schemas/event.ts';
import type { Seq, TenantId } from '#schemas/ids.ts';
import type { StreamStore } from '#streams/stream.ts';
import { hashesOf, placeBefore } from './places.ts';

/** The store holds a fact that no signature covers: `prov-ledger verify` names the place. Repeating does not help. */
export class ExportError extends Error {
  override readonly name = 'ExportError';
  readonly code = 'unsigned';
}

export interface ExportRequest {
  readonly tenant: TenantId;
  readonly from: Seq;
  readonly to: Seq;
  readonly jwks: KeySet;
  /** Facts read at a time; 1,000 unless told. */
  readonly pageSize?: number;
  /** Counted as they are written. */
  readonly totals?: { facts: number };
}

type Store = Pick<StreamStore, 'ledgerId' | 'read' | 'proof'>;

/** The export's text, some lines at a time. */
export const exportLines = async function* (
  store: Store,
  { tenant, from, to, jwks, pageSize, totals = { facts: 0 } }: ExportRequest,
): AsyncGenerator<string> {
  const before = await placeBefore(store, tenant, from);
  yield `${headerLine({ ledgerId: store.ledgerId, tenant, from, to, before }, jwks)}\n`;
  let position = before;
  let batches = 0;
  let batch: ExportedBatch | undefined;
  for await (const page of store.read(tenant, { from, to, ...(pageSize !== undefined && { pageSize }) })) {
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

/** The batch that signs a fact, with the hashes of those of its facts that the range leaves out. */
const batchOf = async (
  store: Store,
  { tenant, seq }: Recorded,
  { from, to }: { readonly from: Seq; readonly to: Seq },
): Promise<ExportedBatch> => {
  const proof = await store.proof(tenant, seq);
  if (!proof)
    throw new ExportError(
      `no signature covers fact ${seq} of ${tenant}: run \`prov-ledger verify tenant ${tenant}\``,
    );
  const firstSeq = (seq - proof.path.factIndex) as Seq;
  const lastSeq = firstSeq + proof.path.factCount - 1;
  const hashesBefore =
    firstSeq < from ? await hashesOf(store, tenant, { firstSeq, count: from - firstSeq }) : [];
  const hashesAfter =
    lastSeq > to ? await hashesOf(store, tenant, { firstSeq: to + 1, count: lastSeq - to }) : [];
  return { proof, firstSeq, hashesBefore, hashesAfter };
};
