// Group commit. One batch is on its way to disk at a time, the next one gathers meanwhile, is made ready, and goes the
// moment the connection is free. No timer: a quiet ledger commits each append at once, a busy one a thousand with one
// sync and one signature. One batch carries facts of many tenants, each head moved by its own compare-and-swap.
import { StreamError } from '#streams/errors.ts';
import type { AppendRequest, AppendResult } from '#streams/stream.ts';
import type { Ahead } from './ahead.ts';
import { type AppendQueue, appendQueue, type QueueBounds, type QueuedAppend } from './append-queue.ts';
import type { ReadyBatch } from './commit.ts';

export interface BatcherOptions extends QueueBounds {
  /** Facts in one commit at most. */
  readonly maxFacts: number;
  /** Settles every item of the batch that it does not hand back; handed-back items go into the next batch. */
  readonly commit: (items: readonly QueuedAppend[]) => Promise<readonly QueuedAppend[]>;
  readonly ahead: Ahead;
}

export interface Batcher {
  append(request: AppendRequest): Promise<AppendResult>;
  readonly queuedFacts: () => number;
  /** How full the queue is, from 0 to 1. */
  readonly load: () => number;
  /** Refuses new appends and waits for those under way. */
  close(): Promise<void>;
}

export const batcher = (options: BatcherOptions): Batcher => {
  const queue = appendQueue(options);
  let running: Promise<void> | undefined;
  let closed = false;
  const drain = async (): Promise<void> => {
    // Callers resumed by the last commit append in the same turn of the event loop: let them all join this batch.
    await nextTurn();
    await commitWhileWaiting({ ...options, queue });
    running = undefined;
  };
  return {
    append: async (request) => {
      if (closed) throw new StreamError('closed', 'the store has been closed');
      const answer = queue.add(request);
      if (queue.facts() > 0) running ??= drain();
      return await answer;
    },
    queuedFacts: queue.facts,
    load: queue.load,
    close: async () => {
      closed = true;
      await running;
    },
  };
};

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

interface Work extends BatcherOptions {
  readonly queue: AppendQueue;
}

/** A batch on its way to disk. */
interface Flight {
  readonly items: readonly QueuedAppend[];
  readonly ready: ReadyBatch;
  /** In how many milliseconds it became durable; `undefined` when that is not known. */
  readonly stored: Promise<number | undefined>;
}

/** How long the last batch took to make ready, and to store: what splitting a batch can win, and what it costs. */
interface Pace {
  readyMs: number;
  storeMs: number;
}

const WORTH_OVERLAPPING = 0.2;
const WORTH_SPLITTING = 32;
const WORTH_PREPARING = 16;

const commitWhileWaiting = async (work: Work): Promise<void> => {
  const { queue, maxFacts, ahead } = work;
  const pace: Pace = { readyMs: 0, storeMs: 0 };
  let flight: Flight | undefined;
  while (queue.facts() > 0 || flight) {
    if (flight) await (isWorthOverlapping(pace) ? enough(queue, flight) : flight.stored);
    const items =
      queue.facts() > 0
        ? queue.take(flight ? maxFacts : Math.min(maxFacts, firstPart(queue.facts(), pace)))
        : [];
    const startedAt = performance.now();
    const ready = items.length > 0 ? await ahead.prepare(items) : undefined;
    if (ready) pace.readyMs = performance.now() - startedAt;
    flight = await land(work, flight, { items, ready, pace });
    await nextTurn();
  }
};

/**
 * Making a batch ready early hides that work behind the sync, and makes whoever comes after it wait for one batch
 * more. Where the disk is slow there is nothing to hide: the batch is closed when the connection is free.
 */
const isWorthOverlapping = ({ readyMs, storeMs }: Pace): boolean => readyMs > storeMs * WORTH_OVERLAPPING;

/** The batch on its way has landed, or about as many facts wait as are in it. */
const enough = (queue: AppendQueue, { items, stored }: Flight): Promise<unknown> =>
  Promise.race([stored, queue.filled(Math.max(WORTH_PREPARING, items.length >> 1))]);

/**
 * With nothing on its way, half of what waits goes first, so that the other half is made ready while it is stored; but
 * not where the disk is so slow that more syncs would cost more than the overlap wins.
 */
const firstPart = (facts: number, pace: Pace): number =>
  facts >= WORTH_SPLITTING && isWorthOverlapping(pace) ? facts >> 1 : facts;

interface Next {
  readonly items: readonly QueuedAppend[];
  /** Absent when the items must go the sure way. */
  readonly ready: ReadyBatch | undefined;
  readonly pace: Pace;
}

/** Waits for the batch on its way, sends the next one at once, and only then answers the first one's callers. */
const land = async (
  work: Work,
  flight: Flight | undefined,
  { items, ready, pace }: Next,
): Promise<Flight | undefined> => {
  const { queue, commit, ahead } = work;
  const storeMs = await flight?.stored;
  if (flight && storeMs === undefined) {
    if (ready) ahead.forget(ready);
    queue.putBack(await commit([...flight.items, ...items]));
    return undefined;
  }
  const next = ready && { items, ready, stored: storing(ahead, ready) };
  if (flight && storeMs !== undefined) {
    pace.storeMs = storeMs;
    ahead.settle(flight.ready, storeMs / 1_000);
  }
  if (!ready && items.length > 0) queue.putBack(await commit(items));
  return next;
};

const storing = async (ahead: Ahead, ready: ReadyBatch): Promise<number | undefined> => {
  const sentAt = performance.now();
  return (await ahead.store(ready)) ? performance.now() - sentAt : undefined;
};
