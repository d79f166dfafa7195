// Answers to requests that are not stored now, because they were stored before or may not be stored at all.
import { payloadHash } from '#proofs/chain.ts';
import type { BatchProof } from '#proofs/checkpoint.ts';
import type { FactId, Seq } from '#schemas/ids.ts';
import type { Appended, AppendRequest, AppendResult } from '#streams/stream.ts';
import type { QueuedAppend } from './append-queue.ts';
import type { Client } from './connect.ts';
import { proofsOf } from './proof.ts';
import { findFacts, readHeads, type StoredHead } from './reader.ts';
import type { StoredFact } from './rows.ts';

/** Answers the requests of which some fact is stored already; returns the others, in their order. */
export const answerStored = async (
  client: Client,
  ledgerId: string,
  items: readonly QueuedAppend[],
): Promise<readonly QueuedAppend[]> => {
  const byTenant = Map.groupBy(items, (item) => item.request.tenant);
  const heads = await readHeads(client, [...byTenant.keys()]);
  const answered = new Set<QueuedAppend>();
  for (const head of heads) {
    const group = byTenant.get(head.tenant) ?? [];
    for (const item of await answerTenant(client, { ledgerId, head, items: group })) answered.add(item);
  }
  return items.filter((item) => !answered.has(item));
};

interface TenantItems {
  readonly ledgerId: string;
  readonly head: StoredHead;
  readonly items: readonly QueuedAppend[];
}

const answerTenant = async (
  client: Client,
  { ledgerId, head, items }: TenantItems,
): Promise<readonly QueuedAppend[]> => {
  const ids = items.flatMap(({ request }) => request.drafts.map((draft) => draft.id));
  const stored = new Map((await findFacts(client, head, ids)).map((found) => [found.fact.id, found]));
  const repeated = items.filter(({ request }) => request.drafts.some((draft) => stored.has(draft.id)));
  // Together, because facts that were sent together mostly stand in the same batch.
  const seqs = [...stored.values()].map(({ fact }) => fact.seq);
  const proofs =
    repeated.length > 0 ? await proofsOf(client, { ledgerId, head, seqs }) : new Map<Seq, BatchProof>();
  for (const item of repeated) item.settle(repetition(item.request, stored, proofs));
  return repeated;
};

/** The first answer again when the request is the one that was stored; else the fact that holds the claim. */
const repetition = (
  { drafts, requestHash }: AppendRequest,
  stored: ReadonlyMap<FactId, StoredFact>,
  proofs: ReadonlyMap<Seq, BatchProof>,
): AppendResult => {
  const found = drafts.flatMap((draft) => stored.get(draft.id) ?? []);
  const [draft] = drafts;
  const first = draft && stored.get(draft.id);
  const same =
    draft &&
    first &&
    (first.requestHash ?? payloadHash(first.fact.payload)) === (requestHash ?? payloadHash(draft.payload));
  if (!same) return { kind: 'id-taken', first: (found[0] as StoredFact).fact };
  const facts = found.flatMap(({ fact }): Appended[] => {
    const proof = proofs.get(fact.seq);
    return proof ? [{ fact, proof }] : [];
  });
  return { kind: 'repeated', facts };
};
