// Where the memory adapters keep facts: plain maps, shared by every store and feed opened on them as a database is.
import { randomUUID } from 'node:crypto';
import { CHAIN_START } from '#proofs/chain.ts';
import type { BatchProof } from '#proofs/checkpoint.ts';
import type { Recorded } from '#schemas/event.ts';
import type { FactId, Instant, Seq, Sha256, StreamName, TenantId } from '#schemas/ids.ts';
import type { Head } from '#streams/stream.ts';

export interface Entry {
  readonly fact: Recorded;
  readonly proof: BatchProof;
}

/** What holds an id: where the append began that brought it, how many facts that had, and of which request. */
export interface Claim {
  readonly first: Seq;
  readonly count: number;
  /** Of the request that the id stands for; absent for the ids after an append's first, which stand for none. */
  readonly requestHash: Sha256 | undefined;
  readonly fact: Recorded;
}

export interface Chain {
  /** Index is seq - 1. */
  readonly entries: Entry[];
  readonly claims: Map<FactId, Claim>;
  readonly streams: Map<StreamName, Seq[]>;
}

export interface MemoryStorage {
  readonly ledgerId: string;
  readonly chains: Map<TenantId, Chain>;
  /** Called after every commit. */
  readonly watchers: Set<() => void>;
  /** Runs one commit at a time, whichever store it comes from. */
  readonly exclusively: <T>(work: () => Promise<T>) => Promise<T>;
}

export const memoryStorage = (ledgerId: string = randomUUID()): MemoryStorage => {
  let last: Promise<unknown> = Promise.resolve();
  return {
    ledgerId,
    chains: new Map(),
    watchers: new Set(),
    exclusively: (work) => {
      const mine = last.then(work);
      last = mine.catch(() => undefined);
      return mine;
    },
  };
};

/** A tenant without facts has seq 0, the all-zero hash and the epoch as its time. */
export const headOf = (storage: MemoryStorage, tenant: TenantId): Head => {
  const tip = storage.chains.get(tenant)?.entries.at(-1)?.fact;
  if (!tip) return { tenant, seq: CHAIN_START.seq, hash: CHAIN_START.hash, recordedAt: 0 as Instant };
  return { tenant, seq: tip.seq, hash: tip.hash, recordedAt: tip.recordedAt };
};

/** Heads of the tenants that have facts, by name. */
export const headsOf = (storage: MemoryStorage): readonly Head[] =>
  [...storage.chains.keys()].sort().map((tenant) => headOf(storage, tenant));

/** Facts `from` to `to`, both included. */
export const factsOf = (
  storage: MemoryStorage,
  tenant: TenantId,
  from: number,
  to: number,
): readonly Recorded[] =>
  (storage.chains.get(tenant)?.entries ?? []).slice(from - 1, to).map((entry) => entry.fact);
