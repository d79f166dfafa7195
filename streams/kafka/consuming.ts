// What one member of a group has at hand while it consumes, and where its consumer is sent.
import type { Admin, Consumer, KafkaMessage } from 'kafkajs';
import type { StreamError } from '#streams/errors.ts';
import type { FlowCounts } from '#streams/postgres/transport/flow.ts';
import type { Intake } from '#streams/postgres/transport/intake.ts';
import type { Place, Reader } from '#streams/postgres/transport/message.ts';
import type { Position } from '#streams/postgres/transport/positions.ts';
import type { KafkaConnection } from './connect.ts';
import { type Span, spansOf } from './ends.ts';
import type { GroupCommit } from './group-commit.ts';

export type ConsumptionEvent =
  | ({ readonly type: 'stored'; readonly counts: FlowCounts; readonly dead: number } & Place)
  /** The group has given this member these partitions. */
  | { readonly type: 'assigned'; readonly partitions: number }
  /** The store does not answer; the same messages are tried again. */
  | { readonly type: 'waiting'; readonly error: StreamError }
  /** Retention has removed messages before they were taken: they are counted, and whoever sent them must send them again. */
  | ({ readonly type: 'lost'; readonly messages: number } & Place)
  /** The topic ends before the position, at `end`, or holds another message before it: it was made anew, and is taken from its beginning. */
  | ({ readonly type: 'anew'; readonly position: number; readonly end: number } & Place)
  | { readonly type: 'crashed'; readonly error: Error };

export interface ConsumeOptions {
  readonly connection: KafkaConnection;
  readonly groupId: string;
  /** As the cluster calls them. */
  readonly topics: readonly string[];
  readonly intake: Intake;
  readonly read: Reader;
  readonly onEvent?: (event: ConsumptionEvent) => void;
  /** Without a sign of life for so long, the group takes the partitions away; 10,000 unless told. */
  readonly sessionTimeoutMs?: number;
}

export interface Partition {
  position: Position;
  /** The offset that the topic gives next. */
  end: number;
  /** Where the consumer was sent, after it had fetched from elsewhere. */
  sought?: number;
  /** When the last batch came, by the process's clock. */
  cameAt: number;
  /** The position before which the last message was looked for again. */
  looked?: number;
}

export interface Consuming extends ConsumeOptions {
  readonly admin: Admin;
  readonly consumer: Consumer;
  readonly commit: GroupCommit;
  readonly partitions: Map<string, Partition>;
  /** Settles once the positions of the last assignment are known. */
  joining: Promise<void>;
}

export const nameOf = ({ topic, partition }: Place): string => `${partition} ${topic}`;

export interface Taking {
  readonly place: Place;
  readonly its: Partition;
  readonly messages: readonly KafkaMessage[];
}

export interface GoingOn {
  readonly place: Place;
  readonly its: Partition;
  readonly low?: number;
}

/**
 * To the last message that was taken, where it may still be there: nothing else shows that a topic which has grown past the
 * position is another one.
 */
export const goOn = ({ consumer }: Consuming, { place, its, low = 0 }: GoingOn): void => {
  const { next, last } = its.position;
  consumer.seek({ ...place, offset: String(last && next > low ? next - 1 : next) });
};

export const spanOf = async ({ admin }: Consuming, { topic, partition }: Place): Promise<Span | undefined> =>
  (await spansOf(admin, topic)).find((span) => span.partition === partition);
