// A whole ledger in memory: one store and one feed on the same storage.
import type { StreamFeed, StreamStore } from '#streams/stream.ts';
import { memoryStreamFeed } from './feed.ts';
import { memoryStorage } from './storage.ts';
import { type MemoryStoreOptions, memoryStreamStore } from './store.ts';

export interface MemoryLedgerOptions extends Omit<MemoryStoreOptions, 'storage'> {
  /** The ledger's own UUID; a random one unless told. */
  readonly ledgerId?: string;
}

export interface MemoryLedger extends AsyncDisposable {
  readonly store: StreamStore;
  readonly feed: StreamFeed;
}

export const memoryLedger = ({ ledgerId, ...options }: MemoryLedgerOptions): MemoryLedger => {
  const storage = memoryStorage(ledgerId);
  const store = memoryStreamStore({ ...options, storage });
  const feed = memoryStreamFeed(storage);
  return {
    store,
    feed,
    [Symbol.asyncDispose]: async () => {
      await store[Symbol.asyncDispose]();
      await feed[Symbol.asyncDispose]();
    },
  };
};
