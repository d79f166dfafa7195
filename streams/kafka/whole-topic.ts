// A topic from its beginning to where it ended when the reading began, to be pulled: a partition's next batch is fetched
// once the one before was taken. For whoever reads it once and leaves nothing behind in the group's offsets.
import { randomUUID } from 'node:crypto';
import type { Consumer, EachBatchPayload, KafkaMessage } from 'kafkajs';
import type { KafkaConnection } from './connect.ts';
import { type Span, spansOn } from './ends.ts';
import { kafkaError } from './errors.ts';

export interface Portion {
  readonly partition: number;
  readonly messages: readonly KafkaMessage[];
}

export interface WholeTopic {
  /** As the cluster calls it. */
  readonly topic: string;
  /** Offsets between the beginnings and the ends of all partitions. */
  readonly total: number;
  /** Each partition in its order. Ends early, without an error, when the signal aborts. Throws `KafkaError`. */
  readonly portions: (signal: AbortSignal) => AsyncGenerator<Portion>;
}

/** Notes the ends. Throws `KafkaError`. */
export const wholeTopic = async (connection: KafkaConnection, declared: string): Promise<WholeTopic> => {
  const topic = connection.topic(declared);
  try {
    const spans = [...(await spansOn(connection, topic)).values()];
    const total = spans.reduce((sum, { low, end }) => sum + end - low, 0);
    return {
      topic,
      total,
      portions: (signal) => portions(connection.kafka.consumer(CONSUMER()), { topic, spans, signal }),
    };
  } catch (error) {
    throw kafkaError(error);
  }
};

const SESSION_MS = 30_000;

const CONSUMER = () => ({
  groupId: `prov-ledger-once-${randomUUID()}`,
  sessionTimeout: SESSION_MS,
  maxWaitTimeInMs: 200,
  allowAutoTopicCreation: false,
  retry: { initialRetryTime: 100, maxRetryTime: 2_000 },
});

interface Reading {
  readonly topic: string;
  readonly spans: readonly Span[];
  readonly signal: AbortSignal;
}

interface Offer extends Portion {
  readonly taken: () => void;
}

const portions = async function* (
  consumer: Consumer,
  { topic, spans, signal }: Reading,
): AsyncGenerator<Portion> {
  const left = new Map(
    spans.filter(({ low, end }) => end > low).map(({ partition, end }) => [partition, end]),
  );
  const next = new Map(spans.map(({ partition, low }) => [partition, low]));
  const offers: Offer[] = [];
  /** Not taken yet when whoever pulls stops in the midst of it. */
  let current: Offer | undefined;
  let came = Promise.withResolvers<void>();
  const ring = (): void => came.resolve();
  const offer = async ({ batch: { partition, messages }, heartbeat }: EachBatchPayload): Promise<void> => {
    if (signal.aborted || !left.has(partition)) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const beat = setInterval(() => void heartbeat().catch(() => undefined), SESSION_MS / 10);
    offers.push({ partition, messages, taken: resolve });
    ring();
    await promise;
    clearInterval(beat);
  };
  signal.addEventListener('abort', ring);
  try {
    if (left.size > 0) await begin(consumer, topic, offer);
    while (left.size > 0 && !signal.aborted) {
      current = offers.shift();
      if (!current) {
        await came.promise;
        came = Promise.withResolvers();
        continue;
      }
      const { partition } = current;
      const end = left.get(partition) ?? 0;
      // After a failure the driver begins a partition anew.
      const from = next.get(partition) ?? 0;
      const fresh = current.messages.filter(({ offset }) => Number(offset) >= from && Number(offset) < end);
      if (fresh.length > 0) yield { partition, messages: fresh };
      const last = Number(current.messages.at(-1)?.offset ?? from - 1);
      next.set(partition, Math.max(from, last + 1));
      if (last + 1 >= end) {
        left.delete(partition);
        consumer.pause([{ topic, partitions: [partition] }]);
      }
      current.taken();
    }
  } finally {
    signal.removeEventListener('abort', ring);
    left.clear();
    current?.taken();
    for (const { taken } of offers) taken();
    await consumer.disconnect().catch(() => undefined);
  }
};

const begin = async (
  consumer: Consumer,
  topic: string,
  eachBatch: (payload: EachBatchPayload) => Promise<void>,
): Promise<void> => {
  try {
    await consumer.connect();
    await consumer.subscribe({ topics: [topic], fromBeginning: true });
    await consumer.run({ autoCommit: false, partitionsConsumedConcurrently: 12, eachBatch });
  } catch (error) {
    throw kafkaError(error);
  }
};
