// npm run bench:relay [-- --size 100000 --runs 3 --json]
//
// The relay against a bare kafkajs producer that sends the very same messages, made before the clock starts, in requests
// of 2,000: what reading the store, making the messages and noting what was acknowledged costs.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { startDevPair } from '#deploy/dev/pair.ts';
import { tenantId } from '#schemas/ids.ts';
import { EVENTS_TOPIC, relayLedger } from '#streams/kafka/relay.ts';
import { oneDatabase } from '#streams/postgres/databases.ts';
import { postgresStreamFeed } from '#streams/postgres/feed.ts';
import { relayLag } from '#streams/postgres/transport/relayed.ts';
import { everythingOn, type LedgerTopics, ledgerTopics } from '#test/support/ledger-topic.ts';
import { stopTestServers } from '#test/support/postgres.ts';
import { draftOf } from './drafts.ts';
import { benchArguments, median, report, seconds } from './harness.ts';
import { type BenchLedger, benchLedger, createTenant } from './ledger.ts';
import { receiptTexts } from './receipts.ts';

const { json, runs, size } = benchArguments({ runs: 3, size: 100_000 });
const TENANTS = 12;
const REQUEST = 2_000;
const AT_ONCE = 1_000;

const filled = async (ledger: BenchLedger): Promise<void> => {
  const share = Math.ceil(size / TENANTS);
  for (let tenant = 0; tenant < TENANTS; tenant += 1) {
    const name = `tenant-${tenant}`;
    await createTenant(ledger, name);
    const drafts = Array.from(receiptTexts({ tenant: name, count: share }), draftOf);
    for (let at = 0; at < share; at += AT_ONCE)
      await ledger.store.append({
        tenant: tenantId(name),
        drafts: drafts.slice(at, at + AT_ONCE),
        expect: { kind: 'any' },
      });
  }
};

/** Seconds from the relay's turn to the last acknowledgement that is noted. */
const relayed = async ({ pool, store }: BenchLedger, topics: LedgerTopics): Promise<number> => {
  const ending = new AbortController();
  const leading = Promise.withResolvers<void>();
  await using feed = postgresStreamFeed({ pool });
  const relaying = relayLedger({
    ...topics,
    databases: oneDatabase(pool),
    store,
    feed,
    signal: ending.signal,
    onEvent: ({ type }) => {
      if (type === 'leading') leading.resolve();
    },
  });
  await leading.promise;
  const topic = topics.connection.topic(EVENTS_TOPIC);
  const took = await seconds(async () => {
    while ((await relayLag(oneDatabase(pool), topic)).facts > 0) await pause(20);
  });
  ending.abort();
  await relaying;
  return took;
};

const bare = async (from: LedgerTopics, to: LedgerTopics): Promise<number> => {
  const messages = (await everythingOn(from.connection, EVENTS_TOPIC)).map(
    ({ key, value, headers, partition }) => ({
      key,
      value,
      partition,
      headers: headers as Record<string, Buffer>,
    }),
  );
  const producer = to.connection.kafka.producer({ maxInFlightRequests: 1 });
  await producer.connect();
  const topic = to.connection.topic(EVENTS_TOPIC);
  const took = await seconds(async () => {
    for (let at = 0; at < messages.length; at += REQUEST)
      await producer.send({ topic, acks: -1, messages: messages.slice(at, at + REQUEST) });
  });
  await producer.disconnect();
  return took;
};

const dataDir = await mkdtemp(join(tmpdir(), 'prov-ledger-bench-kafka-'));
try {
  await using pair = await startDevPair({ dataDir });
  await using ledger = await benchLedger();
  await filled(ledger);
  const ours: number[] = [];
  const theirs: number[] = [];
  for (let run = 0; run < runs; run += 1) {
    const topics = await ledgerTopics(pair);
    ours.push(size / (await relayed(ledger, topics)));
    theirs.push(size / (await bare(topics, await ledgerTopics(pair))));
  }
  report(
    [
      {
        name: 'kafka-relay',
        ratio: median(ours.map((rate, run) => rate / (theirs[run] as number))),
        goal: 0.5,
        yardstick: 'a bare producer of the same messages',
        runs,
        figures: { 'relay, facts/s': median(ours), 'bare producer, messages/s': median(theirs), facts: size },
      },
    ],
    json,
  );
} finally {
  await stopTestServers();
  await rm(dataDir, { recursive: true, force: true, maxRetries: 5 });
}
