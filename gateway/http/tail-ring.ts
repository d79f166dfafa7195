// The latest facts of the tenants that somebody watches: one subscription a tenant, however many clients it has. A
// client that is behind what is held here reads from the store until it is not.
import type { Recorded } from '#schemas/event.ts';
import type { Seq, TenantId } from '#schemas/ids.ts';
import type { StreamFeed } from '#streams/stream.ts';
import { PAGE_FACTS, type Page, pageOf } from './tail-page.ts';

export interface Watch extends Disposable {
  /** What comes after `seq`; `nothing` yet, or `lost` when the first of it is not held any more. */
  after(seq: Seq): Page | 'nothing' | 'lost';
  /** Resolves when there is more, when the feed has ended, or after `ms`. */
  more(ms: number): Promise<void>;
  /** Why the feed has ended by itself. */
  failure(): unknown;
}

const FACTS_HELD = 2_000;
const BYTES_HELD = 8 << 20;
/** Clients that keep up stand at one place, or at a few. */
const PAGES_KEPT = 8;

/**
 * Many clients are not told of each fact by itself: a write to each costs the same for one fact as for a hundred. Two
 * hundred clients hear 20 times a second of what is new, a few at once.
 */
const CLIENTS_PER_MS = 4;
const WAIT_MS_MAX = 50;

interface Ring {
  readonly stop: AbortController;
  watchers: number;
  /** Contiguous in seq. */
  facts: Recorded[];
  bytes: number;
  /** The last fact delivered. */
  last: Seq;
  bell: PromiseWithResolvers<void>;
  /** Set while the bell is about to ring. */
  ringing: NodeJS.Timeout | undefined;
  /** What clients that stand at the same seq are sent, until there is more. */
  readonly pages: Map<Seq, Page | undefined>;
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
      ringing: undefined,
      pages: new Map(),
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
        clearTimeout(ring.ringing);
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
    ring.pages.clear();
    ringSoon(ring);
  }
};

const ringSoon = (ring: Ring): void => {
  const waitMs = Math.min(WAIT_MS_MAX, Math.floor(ring.watchers / CLIENTS_PER_MS));
  if (waitMs === 0) return ringBell(ring);
  ring.ringing ??= setTimeout(ringBell, waitMs, ring);
};

const ringBell = (ring: Ring): void => {
  const { bell } = ring;
  ring.ringing = undefined;
  ring.bell = Promise.withResolvers();
  bell.resolve();
};

const trim = (ring: Ring): void => {
  let drop = Math.max(0, ring.facts.length - FACTS_HELD);
  for (let index = 0; index < drop; index += 1) ring.bytes -= ring.facts[index]?.payload.length ?? 0;
  for (; ring.bytes > BYTES_HELD && drop < ring.facts.length; drop += 1)
    ring.bytes -= ring.facts[drop]?.payload.length ?? 0;
  if (drop > 0) ring.facts = ring.facts.slice(drop);
};

const after = (ring: Ring, seq: Seq): Page | 'nothing' | 'lost' => {
  const { facts, last, pages } = ring;
  if (seq >= last) return 'nothing';
  const first = facts[0]?.seq;
  if (first === undefined || first > seq + 1) return 'lost';
  const page = pages.get(seq) ?? pageOf(facts.slice(seq + 1 - first, seq + 1 - first + PAGE_FACTS));
  if (pages.size >= PAGES_KEPT) pages.clear();
  pages.set(seq, page);
  return page ?? 'nothing';
};

/** Leaves no timer behind. */
const within = async (promise: Promise<void>, ms: number): Promise<void> => {
  const { promise: over, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  await Promise.race([promise, over]);
  clearTimeout(timer);
};
