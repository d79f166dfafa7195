// The EventStoreDB StreamStore: one stream a tenant, whose revision is the seq less one. A commit batch holds facts of one
// tenant, since the server moves one stream at a time.
import type { Signer } from '#proofs/keys/signer.ts';
import type { SignedShare } from '#proofs/share.ts';
import type { Instant, Seq, TenantId } from '#schemas/ids.ts';
import { refuseMalformed } from '#streams/append-request.ts';
import { StreamError } from '#streams/errors.ts';
import type { Head, ReadRange, StreamStore } from '#streams/stream.ts';
import { type ChainIndex, chainIndex, readFacts } from './chain.ts';
import { type Committing, commitTo, readFact, shareProofs } from './commit.ts';
import { type EventStore, lastEvent } from './connect.ts';
import { lanes } from './lanes.ts';
import { openIdentity, tenantNames } from './ledger-streams.ts';
import { headOf } from './plan.ts';
import { decodeFact } from './record.ts';

export interface EventStoreStoreOptions {
  /** The caller's: it is not closed with the store. */
  readonly store: EventStore;
  readonly signer: Signer;
  /** The ledger's clock, in milliseconds; the system's unless told. */
  readonly clock?: () => number;
  /** How long appends wait for an unreachable server; 10,000 unless told. */
  readonly retryForMs?: number;
  /** Facts in one append at most, unless one request has more; 1,000 unless told. */
  readonly maxBatchFacts?: number;
  /** Bytes in one append at most, unless one request has more; 900,000 unless told, below the server's own 1 MiB. */
  readonly maxBatchBytes?: number;
  /** Facts waiting at most before appends are refused as `overloaded`; 50,000 unless told. */
  readonly maxQueuedFacts?: number;
}

export const eventStoreStreamStore = async (options: EventStoreStoreOptions): Promise<StreamStore> => {
  const { store, signer } = options;
  const ledgerId = await openIdentity(store);
  const names = tenantNames(store);
  const chains = new Map<TenantId, ChainIndex>();
  const chainOf = (tenant: TenantId): ChainIndex => {
    const chain = chains.get(tenant) ?? chainIndex(store, tenant);
    chains.set(tenant, chain);
    return chain;
  };
  const caughtUp = async (tenant: TenantId): Promise<ChainIndex> => {
    const chain = chainOf(tenant);
    await chain.catchUp();
    return chain;
  };
  const proofsOf = rememberingProofs(store);
  const clock = (options.clock ?? Date.now) as () => Instant;
  const state: Committing = {
    store,
    ledgerId,
    signer,
    clock,
    names,
    retryForMs: options.retryForMs ?? 10_000,
    unsure: new Set(),
  };
  const appends = lanes({
    commit: (tenant, items) => commitTo(state, chainOf(tenant), items),
    maxFacts: options.maxBatchFacts ?? 1_000,
    maxBytes: options.maxBatchBytes ?? 900_000,
    maxQueuedFacts: options.maxQueuedFacts ?? 50_000,
  });
  return {
    ledgerId,
    append: async (request) => {
      refuseMalformed(request);
      return await appends.add(request);
    },
    head: (tenant) => readHead(store, tenant),
    heads: async () => await readHeads(store, await names.all()),
    read: (tenant, range) => pages(store, tenant, range),
    readStream: async (tenant, stream) => {
      const runs = runsOf((await caughtUp(tenant)).seqsOf(stream));
      const pages = [];
      for (const run of runs) pages.push(await readFacts(store, tenant, run));
      return pages.flat().map(({ fact }) => fact);
    },
    find: async (tenant, id) => {
      const seq = (await caughtUp(tenant)).seqOf(id);
      return seq === undefined ? undefined : (await readFact(store, tenant, seq)).fact;
    },
    proof: async (tenant, seq) => {
      const head = await readHead(store, tenant);
      if (!head || seq < 1 || seq > head.seq) return undefined;
      const { share } = await readFact(store, tenant, seq);
      return (await proofsOf(tenant, share))(seq - share.first);
    },
    [Symbol.asyncDispose]: appends.close,
  };
};

const SHARES_KEPT = 8;

/** Receipts are asked for together that were recorded together: the trees of the last few batches are kept. */
const rememberingProofs = (store: EventStore) => {
  const kept = new Map<string, ReturnType<typeof shareProofs>>();
  return async (tenant: TenantId, share: SignedShare): ReturnType<typeof shareProofs> => {
    const key = `${tenant} ${share.first} ${share.count}`;
    const proofs = kept.get(key) ?? shareProofs(store, tenant, share);
    kept.delete(key);
    kept.set(key, proofs);
    for (const oldest of kept.keys()) if (kept.size > SHARES_KEPT) kept.delete(oldest);
    try {
      return await proofs;
    } catch (error) {
      kept.delete(key);
      throw error;
    }
  };
};

/** The head is the stream's last event: its seq is that event's revision plus one, or the event is refused. */
export const readHead = async (store: EventStore, tenant: TenantId): Promise<Head | undefined> => {
  const event = await lastEvent(store, store.streams.chain(tenant));
  return event && headOf(decodeFact(event, tenant).fact);
};

const HEADS_AT_ONCE = 32;

export const readHeads = async (
  store: EventStore,
  tenants: readonly TenantId[],
): Promise<readonly Head[]> => {
  const heads: Head[] = [];
  for (let at = 0; at < tenants.length; at += HEADS_AT_ONCE) {
    const some = tenants.slice(at, at + HEADS_AT_ONCE).map((tenant) => readHead(store, tenant));
    for (const head of await Promise.all(some)) if (head) heads.push(head);
  }
  return heads;
};

/** Runs of places that follow one another, each of a thousand at most. */
export const runsOf = (seqs: readonly Seq[]): readonly { readonly from: number; readonly to: number }[] => {
  const runs: { from: number; to: number }[] = [];
  for (const seq of seqs) {
    const last = runs.at(-1);
    if (last && seq === last.to + 1 && seq - last.from < 1_000) last.to = seq;
    else runs.push({ from: seq, to: seq });
  }
  return runs;
};

const pages = async function* (store: EventStore, tenant: TenantId, range: ReadRange = {}) {
  const { from = 1 as Seq, pageSize = 1_000 } = range;
  const head = await readHead(store, tenant);
  if (!head) return;
  const end = Math.min(range.to ?? head.seq, head.seq);
  for (let start = Math.max(1, from) as number; start <= end; start += pageSize) {
    const to = Math.min(end, start + pageSize - 1);
    yield (await wholePage(store, tenant, { from: start, to })).map(({ fact }) => fact);
  }
};

/** Both included, all of them: below a head no place is empty. Throws `corrupt`. */
export const wholePage = async (
  store: EventStore,
  tenant: TenantId,
  range: { readonly from: number; readonly to: number },
): Promise<Awaited<ReturnType<typeof readFacts>>> => {
  const page = await readFacts(store, tenant, range);
  if (page.length === range.to - range.from + 1) return page;
  throw new StreamError(
    'corrupt',
    `${tenant}/${range.from} to ${range.to}: facts below the head are missing; restore from an export or a replica`,
  );
};
