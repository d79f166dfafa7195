// From a producer's send to the row in the read model, through the processes as they are deployed: `kafka-ingest` and
// `projector-worker` on a durable database. The rows are looked for as an analyst would, by asking.
import { setTimeout as pause } from 'node:timers/promises';
import { connect, type Pool } from '#streams/postgres/connect.ts';
import { start } from '#test/deploy/processes/program.ts';
import { openSite, TENANTS } from '#test/faults/site.ts';
import { quantile } from './harness.ts';
import { type Filled, filledTopic, valueOf } from './kafka-load.ts';
import { receiptTexts } from './receipts.ts';

export interface Latency {
  readonly perSecond: number;
  /** Milliseconds. */
  readonly p50: number;
  readonly p99: number;
  readonly most: number;
}

interface Rate {
  /** Messages a second. */
  readonly rate: number;
  readonly seconds: number;
}

const ASK_EVERY_MS = 10;
const SEND_EVERY_MS = 10;
const WARMUP_SECONDS = 5;
const SEEN_WITHIN_MS = 60_000;
const TENANT = String(TENANTS[0]);

export const measureLatency = async (
  pair: Parameters<typeof filledTopic>[0],
  { rate, seconds }: Rate,
): Promise<Latency> => {
  const filled = await filledTopic(pair, 0);
  await using site = await openSite();
  const env = {
    ...site.environment,
    PROV_LEDGER_OPERATORS_PORT: '0',
    PROV_LEDGER_KAFKA_BROKERS: pair.broker,
    PROV_LEDGER_REGISTRY_URL: pair.registryUrl,
    PROV_LEDGER_KAFKA_PREFIX: filled.connection.topic(''),
  };
  const programs = ['kafka-ingest', 'projector-worker'].map((name) => start('cli.ts', [name], { env }));
  const pool = connect({ url: site.server.url, max: 2 });
  try {
    await programs[0]?.says(/given out its partitions/);
    await programs[1]?.says(/another part of the tenants/);
    await timed(filled, pool, { rate, seconds: WARMUP_SECONDS });
    return await timed(filled, pool, { rate, seconds });
  } finally {
    await pool.end();
    for (const { child, ended } of programs) {
      child.kill('SIGTERM');
      await ended;
    }
  }
};

let seed = 1_000;

const timed = async (filled: Filled, pool: Pool, { rate, seconds }: Rate): Promise<Latency> => {
  const sentAt = new Map<string, number>();
  seed += 1;
  const values = encoded(filled, rate * seconds);
  const watching = watch(pool, sentAt, values.length);
  const began = performance.now();
  await send(filled, { values, rate, sentAt });
  const perSecond = values.length / ((performance.now() - began) / 1_000);
  const latencies = await watching;
  return {
    perSecond,
    p50: quantile(latencies, 0.5),
    p99: quantile(latencies, 0.99),
    most: Math.max(...latencies),
  };
};

interface Encoded {
  readonly id: string;
  readonly value: Buffer;
}

const encoded = ({ schemaId }: Filled, count: number): readonly Encoded[] =>
  Array.from(receiptTexts({ tenant: TENANT, count, seed }), (text) => {
    const receipt = JSON.parse(text) as { readonly id: string };
    return { id: receipt.id, value: valueOf(receipt, schemaId) };
  });

interface Sending extends Pick<Rate, 'rate'> {
  readonly values: readonly Encoded[];
  readonly sentAt: Map<string, number>;
}

/** What is due goes out every few milliseconds; a send that is slow makes the next ones late, and that is counted. */
const send = async ({ connection, topic }: Filled, { values, rate, sentAt }: Sending): Promise<void> => {
  const producer = connection.kafka.producer({ allowAutoTopicCreation: false });
  await producer.connect();
  const began = performance.now();
  const under: Promise<unknown>[] = [];
  for (let sent = 0; sent < values.length; ) {
    const due = Math.min(values.length, Math.ceil(((performance.now() - began) / 1_000) * rate));
    const messages = values.slice(sent, due).map(({ id, value }, index) => {
      sentAt.set(id, began + ((sent + index) / rate) * 1_000);
      return { key: id, value };
    });
    sent = due;
    if (messages.length > 0) under.push(producer.send({ topic, acks: -1, messages }));
    await pause(SEND_EVERY_MS);
  }
  await Promise.all(under);
  await producer.disconnect();
};

/** Milliseconds of each message from when it was due to be sent until a query found its row. */
const watch = async (
  pool: Pool,
  sentAt: ReadonlyMap<string, number>,
  count: number,
): Promise<readonly number[]> => {
  const latencies: number[] = [];
  const { rows: before } = await pool.query<{ seq: number }>(
    'SELECT coalesce(max(seq), 0) AS seq FROM views.receipts WHERE tenant = $1',
    [TENANT],
  );
  let seq = before[0]?.seq ?? 0;
  for (let seenAt = performance.now(); latencies.length < count; await pause(ASK_EVERY_MS)) {
    const { rows } = await pool.query<{ seq: number; receipt_id: string }>(
      'SELECT seq, receipt_id FROM views.receipts WHERE tenant = $1 AND seq > $2 ORDER BY seq',
      [TENANT, seq],
    );
    const now = performance.now();
    for (const row of rows) latencies.push(now - (sentAt.get(row.receipt_id) as number));
    seq = rows.at(-1)?.seq ?? seq;
    if (rows.length > 0) seenAt = now;
    if (now > seenAt + SEEN_WITHIN_MS) throw new Error(`only ${latencies.length} of ${count} rows came`);
  }
  return latencies;
};
