// Topics of tests: names of their own, and what operators and retention do to them, by accident or not. Topics are named
// as they are declared.
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { Admin } from 'kafkajs';
import { topicsAdmin } from '#streams/kafka/admin.ts';
import type { KafkaConnection } from '#streams/kafka/connect.ts';
import { declared } from '#streams/kafka/topics.ts';

/** Topics of one's own on a broker that others use too, and that was used before. */
export const ownPrefix = (): string => `${randomUUID().slice(0, 8)}.`;

export const withAdmin = async <T>(
  { kafka }: KafkaConnection,
  work: (admin: Admin) => Promise<T>,
): Promise<T> => {
  const admin = kafka.admin();
  await admin.connect();
  try {
    return await work(admin);
  } finally {
    await admin.disconnect();
  }
};

const MADE_WITHIN_MS = 60_000;

/** As an operator does who deletes a topic by mistake: it is back, empty, with the same name. */
export const makeAnew = async (connection: KafkaConnection, topic: string): Promise<void> => {
  await withAdmin(connection, (admin) => admin.deleteTopics({ topics: [connection.topic(topic)] }));
  for (const deadline = Date.now() + MADE_WITHIN_MS; ; await pause(100)) {
    await using topics = await topicsAdmin(connection, { topics: [declared(topic)] });
    // Until it is gone it is there, and nothing is made.
    const made = await topics.apply().catch(() => []);
    if (made.length > 0) return;
    if (Date.now() > deadline) throw new Error(`${topic} was not made again`);
  }
};

/** As retention does: what the topic holds at this moment is gone, and what comes then has the offsets behind it. */
export const removeWhatIsThere = async (connection: KafkaConnection, topic: string): Promise<void> =>
  await withAdmin(connection, async (admin) => {
    const name = connection.topic(topic);
    const ends = await admin.fetchTopicOffsets(name);
    await admin.deleteTopicRecords({
      topic: name,
      partitions: ends.map(({ partition, high }) => ({ partition, offset: high })),
    });
  });
