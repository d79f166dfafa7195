// Facts to their partitions, in requests that a broker takes, and the note of where the last one of each tenant stands.
import type { Producer } from 'kafkajs';
import type { Seq, Sha256, TenantId } from '#schemas/ids.ts';
import type { Relayed, RelayTurn } from '#streams/postgres/transport/relayed.ts';
import { KafkaError } from './errors.ts';
import type { FactMessage } from './fact-message.ts';

/** A fact on its way, with the message it is sent as. */
export interface Outgoing {
  readonly tenant: TenantId;
  readonly seq: Seq;
  readonly hash: Sha256;
  readonly partition: number;
  readonly message: FactMessage;
}

export interface Sending {
  readonly producer: Pick<Producer, 'send'>;
  readonly topic: string;
  readonly turn: Pick<RelayTurn, 'note'>;
  /** The last offset that is known to be taken, by partition; kept up to date. */
  readonly offsets: Map<number, number>;
}

/** The topic holds no longer what was sent. */
export class AnewError extends KafkaError {
  readonly partition: number;
  constructor(partition: number, message: string) {
    super('gap', message);
    this.partition = partition;
  }
}

/** One request brings a partition one batch; a broker takes 1 MiB of it unless it is told more. */
const BATCH_BYTES_MAX = 900_000;
const REQUEST_MESSAGES_MAX = 10_000;
/** The frame of a record and of its headers, about. */
const RECORD_BYTES = 64;

/**
 * Sends in order, notes what was acknowledged, and gives back the last fact of each tenant. Throws `AnewError`
 * when the topic was made anew meanwhile; what the driver throws; `StreamError`.
 */
export const sendFacts = async (
  { producer, topic, turn, offsets }: Sending,
  outgoing: readonly Outgoing[],
): Promise<readonly Relayed[]> => {
  const last = new Map<TenantId, Relayed>();
  for (const request of requestsOf(outgoing)) {
    const answers = await producer.send({
      topic,
      acks: -1,
      messages: request.map(({ partition, message }) => ({ ...message, partition })),
    });
    const next = new Map<number, number>();
    for (const { partition, baseOffset } of answers) {
      const base = Number(baseOffset);
      if (base <= (offsets.get(partition) ?? -1))
        throw new AnewError(partition, `${topic}/${partition} was made anew: it began again at ${base}`);
      next.set(partition, base);
    }
    for (const { tenant, seq, hash, partition } of request) {
      const offset = next.get(partition) as number;
      next.set(partition, offset + 1);
      offsets.set(partition, offset);
      last.set(tenant, { tenant, seq, hash, partition, offset });
    }
  }
  const done = [...last.values()];
  await turn.note(topic, done);
  return done;
};

const sizeOf = ({ message: { key, value, headers } }: Outgoing): number => {
  let bytes = RECORD_BYTES + key.length + value.length;
  for (const name in headers) bytes += name.length + Buffer.byteLength(headers[name] ?? '') + 4;
  return bytes;
};

const requestsOf = function* (outgoing: readonly Outgoing[]): Generator<readonly Outgoing[]> {
  let bytes = new Map<number, number>();
  let request: Outgoing[] = [];
  for (const each of outgoing) {
    const size = sizeOf(each);
    const sum = (bytes.get(each.partition) ?? 0) + size;
    if (request.length > 0 && (sum > BATCH_BYTES_MAX || request.length === REQUEST_MESSAGES_MAX)) {
      yield request;
      request = [];
      bytes = new Map();
    }
    bytes.set(each.partition, (bytes.get(each.partition) ?? 0) + size);
    request.push(each);
  }
  if (request.length > 0) yield request;
};
