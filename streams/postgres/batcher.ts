// Group commit. One batch is on its way to disk at a time; the next one grows meanwhile, its facts sealed as they come,
// and goes the moment the connection is free. No timer: a quiet ledger commits each append at once, a busy one a thousand
// with one sync and one signature. One batch carries facts of many tenants, each head moved by its own compare-and-swap.
import { StreamError } from '#streams/errors.ts';
import type { AppendRequest, AppendResult } from '#streams/stream.ts';
import type { Ahead, OpenBatch } from './ahead.ts';
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
  readonly sentAt: number;
  /** In how many milliseconds it became durable; `undefined` when that is not known. */
  readonly stored: Promise<number | undefined>;
}

/** How long the last batch took to close, and to store: what closing it early can win, and what it costs. */
interface Pace {
  closeMs: number;
  storeMs: number;
}

const WORTH_OVERLAPPING = 0.2;
const WORTH_SPLITTING = 32;
const WORTH_CLOSING = 16;
/** Closing takes longer now and then. */
const EARLY = 1.5;

const commitWhileWaiting = async (work: Work): Promise<void> => {
  const { queue, maxFacts, ahead } = work;
  const pace: Pace = { closeMs: 0, storeMs: 0 };
  let flight: Flight | undefined;
  while (queue.facts() > 0 || flight) {
    const open = ahead.open();
    if (flight) await gather(work, open, { flight, pace });
    else open.add(queue.take(Math.min(maxFacts, firstPart(queue.facts(), pace))));
    const startedAt = performance.now();
    const ready = await open.close();
    if (ready) pace.closeMs = performance.now() - startedAt;
    flight = await land(work, flight, { items: open.items, ready, pace });
    await nextTurn();
  }
};

/** Takes in what comes until the batch on its way has landed, or until it is time to close for it to go right behind. */
const gather = async (
  { queue, maxFacts }: Work,
  open: OpenBatch,
  { flight, pace }: { readonly flight: Flight; readonly pace: Pace },
): Promise<void> => {
  let landed = false;
  const landing = flight.stored.then(() => {
    landed = true;
  });
  for (;;) {
    if (queue.facts() > 0) open.add(queue.take(maxFacts, open.facts()));
    // What still waits is more than the batch may take.
    if (landed || queue.facts() > 0 || isTimeToClose(open, flight, pace)) return;
    await Promise.race([landing, queue.filled(1)]);
    // Whoever appends in the same turn of the event loop comes along.
    if (!landed) await nextTurn();
  }
};

/**
 * A batch is closed early to hide its signing behind the sync of the one before, and whoever comes after that waits for
 * one batch more: so as late as will do, and not before about half as much is in it as in the one before.
 */
const isTimeToClose = (open: OpenBatch, { items, sentAt }: Flight, { closeMs, storeMs }: Pace): boolean =>
  open.facts() >= Math.max(WORTH_CLOSING, items.length >> 1) &&
  performance.now() >= sentAt + storeMs - closeMs * EARLY;

/**
 * With nothing on its way, half of what waits goes first, so that the other half is made ready while it is stored; but
 * not where the disk is so slow that more syncs would cost more than the overlap wins.
 */
const firstPart = (facts: number, { closeMs, storeMs }: Pace): number =>
  facts >= WORTH_SPLITTING && closeMs > storeMs * WORTH_OVERLAPPING ? facts >> 1 : facts;

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
  const next = ready && { items, ready, sentAt: performance.now(), stored: storing(ahead, ready) };
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
