// What facts in EventStoreDB need to be taken by another store: each event says the share that it came in.
import type { SignedShare } from '#proofs/share.ts';
import type { Seq, Sha256 } from '#schemas/ids.ts';
import type { BelongingsOf } from '#streams/carry.ts';
import type { EventStore } from './connect.ts';
import { wholePage } from './store.ts';

/** Throws `StreamError`. */
export const belongingsInStreams =
  (store: EventStore): BelongingsOf =>
  async ({ tenant, from, to }) => {
    const shares = new Map<Seq, SignedShare>();
    const requestHashes = new Map<Seq, Sha256>();
    for (const { fact, share, requestHash } of await wholePage(store, tenant, { from, to })) {
      shares.set((share.first + share.count - 1) as Seq, share);
      if (requestHash !== undefined) requestHashes.set(fact.seq, requestHash);
    }
    return { shares, requestHashes };
  };
