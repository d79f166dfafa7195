// Relays of a test's ledgers in a thread of their own, as they are a process of their own: what a feed leaves behind is
// then the feed's.
import { once } from 'node:events';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import { kafkaConnection } from '#streams/kafka/connect.ts';
import { wireSchemas } from '#streams/kafka/registry.ts';
import { relayLedger } from '#streams/kafka/relay.ts';
import { connect, RUNTIME_ROLE } from '#streams/postgres/connect.ts';
import { oneDatabase } from '#streams/postgres/databases.ts';
import { postgresStreamFeed } from '#streams/postgres/feed.ts';
import { postgresStreamStore } from '#streams/postgres/store.ts';
import { testSigner } from '#test/support/test-signer.ts';

export interface RelayedLedger {
  readonly url: string;
  readonly broker: string;
  readonly registryUrl: string;
  readonly prefix: string;
}

interface Command {
  readonly kind: 'open' | 'close';
  readonly of: RelayedLedger;
}

export interface RelayThread extends AsyncDisposable {
  /** Resolves once the ledger's relay serves its topics. */
  readonly open: (of: RelayedLedger) => Promise<AsyncDisposable>;
}

/** One command at a time: each is answered before the next is sent. */
export const relayThread = (): RelayThread => {
  const worker = new Worker(new URL(import.meta.url));
  worker.unref();
  const told = async (command: Command): Promise<void> => {
    worker.postMessage(command);
    await once(worker, 'message');
  };
  return {
    open: async ({ url, broker, registryUrl, prefix }) => {
      const of = { url, broker, registryUrl, prefix };
      await told({ kind: 'open', of });
      return { [Symbol.asyncDispose]: () => told({ kind: 'close', of }) };
    },
    [Symbol.asyncDispose]: async () => {
      await worker.terminate();
    },
  };
};

const relayOn = async ({ url, broker, registryUrl, prefix }: RelayedLedger): Promise<AsyncDisposable> => {
  await using opening = new AsyncDisposableStack();
  const pool = connect({ url, max: 4, role: RUNTIME_ROLE, name: 'relay' });
  opening.defer(() => pool.end());
  const { signer } = testSigner();
  const store = opening.use(await postgresStreamStore({ pool, signer }));
  const feed = opening.use(postgresStreamFeed({ pool }));
  const ending = new AbortController();
  const leading = Promise.withResolvers<void>();
  const relaying = relayLedger({
    connection: kafkaConnection({ brokers: [broker], topicPrefix: prefix }),
    schemas: wireSchemas({ url: registryUrl }),
    databases: oneDatabase(pool),
    store,
    feed,
    signal: ending.signal,
    onEvent: ({ type }) => {
      if (type === 'leading') leading.resolve();
    },
  });
  opening.defer(async () => {
    ending.abort();
    await relaying;
  });
  await leading.promise;
  const open = opening.move();
  return { [Symbol.asyncDispose]: () => open.disposeAsync() };
};

if (!isMainThread) {
  const relays = new Map<string, AsyncDisposable>();
  const obey = async ({ kind, of }: Command): Promise<void> => {
    if (kind === 'open') relays.set(of.prefix, await relayOn(of));
    else await relays.get(of.prefix)?.[Symbol.asyncDispose]();
    parentPort?.postMessage('done');
  };
  parentPort?.on('message', (command: Command) => void obey(command));
}
