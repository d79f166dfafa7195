// One member's share of a topic, from the end of the topic on, to be pulled: a partition's next batch is fetched once the
// one before was taken, so that what waits is one batch of each partition at most.
import { setTimeout as pause } from 'node:timers/promises';
import type { Consumer, EachBatchPayload, KafkaMessage } from 'kafkajs';
import { firstValueFrom, fromEvent, merge, Subject, timer } from 'rxjs';
import type { KafkaConnection } from './connect.ts';
import { spansOn } from './ends.ts';
import { kafkaError } from './errors.ts';

/** `assigned`: from now on these partitions, of so many, from where they ended before this was told. */
export type Arrival =
  | { readonly kind: 'assigned'; readonly mine: ReadonlySet<number>; readonly partitions: number }
  | { readonly kind: 'messages'; readonly messages: readonly KafkaMessage[] }
  /** Nothing came for as long as was waited. */
  | { readonly kind: 'quiet' };

export interface Share {
  /** `undefined` once the signal has come. What it gave before counts as taken. */
  readonly next: (signal: AbortSignal, patienceMs: number) => Promise<Arrival | undefined>;
  /** Leaves the group. */
  readonly stop: () => Promise<void>;
}

export interface ShareOptions {
  readonly connection: KafkaConnection;
  /** As the cluster calls it. */
  readonly topic: string;
  readonly groupId: string;
  /** Without a sign of life for so long, the group gives the share to others; 10,000 unless told. */
  readonly sessionTimeoutMs?: number;
  /** Told what the driver could not do; it goes on trying. */
  readonly onError?: (error: Error) => void;
}

interface Offer {
  readonly messages: readonly KafkaMessage[];
  readonly taken: () => void;
}

interface Gathering {
  readonly offers: Offer[];
  assigned: (Arrival & { readonly kind: 'assigned' }) | undefined;
  /** Given out last, and taken when the next one is asked for. */
  current: Offer | undefined;
  /** Settles once the last assignment was sought. */
  joining: Promise<void>;
  readonly came: Subject<void>;
}

const PARTITIONS_AT_ONCE = 12;
const REJOIN_MS = 300;

/** Joins the group. Throws `KafkaError`. */
export const joinShare = async (options: ShareOptions): Promise<Share> => {
  const { connection, topic, groupId, sessionTimeoutMs = 10_000, onError } = options;
  const consumer = connection.kafka.consumer({
    groupId,
    sessionTimeout: sessionTimeoutMs,
    heartbeatInterval: Math.floor(sessionTimeoutMs / 10),
    maxWaitTimeInMs: 200,
    allowAutoTopicCreation: false,
    retry: { initialRetryTime: 100, maxRetryTime: 2_000 },
  });
  const gathering: Gathering = {
    offers: [],
    assigned: undefined,
    current: undefined,
    joining: Promise.resolve(),
    came: new Subject(),
  };
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    const mine = new Set(payload.memberAssignment[topic] ?? []);
    gathering.joining = sought(gathering, { ...options, consumer, mine });
  });
  consumer.on(consumer.events.CRASH, ({ payload }) => onError?.(payload.error));
  try {
    await consumer.connect();
    await consumer.subscribe({ topics: [topic], fromBeginning: false });
    await consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: true,
      partitionsConsumedConcurrently: PARTITIONS_AT_ONCE,
      eachBatch: (payload) => offered(gathering, payload, sessionTimeoutMs),
    });
  } catch (error) {
    await consumer.disconnect().catch(() => undefined);
    throw kafkaError(error);
  }
  return {
    next: (signal, patienceMs) => nextOf(gathering, signal, patienceMs),
    stop: async () => {
      letGo(gathering);
      await consumer.disconnect().catch(() => undefined);
      letGo(gathering);
    },
  };
};

const letGo = ({ offers, current }: Gathering): void => {
  current?.taken();
  for (const { taken } of offers.splice(0)) taken();
};

interface Seeking extends ShareOptions {
  readonly consumer: Consumer;
  readonly mine: ReadonlySet<number>;
}

/** Goes to the ends of the partitions, and only then tells of them: what is recorded later comes as a message. */
const sought = async (
  gathering: Gathering,
  { connection, topic, consumer, mine, onError }: Seeking,
): Promise<void> => {
  for (let tries = 0; tries < 100; tries += 1) {
    try {
      const spans = await spansOn(connection, topic);
      for (const partition of mine)
        consumer.seek({ topic, partition, offset: String(spans.get(partition)?.end ?? 0) });
      gathering.assigned = { kind: 'assigned', mine, partitions: spans.size };
      gathering.came.next();
      return;
    } catch (error) {
      onError?.(kafkaError(error));
      await pause(REJOIN_MS);
    }
  }
};

/** Settles when the batch was taken; the group hears from this member meanwhile. */
const offered = async (
  gathering: Gathering,
  { batch, heartbeat }: EachBatchPayload,
  sessionTimeoutMs: number,
): Promise<void> => {
  await gathering.joining;
  const { promise, resolve } = Promise.withResolvers<void>();
  const beat = setInterval(() => void heartbeat().catch(() => undefined), Math.floor(sessionTimeoutMs / 5));
  gathering.offers.push({ messages: batch.messages, taken: resolve });
  gathering.came.next();
  await promise;
  clearInterval(beat);
};

const nextOf = async (
  gathering: Gathering,
  signal: AbortSignal,
  patienceMs: number,
): Promise<Arrival | undefined> => {
  gathering.current?.taken();
  gathering.current = undefined;
  if (!gathering.assigned && gathering.offers.length === 0 && !signal.aborted)
    await firstValueFrom(merge(gathering.came, fromEvent(signal, 'abort'), timer(patienceMs)));
  if (signal.aborted) return undefined;
  const { assigned } = gathering;
  if (assigned) {
    gathering.assigned = undefined;
    return assigned;
  }
  gathering.current = gathering.offers.shift();
  return gathering.current ? { kind: 'messages', messages: gathering.current.messages } : { kind: 'quiet' };
};
