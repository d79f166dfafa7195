// Group commit: one batch in flight, the next one gathers meanwhile, and goes as soon as the connection is idle.
// No timer: a quiet ledger commits each append at once, a busy one a thousand with one sync and one signature.
// One batch carries facts of many tenants; each tenant's head moves by its own compare-and-swap.
import { StreamError } from '#streams/errors.ts';
import type { AppendRequest, AppendResult } from '#streams/stream.ts';

export interface BatcherOptions {
  /** Facts in one commit at most. */
  readonly maxFacts: number;
  /** Facts and payload bytes waiting at most; beyond them an append is refused as `overloaded`. */
  readonly maxQueuedFacts: number;
  readonly maxQueuedBytes: number;
  /** Settles every item of the batch that it does not hand back; handed-back items go into the next batch. */
  readonly commit: (items: readonly QueuedAppend[]) => Promise<readonly QueuedAppend[]>;
}

export interface QueuedAppend {
  readonly request: AppendRequest;
  readonly bytes: number;
  readonly settle: (result: AppendResult) => void;
  readonly fail: (error: StreamError) => void;
  readonly settled: () => boolean;
}

export interface Batcher {
  append(request: AppendRequest): Promise<AppendResult>;
  readonly queuedFacts: () => number;
  /** Refuses new appends and waits for those under way. */
  close(): Promise<void>;
}

const bytesOf = (request: AppendRequest): number => {
  let bytes = 0;
  for (const draft of request.drafts) bytes += draft.payload.length + 512;
  return bytes;
};

const queued = (request: AppendRequest, bytes: number, { settle, fail }: Pick<QueuedAppend, 'settle' | 'fail'>): QueuedAppend => {
  let done = false;
  return {
    request,
    bytes,
    settled: () => done,
    settle: (result) => {
      done = true;
      settle(result);
    },
    fail: (error) => {
      done = true;
      fail(error);
    },
  };
};

export const batcher = ({ maxFacts, maxQueuedFacts, maxQueuedBytes, commit }: BatcherOptions): Batcher => {
  let queue: QueuedAppend[] = [];
  let queuedFacts = 0;
  let queuedBytes = 0;
  let running: Promise<void> | undefined;
  let closed = false;

  const take = (): readonly QueuedAppend[] => {
    let facts = 0;
    let count = 0;
    for (const item of queue) {
      if (count > 0 && facts + item.request.drafts.length > maxFacts) break;
      facts += item.request.drafts.length;
      queuedBytes -= item.bytes;
      count += 1;
    }
    queuedFacts -= facts;
    const taken = queue.slice(0, count);
    queue = queue.slice(count);
    return taken;
  };

  const putBack = (items: readonly QueuedAppend[]): void => {
    queue = [...items, ...queue];
    for (const item of items) {
      queuedFacts += item.request.drafts.length;
      queuedBytes += item.bytes;
    }
  };

  const drain = async (): Promise<void> => {
    // Callers resumed by the last commit append in the same turn of the event loop: let them all join this batch.
    await new Promise((resolve) => setImmediate(resolve));
    while (queue.length > 0) {
      putBack(await commit(take()));
      await new Promise((resolve) => setImmediate(resolve));
    }
    running = undefined;
  };

  return {
    append: (request) =>
      new Promise((settle, fail) => {
        const bytes = bytesOf(request);
        if (closed) return fail(new StreamError('closed', 'the store has been closed'));
        if (queuedFacts + request.drafts.length > maxQueuedFacts || queuedBytes + bytes > maxQueuedBytes) {
          return fail(new StreamError('overloaded', `${queuedFacts} facts are waiting to be stored: repeat after a pause`));
        }
        queue.push(queued(request, bytes, { settle, fail }));
        queuedFacts += request.drafts.length;
        queuedBytes += bytes;
        running ??= drain();
      }),
    queuedFacts: () => queuedFacts,
    close: async () => {
      closed = true;
      await running;
    },
  };
};
