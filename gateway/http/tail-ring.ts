// The latest facts of the tenants that somebody watches: one subscription a tenant, however many clients it has. A
// client that is behind what is held here reads from the store until it is not.
import type { Recorded } from '#schemas/event.ts';
import type { Seq, TenantId } from '#schemas/ids.ts';
import type { StreamFeed } from '#streams/stream.ts';

export interface Watch extends Disposable {
  /** The facts after `seq`, or `undefined` when the first of them is not held any more. */
  after(seq: Seq): readonly Recorded[] | undefined;
  /** Resolves when there is more, when the feed has ended, or after `ms`. */
  more(ms: number): Promise<void>;
  /** Why the feed has ended by itself. */
  failure(): unknown;
}

const FACTS_HELD = 2_000;
const BYTES_HELD = 8 << 20;

interface Ring {
  readonly stop: AbortController;
  watchers: number;
  /** Contiguous in seq. */
  facts: Recorded[];
  bytes: number;
  /** The last fact delivered. */
  last: Seq;
  bell: PromiseWithResolvers<void>;
  failure: unknown;
}

/** `from`: where the subscription of a tenant that nobody watches yet begins. */
export type WatchTenant = (tenant: TenantId, from: Seq) => Watch;

export const tailRings = (feed: Pick<StreamFeed, 'subscribe'>): WatchTenant => {
  const rings = new Map<TenantId, Ring>();
  const start = (tenant: TenantId, from: Seq): Ring => {
    const ring: Ring = {
      stop: new AbortController(),
      watchers: 0,
      facts: [],
      bytes: 0,
      last: from,
      bell: Promise.withResolvers(),
      failure: undefined,
    };
    rings.set(tenant, ring);
    follow(feed, tenant, ring).catch((error: unknown) => {
      ring.failure = error;
      // Whoever comes next tries again.
      if (rings.get(tenant) === ring) rings.delete(tenant);
      ring.bell.resolve();
    });
    return ring;
  };
  return (tenant, from) => {
    const ring = rings.get(tenant) ?? start(tenant, from);
    ring.watchers += 1;
    return {
      after: (seq) => after(ring, seq),
      more: (ms) => within(ring.bell.promise, ms),
      failure: () => ring.failure,
      [Symbol.dispose]: () => {
        ring.watchers -= 1;
        if (ring.watchers > 0) return;
        ring.stop.abort();
        if (rings.get(tenant) === ring) rings.delete(tenant);
      },
    };
  };
};

const follow = async (feed: Pick<StreamFeed, 'subscribe'>, tenant: TenantId, ring: Ring): Promise<void> => {
  const from = new Map([[tenant, ring.last]]);
  const batches = feed.subscribe({ from, tenants: new Set([tenant]), signal: ring.stop.signal });
  for await (const { facts } of batches) {
    for (const fact of facts) {
      ring.facts.push(fact);
      ring.bytes += fact.payload.length;
      ring.last = fact.seq;
    }
    trim(ring);
    const { bell } = ring;
    ring.bell = Promise.withResolvers();
    bell.resolve();
  }
};

const trim = (ring: Ring): void => {
  let drop = Math.max(0, ring.facts.length - FACTS_HELD);
  for (let index = 0; index < drop; index += 1) ring.bytes -= ring.facts[index]?.payload.length ?? 0;
  for (; ring.bytes > BYTES_HELD && drop < ring.facts.length; drop += 1)
    ring.bytes -= ring.facts[drop]?.payload.length ?? 0;
  if (drop > 0) ring.facts = ring.facts.slice(drop);
};

const after = ({ facts, last }: Ring, seq: Seq): readonly Recorded[] | undefined => {
  if (seq >= last) return [];
  const first = facts[0]?.seq;
  return first !== undefined && first <= seq + 1 ? facts.slice(seq + 1 - first) : undefined;
};

/** Leaves no timer behind. */
const within = async (promise: Promise<void>, ms: number): Promise<void> => {
  const { promise: over, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  await Promise.race([promise, over]);
  clearTimeout(timer);
};
