// npm run bench:kafka [-- --size 1000000 --runs 3 --only ingest|latency --json]
//
//   kafka-ingest   messages over six partitions into durable, deduplicated, chained, signed facts, against a bare consumer
//                  that decodes the very same messages and COPYs the rows; beside it one that only decodes
//   kafka-latency  2,000 messages a second through `kafka-ingest` and `projector-worker`: from the producer's send to the
//                  row in the read model
//
// Broker, database and consumers share the machine; each consumer begins with its group's partitions at hand.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startDevPair } from '#deploy/dev/pair.ts';
import { messageReader } from '#gateway/kafka/read-message.ts';
import { conflictRecord } from '#gateway/kafka/records.ts';
import { messageGates } from '#gateway/tenancy/write-gate.ts';
import type { Instant } from '#schemas/ids.ts';
import { consumeMessages } from '#streams/kafka/consume.ts';
import { appendTogether } from '#streams/postgres/together.ts';
import { postgresIntake } from '#streams/postgres/transport/intake.ts';
import { stopTestServers } from '#test/support/postgres.ts';
import { type BenchResult, benchArguments, median, report } from './harness.ts';
import { type Latency, measureLatency } from './kafka-latency.ts';
import {
  type Drained,
  decodeAndCopy,
  decodeOnly,
  type Filled,
  filledTopic,
  stopwatch,
  TENANTS,
} from './kafka-load.ts';
import { type BenchLedger, benchLedger, createTenant } from './ledger.ts';

const { json, only, runs, size } = benchArguments({ runs: 3, size: 200_000 });
const LATENCY_SECONDS = 20;
const LATENCY_MS_MAX = 2_000;
const RATE = 2_000;

const ingested = async (
  { connection, schemas, topic, messages }: Filled,
  ledger: BenchLedger,
): Promise<Drained> => {
  const { pool, store, keys } = ledger;
  const together = appendTogether({ pool, ledgerId: store.ledgerId, signer: keys.signer });
  const { promise: done, resolve } = Promise.withResolvers<Drained>();
  const watch = stopwatch(messages);
  let accepted = 0;
  const consumption = await consumeMessages({
    connection,
    groupId: `ingest-${topic}`,
    topics: [topic],
    intake: postgresIntake({ pool, together, gates: messageGates(store), noteConflict: conflictRecord }),
    read: messageReader({
      schemas,
      eventsOf: () => ['receipts.ReceiptRecorded'],
      clock: Date.now as () => Instant,
    }),
    onEvent: (event) => {
      if (event.type === 'assigned') watch.start();
      if (event.type !== 'stored') return;
      accepted += event.counts.accepted;
      if (accepted === messages) resolve(watch.stop());
    },
  });
  const took = await done;
  await consumption.stop();
  return took;
};

const ledgerForMessages = async (): Promise<BenchLedger> => {
  const ledger = await benchLedger();
  for (const tenant of TENANTS) await createTenant(ledger, tenant);
  return ledger;
};

const ingest = async (pair: Parameters<typeof filledTopic>[0]): Promise<BenchResult> => {
  const filled = await filledTopic(pair, size);
  const rounds: { readonly ours: Drained; readonly bare: Drained; readonly decoding: Drained }[] = [];
  for (let run = 0; run < runs; run += 1) {
    await using ledger = await ledgerForMessages();
    const ours = await ingested(filled, ledger);
    const bare = await decodeAndCopy(filled, ledger.owner);
    rounds.push({ ours, bare, decoding: await decodeOnly(filled) });
  }
  const middle = (of: (round: (typeof rounds)[number]) => number): number => median(rounds.map(of));
  return {
    name: 'kafka-ingest',
    ratio: middle(({ ours, bare }) => ours.perSecond / bare.perSecond),
    goal: 0.7,
    yardstick: 'a bare consumer that decodes the same messages and COPYs the rows',
    runs,
    figures: {
      'ingest, messages/s': middle(({ ours }) => ours.perSecond),
      'decodes and COPYs, messages/s': middle(({ bare }) => bare.perSecond),
      'only decodes, messages/s': middle(({ decoding }) => decoding.perSecond),
      'of one that only decodes': middle(({ ours, decoding }) => ours.perSecond / decoding.perSecond),
      'ingest, CPU us/message': middle(({ ours }) => ours.cpu),
      'decodes and COPYs, CPU us/message': middle(({ bare }) => bare.cpu),
      messages: size,
    },
  };
};

const latency = async (pair: Parameters<typeof filledTopic>[0]): Promise<BenchResult> => {
  const measured: Latency = await measureLatency(pair, { rate: RATE, seconds: LATENCY_SECONDS });
  return {
    name: 'kafka-latency',
    ratio: LATENCY_MS_MAX / measured.p99,
    goal: 1,
    yardstick: `${LATENCY_MS_MAX} ms at the 99th percentile, from send to queryable row, at ${RATE}/s`,
    runs: 1,
    figures: {
      'messages/s sent': measured.perSecond,
      'p50 ms': measured.p50,
      'p99 ms': measured.p99,
      'at most, ms': measured.most,
    },
  };
};

const dataDir = await mkdtemp(join(tmpdir(), 'prov-ledger-bench-kafka-'));
try {
  await using pair = await startDevPair({ dataDir });
  const results: BenchResult[] = [];
  if (only !== 'latency') results.push(await ingest(pair));
  if (only !== 'ingest') results.push(await latency(pair));
  report(results, json);
} finally {
  await stopTestServers();
  await rm(dataDir, { recursive: true, force: true, maxRetries: 5 });
}
