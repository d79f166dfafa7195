// What goes wrong on the way to and from a broker. Each code says what the caller does about it.
import { adviceFor } from './advice.ts';

export type KafkaErrorCode =
  /** No broker answers. Nothing is known about a send under way: send it again, its readers drop what they have. */
  | 'unavailable'
  /** The broker refused the credentials, or lacks the right. Grant what docs/operations/kafka.md lists. */
  | 'forbidden'
  /** Broker and program do not agree on TLS: nothing was sent. Correct the settings that the message names. */
  | 'tls'
  /** A topic is not there: run `prov-ledger topics apply`. */
  | 'no-such-topic'
  /** The registry of schemas does not answer: what it alone knows waits until it does. */
  | 'registry-unavailable'
  /** The registry does not have a schema as it is: run `prov-ledger schemas publish`. */
  | 'no-such-schema'
  /** The registry refused a schema as incompatible: nothing was registered. */
  | 'incompatible'
  /** The topic does not hold what the checkpoint says comes next: retention passed it, or it was made anew. */
  | 'gap'
  /** What the topic holds does not follow from one another: read the store instead. */
  | 'corrupt'
  /** The broker answered in a way this adapter does not know. */
  | 'unexpected';

export class KafkaError extends Error {
  override readonly name = 'KafkaError';
  readonly code: KafkaErrorCode;
  constructor(code: KafkaErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

interface DriverError {
  readonly name?: string;
  readonly type?: string;
  readonly message?: string;
  readonly cause?: unknown;
  readonly originalError?: unknown;
}

const UNREACHABLE =
  /KafkaJS(?:ConnectionError|ConnectionClosedError|RequestTimeoutError|BrokerNotFound|NumberOfRetriesExceeded|GroupCoordinatorNotFound|LockTimeout)/;

/** Gives a driver's error its place in the closed union. */
export const kafkaError = (error: unknown): KafkaError => {
  if (error instanceof KafkaError) return error;
  const { name = '', type = '', message = String(error), cause, originalError } = error as DriverError;
  const options = { cause: error };
  const advice = adviceFor(name, type, message);
  if (advice) {
    const what = advice.code === 'forbidden' ? 'Kafka refused' : 'Kafka cannot be reached';
    return new KafkaError(advice.code, `${what}: ${message.trim()}; ${advice.text}`, options);
  }
  if (type === 'UNKNOWN_TOPIC_OR_PARTITION')
    return new KafkaError('no-such-topic', `${message}; run \`prov-ledger topics apply\``, options);
  const inner = cause ?? originalError;
  if (inner !== undefined && name === 'KafkaJSNumberOfRetriesExceeded') {
    const known = kafkaError(inner);
    if (known.code !== 'unexpected') return known;
  }
  if (UNREACHABLE.test(name))
    return new KafkaError('unavailable', `Kafka cannot be reached: ${message}`, options);
  return new KafkaError('unexpected', `Kafka answered: ${message}`, options);
};
