// `@prov-ledger/sdk/kafka`: receipts to the ledger over Kafka, as its topic is declared: Avro behind Confluent's five
// bytes, by the schema that the registry has. Node, with the package kafkajs of its user.
//
// Law: what is acknowledged is on the topic on every replica in sync. One request is under way at a time, and what
// failed is sent again before anything behind it: receipts with one key stand on the topic in the order in which they
// were given. A receipt that comes twice has the same id, and counts once.
import { Kafka, type KafkaConfig, type Producer } from 'kafkajs';
import { type RecordWriter, recordWriter } from './avro.ts';
import { ClientError } from './errors.ts';
import { timeoutSignal } from './timeout.ts';
import type { Carrier, Outcome, Sending } from './transport.ts';
import type { ReceiptBody } from './types.ts';
import { uuidMaker } from './uuid.ts';

export interface KafkaReceiptsOptions {
  /** As kafkajs takes it: brokers, ssl, sasl. */
  readonly kafka: KafkaConfig;
  /** The registry of schemas, where Confluent's interface begins. */
  readonly registry: { readonly url: string; readonly username?: string; readonly password?: string };
  /** Of receipts that name none: a topic serves every tenant. */
  readonly tenant: string;
  /** `provenance.receipts.v1` unless told, for example with the prefix of its cluster. */
  readonly topic?: string;
  /** What stays in order: the tenant unless told. A message that cannot be taken holds those behind it with its key. */
  readonly keyOf?: (receipt: KafkaReceipt) => string;
  /** One request, the driver's own tries among it, in milliseconds: 60,000 unless given. */
  readonly requestTimeoutMs?: number;
}

/** A receipt as it is sent: with its id, its time and its tenant. */
export interface KafkaReceipt extends ReceiptBody {
  readonly id: string;
  readonly created_at: string;
  readonly tenant: string;
}

/** A receipt that the brokers have. Its fact is made when the ledger takes it from the topic. */
export interface SentReceipt {
  readonly id: string;
  readonly topic: string;
}

export interface KafkaReceipts extends Carrier<SentReceipt>, AsyncDisposable {
  /** Resolves when the brokers have it. Rejects with ClientError: `refused`, or `deadline` when it is not known. */
  record(receipt: ReceiptBody): Promise<SentReceipt>;
  close(): Promise<void>;
}

const SUBJECT = 'receipts.ReceiptRecorded';
/** One request brings a partition one batch; a broker takes 1 MiB of it unless it is told more. */
const BATCH_BYTES_MAX = 900_000;
/** The frame of a record, about. */
const RECORD_BYTES = 128;
const FRAME_BYTES = 5;

/** Connects with the first receipt. */
export const kafkaReceipts = (options: KafkaReceiptsOptions): KafkaReceipts => {
  const { topic = 'provenance.receipts.v1', requestTimeoutMs = 60_000 } = options;
  const kafka = new Kafka({ retry: { retries: 3 }, ...options.kafka });
  const { send, close } = sender(kafka, topic, requestTimeoutMs);
  const contract = kept(() => contractOf(options.registry));
  const newId = uuidMaker();

  const post: KafkaReceipts['post'] = async (receipts, sending) => {
    const outcomes: Outcome<SentReceipt>[] = receipts.map(() => again('those before it were not sent'));
    try {
      const encode = encoderOf(options, await contract());
      for (const batch of batchesOf(receipts, encode, outcomes)) {
        if (sending.signal?.aborted) return outcomes;
        const failed = await send(batch, sending).then(() => undefined, failureOf(batch));
        for (const { index, id } of batch)
          outcomes[index] = failed ?? { kind: 'recorded', receipt: { id, topic } };
        if (failed?.kind === 'again') return outcomes;
      }
      return outcomes;
    } catch (cause) {
      const outcome = again((cause as Error).message, cause);
      return outcomes.map((known) => (known.kind === 'again' ? outcome : known));
    }
  };

  return {
    post,
    record: async (receipt) => {
      const id = receipt.id ?? newId();
      const json = JSON.stringify({
        ...receipt,
        id,
        created_at: receipt.created_at ?? new Date().toISOString(),
      });
      const [outcome] = await post([json], {});
      if (outcome?.kind === 'recorded') return outcome.receipt;
      const { code, message, cause } = outcome?.error ?? new ClientError('deadline', 'not sent');
      throw new ClientError(code, message, { cause, receiptId: id });
    },
    close,
    [Symbol.asyncDispose]: close,
  };
};

interface Sender {
  readonly send: (messages: readonly Encoded[], of: Sending) => Promise<void>;
  readonly close: () => Promise<void>;
}

const sender = (kafka: Kafka, topic: string, requestTimeoutMs: number): Sender => {
  let way = wayTo(kafka);
  const send: Sender['send'] = async (messages, of) => {
    const taken = way;
    const timeout = timeoutSignal(of.timeoutMs ?? requestTimeoutMs, of.signal);
    const sending = (async (): Promise<void> => {
      const producer = await taken.producer();
      const headers = of.traceparent === undefined ? {} : { headers: { traceparent: of.traceparent } };
      const batch = messages.map(({ key, value }) => ({ key, value, ...headers }));
      await producer.send({ topic, acks: -1, messages: batch });
    })();
    try {
      // The driver cannot be told to stop: what it still sends is sent again, and counts once.
      await Promise.race([sending, timeout.fired]);
    } catch (error) {
      if (timeout.signal.aborted && way === taken) {
        // Everything behind it would wait with it.
        way = wayTo(kafka);
        void taken.leave().catch(() => undefined);
      }
      throw error;
    } finally {
      timeout.clear();
    }
  };
  return { send, close: async () => await way.leave() };
};

interface Way {
  /** Connects when first asked for. */
  readonly producer: () => Promise<Producer>;
  readonly leave: () => Promise<void>;
}

/** The driver leaves when nothing is under way any more, however long it tries that. */
const LEAVE_WITHIN_MS = 10_000;

const wayTo = (kafka: Kafka): Way => {
  const producer = kafka.producer({ allowAutoTopicCreation: false, maxInFlightRequests: 1 });
  return {
    producer: kept(async () => {
      await producer.connect();
      return producer;
    }),
    leave: async () => {
      const timeout = timeoutSignal(LEAVE_WITHIN_MS, undefined);
      await Promise.race([producer.disconnect(), timeout.fired.catch(() => undefined)]).finally(
        timeout.clear,
      );
    },
  };
};

/** The answer of the first call that had one. */
const kept = <T>(ask: () => Promise<T>): (() => Promise<T>) => {
  let answer: Promise<T> | undefined;
  return async () => {
    answer ??= ask();
    try {
      return await answer;
    } catch (error) {
      answer = undefined;
      throw error;
    }
  };
};

interface Contract {
  readonly id: number;
  readonly write: RecordWriter;
}

const REGISTRY_WITHIN_MS = 10_000;

/** The newest schema of receipts that the registry has: every consumer of the topic reads it. */
const contractOf = async ({
  url,
  username,
  password = '',
}: KafkaReceiptsOptions['registry']): Promise<Contract> => {
  const credentials = Buffer.from(`${username}:${password}`).toString('base64');
  const answer = await fetch(`${url.replace(/\/+$/, '')}/subjects/${SUBJECT}/versions/latest`, {
    signal: AbortSignal.timeout(REGISTRY_WITHIN_MS),
    headers: username === undefined ? {} : { authorization: `Basic ${credentials}` },
  }).catch((cause: unknown) => {
    throw new Error('the registry of schemas could not be reached', { cause });
  });
  if (answer.status === 404)
    throw new Error(`the registry has no schema of ${SUBJECT}: run \`prov-ledger schemas publish\``);
  if (!answer.ok) throw new Error(`the registry of schemas says ${answer.status}`);
  const { id, schema } = (await answer.json()) as { readonly id: number; readonly schema: string };
  return { id, write: recordWriter(JSON.parse(schema)) };
};

interface Encoded {
  /** Among the receipts given. */
  readonly index: number;
  readonly id: string;
  readonly key: string;
  readonly value: Buffer;
}

type Encode = (json: string) => Omit<Encoded, 'index'>;

const encoderOf =
  ({ tenant, keyOf = (receipt) => receipt.tenant }: KafkaReceiptsOptions, { id, write }: Contract): Encode =>
  (json) => {
    const receipt = { tenant, ...(JSON.parse(json) as object) } as KafkaReceipt;
    const record = write(receipt);
    const value = Buffer.alloc(FRAME_BYTES + record.length);
    value.writeUInt32BE(id, 1);
    value.set(record, FRAME_BYTES);
    return { id: receipt.id, key: keyOf(receipt), value };
  };

/** What does not fit the contract has its outcome at once; the others in their order, as many as a request takes. */
const batchesOf = function* (
  receipts: readonly string[],
  encode: Encode,
  outcomes: Outcome<SentReceipt>[],
): Generator<readonly Encoded[]> {
  let batch: Encoded[] = [];
  let bytes = 0;
  for (const [index, json] of receipts.entries()) {
    const encoded = encodedOrRefused(json, encode);
    if (encoded instanceof ClientError) {
      outcomes[index] = { kind: 'final', error: encoded };
      continue;
    }
    const size = encoded.value.length + encoded.key.length + RECORD_BYTES;
    if (batch.length > 0 && bytes + size > BATCH_BYTES_MAX) {
      yield batch;
      [batch, bytes] = [[], 0];
    }
    batch.push({ index, ...encoded });
    bytes += size;
  }
  if (batch.length > 0) yield batch;
};

const encodedOrRefused = (json: string, encode: Encode): Omit<Encoded, 'index'> | ClientError => {
  try {
    return encode(json);
  } catch (cause) {
    return new ClientError('refused', (cause as Error).message, { cause });
  }
};

const again = (message: string, cause?: unknown): Extract<Outcome, { kind: 'again' }> => ({
  kind: 'again',
  error: new ClientError('deadline', message, { cause }),
  afterMs: 0,
});

const failureOf =
  (batch: readonly Encoded[]) =>
  (cause: unknown): Exclude<Outcome, { kind: 'recorded' }> => {
    const { type, message } = cause as { readonly type?: string; readonly message: string };
    const tooLarge = type === 'MESSAGE_TOO_LARGE' || type === 'RECORD_LIST_TOO_LARGE';
    return tooLarge && batch.length === 1
      ? {
          kind: 'final',
          error: new ClientError('refused', `the topic takes no message of this size: ${message}`, { cause }),
        }
      : again(`the brokers did not take it: ${message}`, cause);
  };
