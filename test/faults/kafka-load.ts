// Messages for the fault run: of each key a count that goes up by one, so that what is stored shows by itself whether
// anything was lost, doubled or put out of order. Some come twice, some can never be taken.
import type { Producer } from 'kafkajs';
import type { KafkaConnection } from '#streams/kafka/connect.ts';
import { aReceipt, receiptValue } from '#test/support/transport.ts';
import { TENANTS } from './site.ts';

export interface LoadOptions {
  readonly connection: KafkaConnection;
  /** As the cluster calls it. */
  readonly topic: string;
  readonly schemaId: number;
  /** Messages to send in all, more or less: the brokers' retries may add to them, and are no fault. */
  readonly messages: number;
  /** 0 to below 1. */
  readonly random: () => number;
}

export interface Sent {
  /** For each key, how many different receipts were sent. */
  readonly counts: readonly number[];
  readonly duplicates: number;
  readonly poison: number;
}

export interface Load extends AsyncDisposable {
  /** Resolves when a broker has acknowledged so many more, however often it was killed meanwhile. */
  readonly send: (messages: number) => Promise<void>;
  readonly sent: () => Sent;
}

const DUPLICATES = 0.1;
const POISON = 0.01;
const BATCH = 500;
/** A key that has a poisonous message stands still: with many keys most go on. */
const MESSAGES_PER_KEY = 40;

/** `key` and count of a receipt, as its id has them. */
const receiptOf = (key: number, count: number, schemaId: number): Buffer =>
  receiptValue(
    aReceipt({ id: `${key}-${count}`, tenant: TENANTS[key % TENANTS.length] as string }),
    schemaId,
  );

export const openLoad = async (options: LoadOptions): Promise<Load> => {
  const { connection, topic, schemaId, messages, random } = options;
  const counts = Array.from({ length: Math.max(20, Math.ceil(messages / MESSAGES_PER_KEY)) }, () => 0);
  const producer = connection.kafka.producer({
    allowAutoTopicCreation: false,
    retry: { retries: 60, maxRetryTime: 1_000 },
  });
  await producer.connect();
  let [duplicates, poison] = [0, 0];
  const one = (): { readonly key: string; readonly value: Buffer } => {
    const key = Math.floor(random() * counts.length);
    const kind = random();
    const last = counts[key] as number;
    if (kind < POISON) {
      poison += 1;
      return { key: String(key), value: Buffer.from(`poison ${poison}`) };
    }
    if (kind < POISON + DUPLICATES && last > 0) {
      duplicates += 1;
      return { key: String(key), value: receiptOf(key, 1 + Math.floor(random() * last), schemaId) };
    }
    counts[key] = last + 1;
    return { key: String(key), value: receiptOf(key, last + 1, schemaId) };
  };
  return {
    send: async (more) => {
      for (let sent = 0; sent < more; sent += BATCH) {
        const batch = Array.from({ length: Math.min(BATCH, more - sent) }, one);
        await untilAcknowledged(producer, topic, batch);
      }
    },
    sent: () => ({ counts, duplicates, poison }),
    [Symbol.asyncDispose]: () => producer.disconnect(),
  };
};

/** One batch at a time: what is sent again comes again as a whole, and cannot overtake what follows. */
const untilAcknowledged = async (
  producer: Producer,
  topic: string,
  messages: { key: string; value: Buffer }[],
): Promise<void> => {
  for (let tries = 0; ; tries += 1) {
    try {
      await producer.send({ topic, acks: -1, messages });
      return;
    } catch (error) {
      if (tries >= 20) throw error;
    }
  }
};
