// The EventStoreDB StreamFeed: heads say which tenants have more than was delivered, pages of facts follow, one at a time
// and only when the last one was taken. A bell wakes it, and says which tenants to look at; a poll, which looks at all of
// them, makes a lost ring harmless.
import { setTimeout as pause } from 'node:timers/promises';
import type { Seq, TenantId } from '#schemas/ids.ts';
import type { FeedBatch, Head, StreamFeed, SubscribeOptions } from '#streams/stream.ts';
import { type Bell, bell, type Rung } from './bell.ts';
import { type EventStore, eventStoreError, isConnectionFailure } from './connect.ts';
import { type TenantNames, tenantNames } from './ledger-streams.ts';
import { readHeads, wholePage } from './store.ts';

export interface EventStoreFeedOptions {
  /** The caller's: it is not closed with the feed. */
  readonly store: EventStore;
  /** Longest wait for new facts when nothing rings; 1,000 unless told. */
  readonly pollMs?: number;
  /** Never subscribe: poll only (for a user that may not read all streams). */
  readonly pollOnly?: boolean;
}

export const eventStoreStreamFeed = ({
  store,
  pollMs = 1_000,
  pollOnly = false,
}: EventStoreFeedOptions): StreamFeed => {
  const closed = new AbortController();
  const rings = pollOnly ? undefined : bell(store, closed.signal);
  const names = tenantNames(store);
  return {
    subscribe: (options) => deliver({ store, names, pollMs, rings, closed: closed.signal }, options),
    [Symbol.asyncDispose]: async () => {
      closed.abort();
      await rings?.done;
    },
  };
};

interface Delivery {
  readonly store: EventStore;
  readonly names: TenantNames;
  readonly pollMs: number;
  readonly rings: Bell | undefined;
  readonly closed: AbortSignal;
}

const deliver = async function* (delivery: Delivery, options: SubscribeOptions): AsyncGenerator<FeedBatch> {
  const { store, pollMs, rings, closed } = delivery;
  const { batchSize = 1_000, untilCaughtUp = false } = options;
  const signal = AbortSignal.any([options.signal, closed]);
  const taken = new Map<TenantId, Seq>(options.from);
  using heard = rings?.listen();
  let goal: readonly Head[] | undefined;
  let behind: readonly Head[] = [];
  let look: Look = 'at-all';
  while (!signal.aborted) {
    const rung = heard?.take() ?? 'all';
    const wanted = { tenants: options.tenants, rung: look === 'at-all' ? 'all' : rung, behind } as const;
    const heads = goal ?? (await attempt(signal, () => headsOf(delivery, wanted)));
    if (!heads) return;
    if (untilCaughtUp) goal = heads;
    let delivered = false;
    for (const head of heads) {
      const start = taken.get(head.tenant) ?? 0;
      const to = Math.min(head.seq, start + batchSize) as Seq;
      if (to <= start) continue;
      const page = await attempt(signal, () => wholePage(store, head.tenant, { from: start + 1, to }));
      if (!page) return;
      taken.set(head.tenant, to);
      delivered = true;
      yield { tenant: head.tenant, facts: page.map(({ fact }) => fact) };
      if (signal.aborted) return;
    }
    behind = heads.filter((head) => (taken.get(head.tenant) ?? 0) < head.seq);
    if (!delivered && untilCaughtUp) return;
    look = delivered ? 'at-rung' : await wait(pollMs, signal, heard?.next());
  }
};

/** After a ring, at the tenants that rang; when none came in time, at all. */
type Look = 'at-all' | 'at-rung';

interface Wanted {
  readonly tenants: ReadonlySet<TenantId> | undefined;
  readonly rung: Rung;
  /** Of these there was more than one batch. */
  readonly behind: readonly Head[];
}

/** So many heads are read at the price of one. */
const FEW = 32;

const headsOf = async (
  { store, names }: Delivery,
  { tenants, rung, behind }: Wanted,
): Promise<readonly Head[]> => {
  const known = rung === 'all' || behind.length > 0 ? await names.all() : [];
  // A ring may come later than the next turn of a backlog: where they are few, all are asked each time.
  const asked =
    rung === 'all' || (behind.length > 0 && known.length <= FEW)
      ? known
      : new Set([...behind.map(({ tenant }) => tenant), ...rung]);
  return await readHeads(
    store,
    [...asked].filter((tenant) => tenants?.has(tenant) ?? true),
  );
};

/** Reads, waiting out an unreachable server; `undefined` once the subscription has ended. */
const attempt = async <T>(signal: AbortSignal, read: () => Promise<T>): Promise<T | undefined> => {
  for (let delayMs = 50; !signal.aborted; delayMs = Math.min(delayMs * 2, 2_000))
    try {
      return await read();
    } catch (error) {
      if (!isConnectionFailure(error)) throw eventStoreError(error);
      await wait(delayMs, signal);
    }
  return undefined;
};

/** Says what woke it: `ms` over, the signal, or `rung`; leaves no timer and no listener behind. */
const wait = async (ms: number, signal: AbortSignal, rung?: Promise<void>): Promise<Look> => {
  const over = new AbortController();
  const timer = pause(ms, 'at-all' as const, { signal: AbortSignal.any([signal, over.signal]) }).catch(
    () => 'at-all' as const,
  );
  const look = await Promise.race(rung ? [timer, rung.then(() => 'at-rung' as const)] : [timer]);
  over.abort();
  return look;
};
