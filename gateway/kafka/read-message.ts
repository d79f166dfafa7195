// A message of an ingest topic as what the ledger is asked to record: decoded by its schema, and held to the rules by the
// decider that HTTP asks too. Nothing here throws on a message's account.
import { receipts } from '#commands/receipts.ts';
import { draftsOf } from '#commands/run.ts';
import { CANONICAL_LIMITS, CanonicalError } from '#proofs/canonical.ts';
import type { AvroReader } from '#schemas/codec.ts';
import { type Instant, MalformedId, tenantId } from '#schemas/ids.ts';
import type { JsonObject } from '#schemas/receipts.ts';
import { headerText } from '#streams/kafka/headers.ts';
import { FRAME_BYTES, framedId, type WireSchemas } from '#streams/kafka/registry.ts';
import type { Message, Reader, Reading } from '#streams/postgres/transport/message.ts';
import { traceparentOf } from '../http/traceparent.ts';
import { INGESTING_ACTOR } from './records.ts';

export interface MessageReading {
  readonly schemas: Pick<WireSchemas, 'reader' | 'learn'>;
  /** The events that a topic takes, by its name on the cluster. */
  readonly eventsOf: (topic: string) => readonly string[];
  readonly clock: () => Instant;
}

const TENANT_FORM = 'use 2 to 63 of a-z, 0-9 and -, starting with a letter';

export const messageReader = (options: MessageReading): Reader => {
  const { schemas } = options;
  return (message) => {
    const { value } = message;
    const id = value && framedId(value);
    if (!value || id === undefined)
      return aside(
        'not-framed',
        value
          ? 'the value does not begin with a zero byte and a schema id: send Avro in Confluent framing'
          : 'there is no value: nothing can be taken back by an empty message',
      );
    const reader = schemas.reader(id);
    return reader ? decoded(options, message, reader) : learnt(options, message, id);
  };
};

type Aside = Extract<Reading, { kind: 'aside' }>;

const aside = (errorClass: Aside['errorClass'], error: string, schemaId?: number): Aside => ({
  kind: 'aside',
  errorClass,
  error,
  schemaId,
});

const learnt = async (options: MessageReading, message: Message, id: number): Promise<Reading> => {
  const learning = await options.schemas.learn(id);
  switch (learning.kind) {
    case 'known':
      return decoded(options, message, learning.reader);
    case 'unavailable':
      return aside('registry-away', learning.message, id);
    case 'unknown':
      return aside('unknown-schema', learning.message, id);
    case 'unreadable':
      return aside('undecodable', learning.message, id);
    default:
      return learning satisfies never;
  }
};

const decoded = (options: MessageReading, message: Message, reader: AvroReader): Reading => {
  const value = message.value as Buffer;
  const id = framedId(value);
  const wanted = options.eventsOf(message.topic);
  if (!wanted.includes(reader.type))
    return aside(
      'undecodable',
      `it is ${reader.type}; ${message.topic} takes ${wanted.join(', ') || 'nothing'}`,
      id,
    );
  let data: JsonObject;
  try {
    data = reader.read(value.subarray(FRAME_BYTES)) as JsonObject;
  } catch (error) {
    return aside('undecodable', (error as Error).message, id);
  }
  return receipt(options, message, data);
};

const receipt = ({ clock }: MessageReading, message: Message, data: JsonObject): Reading => {
  const id = framedId(message.value as Buffer);
  const wrong = (error: string): Reading => aside('malformed', error, id);
  try {
    const tenant = tenantId(String(data['tenant']));
    const context = {
      tenant,
      actor: INGESTING_ACTOR,
      at: clock(),
      key: String(data['id']),
      traceparent: traceparentOf(headerText(Object.fromEntries(message.headers), 'traceparent')),
    };
    const decision = receipts.decide(
      { type: 'RecordReceipt', receipt: data, schemaVersion: 3 },
      undefined,
      context,
    );
    if (decision.kind === 'refused') return wrong(decision.refusal.message);
    const drafts = draftsOf(decision.events, context);
    const text = drafts[0]?.payload ?? '';
    if (Buffer.byteLength(text) > CANONICAL_LIMITS.maxBytes)
      return wrong(`it is larger than ${CANONICAL_LIMITS.maxBytes} bytes: send a digest of the large part`);
    // Avro's library replaces bytes that are no UTF-8, and what was sent would not be what is hashed.
    if (text.includes('\uFFFD') && !(message.value as Buffer).includes('\uFFFD', 0, 'utf8'))
      return wrong('a text of it is not UTF-8');
    return { kind: 'append', request: { tenant, drafts, expect: { kind: 'any' } } };
  } catch (error) {
    if (error instanceof CanonicalError) return wrong(error.message);
    if (error instanceof MalformedId) return wrong(`/tenant does not fit; ${TENANT_FORM}`);
    throw error;
  }
};
