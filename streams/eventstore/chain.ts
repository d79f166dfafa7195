// What a process must know of a tenant's chain to decide an append: its end, which ids are claimed, and where each entity's
// facts stand. EventStoreDB has no index that moves together with a stream, so it is read from the stream itself, once
// from the beginning and then what is new: as of revision r it is whole, and an append that expects r and succeeds was
// decided from all there was. Memory: about 150 bytes a fact.
import { CHAIN_START } from '#proofs/chain.ts';
import type { FactId, Instant, Seq, StreamName, TenantId } from '#schemas/ids.ts';
import { StreamError } from '#streams/errors.ts';
import type { Head } from '#streams/stream.ts';
import { type EventStore, readEvents } from './connect.ts';
import { decodeFact, type StoredFact } from './record.ts';

export interface ChainIndex {
  readonly tenant: TenantId;
  /** Of a tenant without facts: seq 0. */
  readonly head: () => Head;
  readonly seqOf: (id: FactId) => Seq | undefined;
  readonly seqsOf: (stream: StreamName) => readonly Seq[];
  /** Reads what is new. Callers at one moment share the reading. */
  readonly catchUp: () => Promise<void>;
  /** Facts that this process has just stored behind the end; those that are known already are passed over. */
  readonly extend: (stored: readonly StoredFact[]) => void;
}

const PAGE = 1_000;

export const chainIndex = (store: EventStore, tenant: TenantId): ChainIndex => {
  const ids = new Map<FactId, Seq>();
  const streams = new Map<StreamName, Seq[]>();
  let head: Head = { tenant, seq: CHAIN_START.seq, hash: CHAIN_START.hash, recordedAt: 0 as Instant };
  let reading: Promise<void> | undefined;
  const extend = (stored: readonly StoredFact[]): void => {
    for (const { fact } of stored) {
      if (fact.seq <= head.seq) continue;
      if (fact.seq !== head.seq + 1 || fact.prevHash !== head.hash)
        throw new StreamError('corrupt', `${tenant}/${fact.seq} does not follow from ${head.seq}`);
      ids.set(fact.id, fact.seq);
      if (fact.stream !== undefined) {
        const seqs = streams.get(fact.stream);
        if (seqs) seqs.push(fact.seq);
        else streams.set(fact.stream, [fact.seq]);
      }
      head = { tenant, seq: fact.seq, hash: fact.hash, recordedAt: fact.recordedAt };
    }
  };
  const readNew = async (): Promise<void> => {
    for (;;) {
      const from = head.seq + 1;
      const page = await readFacts(store, tenant, { from, to: from + PAGE - 1 });
      extend(page);
      if (page.length < PAGE) return;
    }
  };
  return {
    tenant,
    head: () => head,
    seqOf: (id) => ids.get(id),
    seqsOf: (stream) => streams.get(stream) ?? [],
    catchUp: async () => {
      // Begun before this call, it may miss what this caller must see.
      if (reading) await reading.catch(() => undefined);
      reading ??= readNew().finally(() => {
        reading = undefined;
      });
      await reading;
    },
    extend,
  };
};

/** Both included; those that there are. Throws `corrupt` where one is missing between others. */
export const readFacts = async (
  store: EventStore,
  tenant: TenantId,
  { from, to }: { readonly from: number; readonly to: number },
): Promise<readonly StoredFact[]> => {
  const events = await readEvents(store, store.streams.chain(tenant), {
    from: from - 1,
    count: to - from + 1,
  });
  const facts = events.map((event) => decodeFact(event, tenant));
  const gap = facts.findIndex(({ fact }, index) => fact.seq !== from + index);
  if (gap === -1) return facts;
  throw new StreamError(
    'corrupt',
    `${tenant}/${from + gap}: facts below the head are missing; was the stream truncated or scavenged?`,
  );
};
