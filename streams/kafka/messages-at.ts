// Single messages of a topic, by their places: for whoever wants to know whether a topic still is what it was.
import { randomUUID } from 'node:crypto';
import type { KafkaMessage } from 'kafkajs';
import { inTime } from '#streams/in-time.ts';
import type { KafkaConnection } from './connect.ts';

const WITHIN_MS = 20_000;

/**
 * The messages at these offsets, by partition; those that are not there any more are left out, as are those that no broker
 * has given within twenty seconds. `topic` as the cluster calls it. Throws what the driver does.
 */
export const messagesAt = async (
  { kafka }: KafkaConnection,
  topic: string,
  offsets: ReadonlyMap<number, number>,
): Promise<ReadonlyMap<number, KafkaMessage>> => {
  const found = new Map<number, KafkaMessage>();
  if (offsets.size === 0) return found;
  const left = new Set(offsets.keys());
  const all = Promise.withResolvers<void>();
  const consumer = kafka.consumer({
    groupId: `prov-ledger-look-${randomUUID()}`,
    maxWaitTimeInMs: 200,
    allowAutoTopicCreation: false,
  });
  consumer.on(consumer.events.GROUP_JOIN, () => {
    for (const [partition, offset] of offsets) consumer.seek({ topic, partition, offset: String(offset) });
  });
  try {
    await consumer.connect();
    await consumer.subscribe({ topics: [topic], fromBeginning: false });
    await consumer.run({
      autoCommit: false,
      eachBatch: async ({ batch: { partition, messages } }) => {
        const wanted = offsets.get(partition) ?? 0;
        const first = messages.find(({ offset }) => Number(offset) >= wanted);
        if (!first || !left.delete(partition)) return;
        if (Number(first.offset) === wanted) found.set(partition, first);
        if (left.size === 0) all.resolve();
      },
    });
    await inTime(WITHIN_MS, all.promise);
    return found;
  } finally {
    await consumer.disconnect().catch(() => undefined);
  }
};
