// A subscriber for tests of feeds: takes batches as they come, and says when enough have come.
import { setTimeout as pause } from 'node:timers/promises';
import type { TenantId } from '#schemas/ids.ts';
import type { FeedBatch, LedgerPosition, StreamFeed, SubscribeOptions } from '#streams/stream.ts';

export const START: LedgerPosition = new Map();
type Choice = Partial<Omit<SubscribeOptions, 'signal'>>;

export const caughtUp = (feed: StreamFeed, choice: Choice = {}): Promise<readonly FeedBatch[]> =>
  Array.fromAsync(
    feed.subscribe({ from: START, ...choice, signal: new AbortController().signal, untilCaughtUp: true }),
  );

export interface Following {
  readonly batches: readonly FeedBatch[];
  /** Resolves when `count` facts have come; rejects after `withinMs`. */
  readonly facts: (count: number, withinMs?: number) => Promise<void>;
  /** Aborts, and waits for the end. */
  readonly stop: () => Promise<void>;
}

/** A subscriber that takes batches as they come. */
export const follow = (feed: StreamFeed, choice: Choice = {}): Following => {
  const abort = new AbortController();
  const batches: FeedBatch[] = [];
  const run = (async () => {
    for await (const batch of feed.subscribe({ from: START, ...choice, signal: abort.signal }))
      batches.push(batch);
  })();
  const count = (): number => batches.reduce((sum, { facts }) => sum + facts.length, 0);
  return {
    batches,
    facts: async (wanted, withinMs = 5_000) => {
      const end = performance.now() + withinMs;
      while (count() < wanted) {
        if (performance.now() > end) throw new Error(`${count()} of ${wanted} facts came in ${withinMs} ms`);
        await Promise.race([pause(5), run]);
      }
    },
    stop: async () => {
      abort.abort();
      await run;
    },
  };
};

export const places = (batches: readonly FeedBatch[], tenant: TenantId): readonly number[] =>
  batches.filter((batch) => batch.tenant === tenant).flatMap(({ facts }) => facts.map(({ seq }) => seq));

export const upTo = (last: number, first = 1): readonly number[] =>
  Array.from({ length: last - first + 1 }, (_, n) => first + n);
