// The Kafka feed as its contract suites see it: a ledger on PostgreSQL, a relay, topics of their own, and feeds on them.
import { kafkaStreamFeed } from '#streams/kafka/feed.ts';
import type { StreamFeed } from '#streams/stream.ts';
import type { Instance, LedgerAdapter, LedgerUnderTest } from '#test/contracts/ledger-adapter.ts';
import { openPostgres, postgres } from '#test/streams/postgres/postgres-adapter.ts';
import type { KafkaPair } from '#test/support/kafka.ts';
import { type LedgerTopics, ledgerTopics } from '#test/support/ledger-topic.ts';
import { transportTemplate } from '#test/support/transport.ts';
import type { RelayThread } from './relay-thread.ts';

/** Longer than any test: what arrives sooner came over the topic. */
const NEVER_MS = 600_000;

export interface KafkaParts {
  readonly pair: KafkaPair;
  readonly relays: RelayThread;
}

const open = async ({ pair, relays }: KafkaParts): Promise<LedgerUnderTest> => {
  await using opening = new AsyncDisposableStack();
  const { feed: _, ...ledger } = opening.use(await openPostgres(transportTemplate));
  const topics = await ledgerTopics(pair);
  const { url } = ledger.database;
  opening.use(await relays.open({ ...pair, url, prefix: topics.connection.topic('') }));
  const opened = opening.move();
  const feedOn = (on: LedgerTopics, store: Instance['store'], quietMs = NEVER_MS): StreamFeed =>
    opened.use(kafkaStreamFeed({ ...on, store, quietMs }));
  return {
    ...ledger,
    feed: feedOn(topics, ledger.store),
    another: async () => {
      const { store } = await ledger.another();
      return { store, feed: feedOn(topics, store) };
    },
    // Of topics to which no relay writes.
    deafFeed: async () => feedOn(await ledgerTopics(pair), ledger.store, 200),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
};

export const kafka = (parts: () => KafkaParts): LedgerAdapter => ({
  name: 'kafka',
  open: () => open(parts()),
  supports: postgres.supports,
});
