// The memory adapter as its contract suites see it.
import type { Signer } from '#proofs/keys/signer.ts';
import { memoryStreamFeed } from '#streams/memory/feed.ts';
import { memoryStorage } from '#streams/memory/storage.ts';
import { memoryStreamStore } from '#streams/memory/store.ts';
import type { Instance, LedgerAdapter, LedgerUnderTest } from '#test/contracts/ledger-adapter.ts';
import { failingOnce, testSigner } from '#test/support/test-signer.ts';

const open = async (): Promise<LedgerUnderTest> => {
  const storage = memoryStorage();
  const { signer, keys } = testSigner();
  const clock = { now: 1_763_715_600_000 };
  const instances: Instance[] = [];
  const instance = (signs: Signer = signer): Instance => {
    const opened = {
      store: memoryStreamStore({ storage, signer: signs, clock: () => clock.now }),
      feed: memoryStreamFeed(storage),
    };
    instances.push(opened);
    return opened;
  };
  return {
    ...instance(),
    keys,
    clock,
    another: async () => instance(),
    failing: async (fault) => instance(failingOnce(signer, fault === 'unsigned' ? fault : 'badly-signed')),
    deafFeed: () => Promise.reject(new Error('not supported')),
    idleTransaction: () => Promise.reject(new Error('not supported')),
    [Symbol.asyncDispose]: async () => {
      for (const { store, feed } of instances) {
        await store[Symbol.asyncDispose]();
        await feed[Symbol.asyncDispose]();
      }
    },
  };
};

const WIRE = 'not supported: there is no connection to lose';

export const memory: LedgerAdapter = {
  name: 'memory',
  open,
  supports: {
    another: true,
    failing: {
      unsigned: true,
      'badly-signed': true,
      refused: 'not supported: nothing can refuse it',
      'cut-before-commit': WIRE,
      'cut-after-commit': WIRE,
    },
    deafFeed: 'not supported: there are no notifications to lose',
    idleTransaction: 'not supported: there are no transactions',
  },
};
