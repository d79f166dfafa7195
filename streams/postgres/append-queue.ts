// Appends waiting for their commit, within bounds, and with room kept for whoever does not wait yet.
import { StreamError } from '#streams/errors.ts';
import type { AppendRequest, AppendResult } from '#streams/stream.ts';
import { turns } from './turns.ts';

export interface QueuedAppend {
  readonly request: AppendRequest;
  readonly bytes: number;
  readonly settle: (result: AppendResult) => void;
  /** As `in-doubt`, whatever the error, once it was doubted. */
  readonly fail: (error: StreamError) => void;
  readonly settled: () => boolean;
  /** It was sent, and the connection failed: from now on only finding it, or storing it, says what became of it. */
  readonly doubt: () => void;
}

export interface QueueBounds {
  /** Facts and payload bytes waiting at most; beyond them an append is refused as `overloaded`. */
  readonly maxQueuedFacts: number;
  readonly maxQueuedBytes: number;
}

export interface AppendQueue {
  readonly facts: () => number;
  /** How full it is, from 0 to 1. */
  readonly load: () => number;
  /** Answers when the append is settled. */
  add(request: AppendRequest): Promise<AppendResult>;
  /** The oldest appends of each tenant, in turn: whole ones, of so many facts at most with those in the batch already, and one at least. */
  take(maxFacts: number, already?: number): readonly QueuedAppend[];
  /** To the front, whatever the bounds. */
  putBack(items: readonly QueuedAppend[]): void;
  /** Resolves once so many facts are waiting. Only the last caller is told. */
  filled(facts: number): Promise<void>;
}

const ENVELOPE_BYTES = 512;

/**
 * Of the room that is free, how many times as much one tenant may hold (Choudhury and Hahne's dynamic thresholds): alone
 * it fills three quarters, two fill three sevenths each, and there is always room for one that comes new.
 */
const SHARE_OF_FREE = 3;

interface Room {
  readonly of: number;
  readonly taken: number;
  /** What of `taken` is the tenant's own. */
  readonly own: number;
}

const fits = (more: number, { of, taken, own }: Room): boolean => {
  if (taken + more > of) return false;
  // What is half empty need not be divided.
  return (taken + more) * 2 <= of || own + more <= SHARE_OF_FREE * (of - taken);
};
const IN_DOUBT = 'the connection was lost after the append was sent: repeat it with the same ids';

export const appendQueue = ({ maxQueuedFacts, maxQueuedBytes }: QueueBounds): AppendQueue => {
  const queue = turns<QueuedAppend>();
  let facts = 0;
  let bytes = 0;
  let watch: { readonly facts: number; readonly ring: () => void } | undefined;
  const count = (item: QueuedAppend, sign: 1 | -1): void => {
    facts += sign * item.request.drafts.length;
    bytes += sign * item.bytes;
  };
  const ring = (): void => {
    if (!watch || facts < watch.facts) return;
    watch.ring();
    watch = undefined;
  };
  const hasRoom = ({ request: { tenant, drafts }, bytes: more }: QueuedAppend): boolean => {
    const held = queue.held(tenant);
    return (
      fits(drafts.length, { of: maxQueuedFacts, taken: facts, own: held.facts }) &&
      fits(more, { of: maxQueuedBytes, taken: bytes, own: held.bytes })
    );
  };
  return {
    facts: () => facts,
    load: () => Math.max(facts / maxQueuedFacts, bytes / maxQueuedBytes),
    add: (request) =>
      new Promise((settle, fail) => {
        const item = queued(request, { settle, fail });
        if (!hasRoom(item)) {
          fail(
            new StreamError('overloaded', `${facts} facts are waiting to be stored: repeat after a pause`),
          );
          return;
        }
        queue.add(item);
        count(item, 1);
        ring();
      }),
    take: (maxFacts, already) => {
      const items = queue.take(maxFacts, already);
      for (const item of items) count(item, -1);
      return items;
    },
    putBack: (items) => {
      queue.putBack(items);
      for (const item of items) count(item, 1);
    },
    filled: (wanted) => {
      if (facts >= wanted) return Promise.resolve();
      const { promise, resolve } = Promise.withResolvers<void>();
      watch = { facts: wanted, ring: resolve };
      return promise;
    },
  };
};

const queued = (
  request: AppendRequest,
  { settle, fail }: Pick<QueuedAppend, 'settle' | 'fail'>,
): QueuedAppend => {
  let done = false;
  let doubted = false;
  let bytes = 0;
  for (const draft of request.drafts) bytes += draft.payload.length + ENVELOPE_BYTES;
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
      fail(doubted ? new StreamError('in-doubt', IN_DOUBT, { cause: error }) : error);
    },
    doubt: () => {
      doubted = true;
    },
  };
};
