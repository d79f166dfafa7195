// One StreamFeed over those of several stores. A tenant that moved comes from the old store up to its last fact there, and
// from the new one from where the subscription began: what was delivered already is left out, so each fact comes once and
// in order.
import { setTimeout as pause } from 'node:timers/promises';
import type { Seq, TenantId } from '#schemas/ids.ts';
import type { FeedBatch, StreamFeed, SubscribeOptions } from '#streams/stream.ts';

/** Closed together with the feeds. */
export const shardedStreamFeed = (feeds: readonly StreamFeed[]): StreamFeed => ({
  subscribe: (options) => inTurns(feeds, options),
  [Symbol.asyncDispose]: async () => {
    for (const feed of feeds) await feed[Symbol.asyncDispose]();
  },
});

interface Source {
  readonly batches: AsyncIterator<FeedBatch>;
  next: Promise<void>;
  arrived: IteratorResult<FeedBatch> | undefined;
  failure: { readonly error: unknown } | undefined;
  /** Had nothing when it was its turn: the others do not wait for it. */
  idle: boolean;
}

/** How long the others wait for one that was not idle. */
const PATIENCE_MS = 100;

/** Each source is asked for one batch ahead, and for the next one when that was taken; tenants take turns. */
const inTurns = async function* (
  feeds: readonly StreamFeed[],
  options: SubscribeOptions,
): AsyncGenerator<FeedBatch> {
  const ended = new AbortController();
  const signal = AbortSignal.any([options.signal, ended.signal]);
  const last = new Map<TenantId, Seq>(options.from);
  const turns = new Map<TenantId, number>();
  const sources = feeds.map((feed) => opened(feed.subscribe({ ...options, signal })[Symbol.asyncIterator]()));
  try {
    for (let turn = 1; sources.length > 0; turn += 1) {
      const source = await nextOf(sources, turns);
      // What came meanwhile was pulled before the end: it is not delivered after it.
      if (options.signal.aborted) return;
      if (source.failure) throw source.failure.error;
      const { done, value } = source.arrived as IteratorResult<FeedBatch>;
      if (done) {
        sources.splice(sources.indexOf(source), 1);
        continue;
      }
      turns.set(value.tenant, turn);
      const fresh = unseen(value, last);
      if (fresh) yield fresh;
      ask(source);
    }
  } finally {
    ended.abort();
    for (const { next, batches } of sources) {
      await next;
      await batches.return?.();
    }
  }
};

const settled = ({ arrived, failure }: Source): boolean => arrived !== undefined || failure !== undefined;

/** The source whose tenant has waited longest, once all that are not idle have something. */
const nextOf = async (sources: readonly Source[], turns: ReadonlyMap<TenantId, number>): Promise<Source> => {
  const awaited = sources.filter((source) => !source.idle && !settled(source));
  if (awaited.length > 0) await within(Promise.all(awaited.map(({ next }) => next)), PATIENCE_MS);
  for (const source of awaited) source.idle = !settled(source);
  if (!sources.some(settled)) await Promise.race(sources.map(({ next }) => next));
  const turnOf = ({ arrived }: Source): number =>
    arrived && !arrived.done ? (turns.get(arrived.value.tenant) ?? 0) : -1;
  return sources.filter(settled).reduce((best, each) => (turnOf(each) < turnOf(best) ? each : best));
};

const opened = (batches: AsyncIterator<FeedBatch>): Source => {
  const source: Source = {
    batches,
    next: Promise.resolve(),
    arrived: undefined,
    failure: undefined,
    idle: false,
  };
  ask(source);
  return source;
};

const ask = (source: Source): void => {
  source.arrived = undefined;
  source.idle = false;
  source.next = source.batches.next().then(
    (result) => {
      source.arrived = result;
    },
    (error: unknown) => {
      source.failure = { error };
    },
  );
};

const within = async (work: Promise<unknown>, ms: number): Promise<void> => {
  const over = new AbortController();
  await Promise.race([work, pause(ms, undefined, { signal: over.signal }).catch(() => undefined)]);
  over.abort();
};

const unseen = ({ tenant, facts }: FeedBatch, last: Map<TenantId, Seq>): FeedBatch | undefined => {
  const seen = last.get(tenant) ?? 0;
  const fresh = facts.filter(({ seq }) => seq > seen);
  const end = fresh.at(-1);
  if (!end) return undefined;
  last.set(tenant, end.seq);
  return { tenant, facts: fresh };
};
