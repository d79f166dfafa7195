// Messages for the benchmarks of what takes them: receipts as their producers send them, encoded and on the topic before
// a clock starts. And consumers that do less with them than the ledger does.
import { randomUUID } from 'node:crypto';
import type { EachBatchPayload } from 'kafkajs';
import { canonicalize } from '#proofs/canonical.ts';
import { toAvro } from '#schemas/codec.ts';
import { subjects } from '#schemas/registry/subjects.ts';
import { topicsAdmin } from '#streams/kafka/admin.ts';
import { type KafkaConnection, kafkaConnection } from '#streams/kafka/connect.ts';
import { FRAME_BYTES, framed, framedId, type WireSchemas, wireSchemas } from '#streams/kafka/registry.ts';
import { declared } from '#streams/kafka/topics.ts';
import { binaryWriter } from '#streams/postgres/binary.ts';
import { type Pool, withClient } from '#streams/postgres/connect.ts';
import { copyIn } from '#streams/postgres/copy.ts';
import { ownPrefix } from '#test/support/topics.ts';
import { receiptTexts } from './receipts.ts';

export const RECEIPTS_TOPIC = 'provenance.receipts.v1';
export const TENANTS: readonly string[] = Array.from({ length: 12 }, (_, n) => `tenant-${n}`);

export interface Filled {
  readonly connection: KafkaConnection;
  readonly schemas: WireSchemas;
  /** Of receipts. */
  readonly schemaId: number;
  /** As the cluster calls it. */
  readonly topic: string;
  readonly messages: number;
}

const REQUEST = 2_000;
const KEYS_PER_TENANT = 50;

/** One receipt as a message's value. */
export const valueOf = (receipt: object, schemaId: number): Buffer =>
  framed(schemaId, toAvro('receipts.ReceiptRecorded', receipt, canonicalize));

/** A topic of its own name with `messages` receipts on it, of all tenants in turn. */
export const filledTopic = async (
  { broker, registryUrl }: { readonly broker: string; readonly registryUrl: string },
  messages: number,
): Promise<Filled> => {
  const connection = kafkaConnection({ brokers: [broker], topicPrefix: ownPrefix() });
  const schemas = wireSchemas({ url: registryUrl });
  for (const subject of subjects()) await schemas.publish(subject);
  await using admin = await topicsAdmin(connection, {
    topics: [RECEIPTS_TOPIC, `${RECEIPTS_TOPIC}.dlq`].map(declared),
  });
  await admin.apply();
  const subject = subjects().find(({ name }) => name === 'receipts.ReceiptRecorded');
  if (!subject) throw new Error('receipts have no schema');
  const schemaId = await schemas.idOf(subject);
  await schemas.learn(schemaId);
  const topic = connection.topic(RECEIPTS_TOPIC);
  const producer = connection.kafka.producer({ allowAutoTopicCreation: false });
  await producer.connect();
  const texts = TENANTS.map((tenant, seed) => receiptTexts({ tenant, count: messages, seed }));
  for (let sent = 0; sent < messages; sent += REQUEST) {
    const request = Array.from({ length: Math.min(REQUEST, messages - sent) }, (_, index) => {
      const at = sent + index;
      const tenant = at % TENANTS.length;
      const text = texts[tenant]?.next().value as string;
      const key = `${TENANTS[tenant]}/${Math.floor(at / TENANTS.length) % KEYS_PER_TENANT}`;
      return { key, value: valueOf(JSON.parse(text) as object, schemaId) };
    });
    await producer.send({ topic, acks: -1, messages: request });
  }
  await producer.disconnect();
  return { connection, schemas, schemaId, topic, messages };
};

interface Receipt {
  readonly [member: string]: unknown;
}

/** The receipts of a batch; no promise for each of them, as a reader that wants to be quick has it. */
const decode = ({ schemas }: Filled, { batch }: EachBatchPayload): readonly Receipt[] =>
  batch.messages.map(({ value }) => {
    const bytes = value as Buffer;
    const reader = schemas.reader(framedId(bytes) as number);
    return reader?.read(bytes.subarray(FRAME_BYTES)) as Receipt;
  });

/** What a consumer took for a topic, from its group's assignment to the last message. */
export interface Drained {
  readonly perSecond: number;
  /** Microseconds of this process for a message, on whichever thread: what others on the machine do changes little of it. */
  readonly cpu: number;
}

/** A clock that the assignment starts. */
export const stopwatch = (messages: number) => {
  let began = performance.now();
  let usage = process.cpuUsage();
  return {
    start: (): void => {
      began = performance.now();
      usage = process.cpuUsage();
    },
    stop: (): Drained => {
      const { user, system } = process.cpuUsage(usage);
      return {
        perSecond: messages / ((performance.now() - began) / 1_000),
        cpu: (user + system) / messages,
      };
    },
  };
};

const drained = async (
  filled: Filled,
  take: (receipts: readonly Receipt[]) => Promise<void> | void,
): Promise<Drained> => {
  const { connection, topic, messages } = filled;
  const consumer = connection.kafka.consumer({ groupId: `bare-${randomUUID()}`, maxWaitTimeInMs: 200 });
  const { promise: done, resolve, reject } = Promise.withResolvers<Drained>();
  const watch = stopwatch(messages);
  let taken = 0;
  consumer.on(consumer.events.GROUP_JOIN, watch.start);
  consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error));
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  await consumer.run({
    partitionsConsumedConcurrently: 6,
    eachBatch: async (payload) => {
      const receipts = decode(filled, payload);
      await take(receipts);
      taken += receipts.length;
      if (taken >= messages) resolve(watch.stop());
    },
  });
  const took = await done;
  await consumer.disconnect();
  return took;
};

/** Decodes, and keeps nothing. */
export const decodeOnly = (filled: Filled): Promise<Drained> => drained(filled, () => undefined);

/** Decodes, and copies the rows into a table without an index: no hash, no signature, nothing is looked for. */
export const decodeAndCopy = async (filled: Filled, pool: Pool): Promise<Drained> => {
  await pool.query(`DROP TABLE IF EXISTS bare_receipts; CREATE TABLE bare_receipts (tenant text NOT NULL, id text NOT NULL,
    actor text NOT NULL, action text NOT NULL, decision text NOT NULL, created_at timestamptz NOT NULL, payload text NOT NULL)`);
  return await drained(filled, async (receipts) => {
    const writer = binaryWriter(receipts.length * 1_024);
    for (const receipt of receipts) {
      writer.u16(7);
      for (const name of ['tenant', 'id', 'actor', 'action', 'decision']) writer.text(String(receipt[name]));
      writer.timestamptz(Date.parse(String(receipt['created_at'])));
      writer.text(JSON.stringify(receipt));
    }
    await withClient(pool, (client) => copyIn(client, { target: 'bare_receipts', rows: writer.take() }));
  });
};
