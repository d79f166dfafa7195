// Where the partitions of a topic begin and end.
import type { Admin } from 'kafkajs';
import type { KafkaConnection } from './connect.ts';

export interface Span {
  readonly partition: number;
  /** The offset of the oldest message that is kept. */
  readonly low: number;
  /** The offset that is given next. */
  readonly end: number;
}

/** `topic` as the cluster calls it. Throws what the driver does. */
export const spansOf = async (
  admin: Pick<Admin, 'fetchTopicOffsets'>,
  topic: string,
): Promise<readonly Span[]> =>
  (await admin.fetchTopicOffsets(topic)).map(({ partition, low, high }) => ({
    partition,
    low: Number(low),
    end: Number(high),
  }));

/** By partition. `topic` as the cluster calls it. Throws what the driver does. */
export const spansOn = async (
  { kafka }: KafkaConnection,
  topic: string,
): Promise<ReadonlyMap<number, Span>> => {
  const admin = kafka.admin();
  try {
    await admin.connect();
    return new Map((await spansOf(admin, topic)).map((span) => [span.partition, span]));
  } finally {
    await admin.disconnect();
  }
};
