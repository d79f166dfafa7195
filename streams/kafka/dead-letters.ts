// Letters go out to <topic>.dlq for alarms and other programs; the ledger's own copy stays in the store. At least once:
// a process that dies between sending and noting it sends the same letter again.
import type { Producer } from 'kafkajs';
import type { Pool } from '#streams/postgres/connect.ts';
import {
  type Letter,
  markPublished,
  unlessAnother,
  unpublishedLetters,
} from '#streams/postgres/transport/letters.ts';
import type { KafkaConnection } from './connect.ts';
import { kafkaError } from './errors.ts';

const AT_ONCE = 500;

/** The name of the topic for what a topic could not bring in. */
export const deadLetterTopic = (topic: string): string => `${topic}.dlq`;

export interface DeadLetters extends AsyncDisposable {
  /** Sends what was not sent yet of a topic; returns how many. Throws `KafkaError` or `StreamError`. */
  readonly publish: (topic: string) => Promise<number>;
}

/** Connects with the first letter: most ledgers never have one. After a failure it takes a new client. */
export const deadLetters = (pool: Pool, { kafka }: KafkaConnection): DeadLetters => {
  let connected: Promise<Producer> | undefined;
  const connect = async (): Promise<Producer> => {
    const producer = kafka.producer({ allowAutoTopicCreation: false });
    await producer.connect();
    return producer;
  };
  const leave = async (): Promise<void> => {
    const left = connected;
    connected = undefined;
    await left?.then((producer) => producer.disconnect()).catch(() => undefined);
  };
  const send: Producer['send'] = async (record) => {
    connected ??= connect();
    const asked = connected;
    try {
      const producer = await asked;
      return await producer.send(record);
    } catch (error) {
      // Nobody else has taken another one meanwhile.
      if (connected === asked) await leave();
      throw error;
    }
  };
  return {
    publish: (topic) => publishDeadLetters(pool, { send }, topic),
    [Symbol.asyncDispose]: leave,
  };
};

/** Sends what was not sent yet, unless another process is at it; returns how many. Throws `KafkaError` or `StreamError`. */
export const publishDeadLetters = async (
  pool: Pool,
  producer: Pick<Producer, 'send'>,
  topic: string,
): Promise<number> => (await unlessAnother(pool, topic, () => publish(pool, producer, topic))) ?? 0;

const publish = async (pool: Pool, producer: Pick<Producer, 'send'>, topic: string): Promise<number> => {
  for (let sent = 0; ; ) {
    const letters = await unpublishedLetters(pool, topic, AT_ONCE);
    if (letters.length === 0) return sent;
    try {
      await producer.send({ topic: deadLetterTopic(topic), acks: -1, messages: letters.map(messageOf) });
    } catch (error) {
      throw kafkaError(error);
    }
    await markPublished(
      pool,
      letters.map(({ letter }) => letter),
    );
    sent += letters.length;
  }
};

const messageOf = (letter: Letter) => ({
  key: letter.key ?? null,
  value: letter.value ?? null,
  headers: {
    ...Object.fromEntries(letter.headers),
    dlq_topic: letter.topic,
    dlq_partition: String(letter.partition),
    dlq_offset: String(letter.offset),
    dlq_error_class: letter.errorClass,
    dlq_error: letter.error,
    dlq_letter: String(letter.letter),
    ...(letter.schemaId !== undefined && { dlq_schema_id: String(letter.schemaId) }),
  },
});
