// The EventStoreDB adapter as its contract suites see it: a prefix of its own per ledger, a client of its own per
// instance.
import { randomBytes } from 'node:crypto';
import type { Signer } from '#proofs/keys/signer.ts';
import { connect } from '#streams/eventstore/connect.ts';
import { eventStoreStreamFeed } from '#streams/eventstore/feed.ts';
import { eventStoreStreamStore } from '#streams/eventstore/store.ts';
import type { StreamFeed } from '#streams/stream.ts';
import type { Instance, LedgerAdapter, LedgerUnderTest } from '#test/contracts/ledger-adapter.ts';
import { failingOnce, testSigner } from '#test/support/test-signer.ts';
import type { ServerFault } from './simulated-server.ts';

export interface Server {
  readonly url: string;
  /** Absent from one that cannot be told to. */
  readonly fail?: (fault: ServerFault) => void;
}

/** Longer than any test: what arrives sooner was woken. */
const NEVER_MS = 600_000;

export const openEventStore = async (server: Server): Promise<LedgerUnderTest> => {
  const prefix = `t_${randomBytes(8).toString('hex')}`;
  const { signer, keys } = testSigner();
  const clock = { now: 1_763_715_600_000 };
  const closing: (() => PromiseLike<unknown>)[] = [];
  const connected = () => {
    const store = connect({ url: server.url, prefix });
    closing.push(() => store[Symbol.asyncDispose]());
    return store;
  };
  const feedOn = (options: { readonly pollMs: number; readonly pollOnly?: boolean }): StreamFeed => {
    const feed = eventStoreStreamFeed({ store: connected(), ...options });
    closing.push(() => feed[Symbol.asyncDispose]());
    return feed;
  };
  const open = async (retryForMs = 5_000, signs: Signer = signer): Promise<Instance> => {
    const store = await eventStoreStreamStore({
      store: connected(),
      signer: signs,
      clock: () => clock.now,
      retryForMs,
    });
    closing.push(() => store[Symbol.asyncDispose]());
    return { store, feed: feedOn({ pollMs: NEVER_MS }) };
  };
  return {
    ...(await open()),
    keys,
    clock,
    another: () => open(),
    failing: async (fault) => {
      if (fault === 'unsigned' || fault === 'badly-signed') return await open(0, failingOnce(signer, fault));
      const instance = await open(0);
      server.fail?.(fault);
      return instance;
    },
    deafFeed: async () => feedOn({ pollMs: 200, pollOnly: true }),
    idleTransaction: () => Promise.reject(new Error('EventStoreDB has no transactions that stay open')),
    [Symbol.asyncDispose]: async () => {
      for (const close of closing.reverse()) await close();
    },
  };
};

const NOT_TOLD = 'not supported: a server that is real does not fail when it is told to';

export const eventStore = (name: string, server: () => Server, failing: boolean): LedgerAdapter => ({
  name,
  open: () => openEventStore(server()),
  supports: {
    another: true,
    failing: {
      unsigned: true,
      'badly-signed': true,
      refused: failing || NOT_TOLD,
      'cut-before-commit': failing || NOT_TOLD,
      'cut-after-commit': failing || NOT_TOLD,
    },
    deafFeed: true,
    idleTransaction: 'not supported: EventStoreDB has no transactions that stay open',
  },
});
