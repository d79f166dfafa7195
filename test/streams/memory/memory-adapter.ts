// The memory adapter as its contract suites see it.
import type { Signer } from '#proofs/keys/signer.ts';
import { memoryStreamFeed } from '#streams/memory/feed.ts';
import { memoryStorage } from '#streams/memory/storage.ts';
import { memoryStreamStore } from '#streams/memory/store.ts';
import type { Instance, LedgerAdapter, LedgerUnderTest } from '#test/contracts/ledger-adapter.ts';
import { StreamError } from '#streams/errors.ts';
import { testSigner } from '#test/support/test-signer.ts';

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
    failing: async () => instance(failingOnce(signer)),
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

/** Between the claim and the commit the memory adapter does one thing that can fail: it signs. */
const failingOnce = (signer: Signer): Signer => {
  let failed = false;
  return {
    ...signer,
    sign: async (bytes) => {
      if (failed) return await signer.sign(bytes);
      failed = true;
      throw new StreamError('unavailable', 'the signer did not answer');
    },
  };
};

const WIRE = 'not supported: there is no connection to lose';

export const memory: LedgerAdapter = {
  name: 'memory',
  open,
  supports: {
    another: true,
    failing: { refused: true, 'cut-before-commit': WIRE, 'cut-after-commit': WIRE },
    deafFeed: 'not supported: there are no notifications to lose',
    idleTransaction: 'not supported: there are no transactions',
  },
};
