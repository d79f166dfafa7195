// The memory StreamFeed: tenants take turns, one batch each; woken by every commit of any store on the same storage.
import type { Seq, TenantId } from '#schemas/ids.ts';
import type { FeedBatch, Head, StreamFeed, SubscribeOptions } from '#streams/stream.ts';
import { factsOf, headsOf, type MemoryStorage } from './storage.ts';

export const memoryStreamFeed = (storage: MemoryStorage): StreamFeed => {
  const closed = new AbortController();
  return {
    subscribe: (options) =>
      deliver(storage, { ...options, signal: AbortSignal.any([options.signal, closed.signal]) }),
    [Symbol.asyncDispose]: async () => closed.abort(),
  };
};

const deliver = async function* (
  storage: MemoryStorage,
  options: SubscribeOptions,
): AsyncGenerator<FeedBatch> {
  const { from, tenants, batchSize = 1_000, signal, untilCaughtUp = false } = options;
  const taken = new Map<TenantId, Seq>(from);
  const wanted = (): readonly Head[] => headsOf(storage).filter(({ tenant }) => tenants?.has(tenant) ?? true);
  const goal = untilCaughtUp ? wanted() : undefined;
  for (;;) {
    // Taken before the heads are read, so that a commit in between is not slept through.
    const commit = nextCommit(storage, signal);
    try {
      let delivered = false;
      for (const head of goal ?? wanted()) {
        if (signal.aborted) return;
        const start = taken.get(head.tenant) ?? 0;
        const end = Math.min(head.seq, start + batchSize) as Seq;
        if (end <= start) continue;
        taken.set(head.tenant, end);
        delivered = true;
        yield { tenant: head.tenant, facts: factsOf(storage, head.tenant, start + 1, end) };
      }
      if (signal.aborted || (untilCaughtUp && !delivered)) return;
      if (!delivered) await commit.happened;
    } finally {
      commit.forget();
    }
  }
};

interface Commit {
  /** Resolves at the next commit, or when the signal aborts. */
  readonly happened: Promise<void>;
  readonly forget: () => void;
}

const nextCommit = ({ watchers }: MemoryStorage, signal: AbortSignal): Commit => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const wake = (): void => resolve();
  watchers.add(wake);
  signal.addEventListener('abort', wake);
  if (signal.aborted) wake();
  return {
    happened: promise,
    forget: () => {
      watchers.delete(wake);
      signal.removeEventListener('abort', wake);
    },
  };
};
