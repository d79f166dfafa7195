// Where the partitions of a topic end.
import type { KafkaConnection } from './connect.ts';

/** The offset that each partition gives next, by partition. `topic` as the cluster calls it. Throws what the driver does. */
export const endsOf = async (
  { kafka }: KafkaConnection,
  topic: string,
): Promise<ReadonlyMap<number, number>> => {
  const admin = kafka.admin();
  try {
    await admin.connect();
    const offsets = await admin.fetchTopicOffsets(topic);
    return new Map(offsets.map(({ partition, high }) => [partition, Number(high)]));
  } finally {
    await admin.disconnect();
  }
};
