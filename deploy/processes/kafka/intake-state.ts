// What an intake waits for, as its events say it: kept for the readiness, and put into the log when it changes.
import type { ConsumptionEvent } from '#streams/kafka/consuming.ts';
import type { KafkaErrorCode } from '#streams/kafka/errors.ts';
import { errorFields, type Log } from '../../telemetry/logs.ts';

export interface IntakeState {
  /** What keeps it from taking messages, in words for an operator. */
  readonly missing: () => readonly string[];
  /** Partitions that the group has given to this process. */
  readonly partitions: () => number;
  readonly onEvent: (event: ConsumptionEvent) => void;
  /** It could not join; true when it waited for something else before. */
  readonly waitsFor: (code: KafkaErrorCode) => boolean;
}

const SAID: { readonly [Code in KafkaErrorCode]?: string } = {
  unavailable: 'Kafka: no broker answers',
  forbidden: 'Kafka: the brokers refuse the login, or a right is missing',
  tls: 'Kafka: brokers and program do not agree on TLS, and the log says how',
  'no-such-topic': 'the topics: run `prov-ledger topics apply`',
};

export const intakeState = (log: Log): IntakeState => {
  let waiting: KafkaErrorCode | 'joining' | undefined = 'joining';
  let storeAway = false;
  let partitions = 0;
  const onEvent = (event: ConsumptionEvent): void => {
    if (event.type !== 'waiting' || !storeAway) say(log, event);
    switch (event.type) {
      case 'assigned':
        waiting = undefined;
        ({ partitions } = event);
        return;
      case 'stored':
        storeAway = false;
        return;
      case 'waiting':
        storeAway = true;
        return;
      case 'crashed':
        waiting = 'unavailable';
        partitions = 0;
        return;
      case 'lost':
      case 'anew':
        return;
      default:
        event satisfies never;
    }
  };
  return {
    onEvent,
    partitions: () => partitions,
    waitsFor: (code) => {
      const other = waiting !== code;
      waiting = code;
      return other;
    },
    missing: () => (waiting === undefined ? [] : [waitingFor(waiting)]),
  };
};

const waitingFor = (what: KafkaErrorCode | 'joining'): string =>
  what === 'joining'
    ? 'Kafka: the group is being joined'
    : (SAID[what] ?? 'Kafka: it failed, and the log says how');

const say = (log: Log, event: ConsumptionEvent): void => {
  switch (event.type) {
    case 'stored':
      return;
    case 'assigned':
      return log('info', 'the group has given out its partitions', { partitions: event.partitions });
    case 'waiting':
      return log('warn', 'the store does not answer: messages wait', errorFields(event.error));
    case 'lost': {
      const { topic, partition, messages } = event;
      const what = 'retention removed messages before they were taken: they must be sent again';
      return log('error', what, { topic, partition, messages });
    }
    case 'anew': {
      const { topic, partition, position, end } = event;
      const what =
        'the topic ends before what was taken of it: it was made anew, and is taken from its beginning';
      return log('error', what, { topic, partition, position, end });
    }
    case 'crashed':
      return log('warn', 'the consumer starts again', errorFields(event.error));
    default:
      event satisfies never;
  }
};
