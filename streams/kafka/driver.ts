// The driver's clients, with an end to every wait: by itself the driver tries a broker that does not answer for five
// minutes. What has not answered in time counts as away: its caller takes another client (decision 0058).
import type { Consumer, ConsumerConfig, Kafka } from 'kafkajs';
import { inTime, LATE } from '#streams/in-time.ts';
import { KafkaError } from './errors.ts';

export type Driver = Pick<Kafka, 'producer' | 'consumer' | 'admin'>;

export interface Patience {
  /** For an answer, the driver's own tries among it; 120,000 ms unless told. */
  readonly answerMs?: number;
  /** For leaving, with what is under way; 30,000 ms unless told. */
  readonly leaveMs?: number;
}

/** Whatever its clients promise is kept or refused in time, with `KafkaError` `unavailable`. */
export const boundedDriver = (kafka: Driver, patience: Patience = {}): Driver => ({
  producer: (config) => bounded(kafka.producer(config), patience),
  consumer: (config) => leaving(config, (its) => bounded(kafka.consumer(its), patience)),
  admin: (config) => bounded(kafka.admin(config), patience),
});

/**
 * One that begins again after whatever made the driver give up, until it is told to leave. By itself the driver also does
 * when that word came in the midst of a failure, and goes on joining when it came while it joined: then a consumer stays
 * that nobody knows of and nobody ends.
 */
const leaving = (
  config: ConsumerConfig | undefined,
  make: (config: ConsumerConfig) => Consumer,
): Consumer => {
  let left = false;
  const restartOnFailure = async (): Promise<boolean> => !left;
  const consumer = make({ ...(config as ConsumerConfig), retry: { ...config?.retry, restartOnFailure } });
  consumer.on(consumer.events.GROUP_JOIN, () => {
    // Heard in the midst of joining, which this ends.
    if (left) throw new Error('it was told to leave while it joined');
  });
  return {
    ...consumer,
    disconnect: async () => {
      left = true;
      await consumer.disconnect();
    },
  };
};

/** The driver's clients are plain objects of functions. */
const bounded = <C extends object>(client: C, { answerMs = 120_000, leaveMs = 30_000 }: Patience): C => {
  const members = Object.entries(client).map(([name, member]) => {
    if (typeof member !== 'function') return [name, member];
    const ms = name === 'disconnect' ? leaveMs : answerMs;
    const asked = (...given: readonly unknown[]): unknown => {
      const answer: unknown = member(...given);
      return answer instanceof Promise ? within(ms, name, answer) : answer;
    };
    return [name, asked];
  });
  return Object.fromEntries(members) as C;
};

const within = async (ms: number, what: string, answer: Promise<unknown>): Promise<unknown> => {
  const first = await inTime(ms, answer);
  if (first !== LATE) return first;
  throw new KafkaError('unavailable', `Kafka cannot be reached: no answer to ${what} for ${ms / 1_000} s`);
};
