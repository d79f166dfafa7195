// Answers to requests that are not stored now, because they were stored before or may not be stored at all.
import { payloadHash } from '#proofs/chain.ts';
import type { FactId } from '#schemas/ids.ts';
import type { Appended, AppendRequest, AppendResult } from '#streams/stream.ts';
import type { QueuedAppend } from './batcher.ts';
import type { Client } from './connect.ts';
import { proofAt } from './proof.ts';
import { findFacts, readHeads, type StoredHead } from './reader.ts';
import type { StoredFact } from './rows.ts';

/** Answers the requests of which some fact is stored already; returns the others, in their order. */
export const answerStored = async (client: Client, ledgerId: string, items: readonly QueuedAppend[]): Promise<readonly QueuedAppend[]> => {
  const byTenant = Map.groupBy(items, (item) => item.request.tenant);
  const heads = await readHeads(client, [...byTenant.keys()]);
  const answered = new Set<QueuedAppend>();
  for (const head of heads) {
    const group = byTenant.get(head.tenant) ?? [];
    const ids = group.flatMap(({ request }) => request.drafts.map((draft) => draft.id));
    const stored = new Map((await findFacts(client, head, ids)).map((found) => [found.fact.id, found]));
    for (const item of group) {
      if (!item.request.drafts.some((draft) => stored.has(draft.id))) continue;
      item.settle(await repetition(client, { ledgerId, head, request: item.request, stored }));
      answered.add(item);
    }
  }
  return items.filter((item) => !answered.has(item));
};

interface Repetition {
  readonly ledgerId: string;
  readonly head: StoredHead;
  readonly request: AppendRequest;
  readonly stored: ReadonlyMap<FactId, StoredFact>;
}

/** The first answer again when the request is the one that was stored; else the fact that holds the claim. */
const repetition = async (client: Client, { ledgerId, head, request, stored }: Repetition): Promise<AppendResult> => {
  const found = request.drafts.flatMap((draft) => stored.get(draft.id) ?? []);
  const [draft] = request.drafts;
  const first = draft && stored.get(draft.id);
  const same = draft && first
    && (first.requestHash ?? payloadHash(first.fact.payload)) === (request.requestHash ?? payloadHash(draft.payload));
  if (!same) return { kind: 'id-taken', first: (found[0] as StoredFact).fact };
  const facts: Appended[] = [];
  for (const { fact } of found) {
    const proof = await proofAt(client, { ledgerId, head, seq: fact.seq });
    if (proof) facts.push({ fact, proof });
  }
  return { kind: 'repeated', facts };
};
