// A fact as a message of ledger.events.v1, and back, losing nothing: the value is the event in Avro, the rest of the fact
// stands in headers. A text that the payload says already is not said twice (as in the store, decision 0007).
import { canonicalize, type JsonValue } from '#proofs/canonical.ts';
import { type SignedShare, shareText } from '#proofs/share.ts';
import { type AvroReader, OPAQUE, toAvro } from '#schemas/codec.ts';
import type { Recorded } from '#schemas/event.ts';
import {
  factId,
  type Instant,
  instant,
  instantText,
  type Seq,
  type Sha256,
  type StreamName,
  seq,
  sha256,
  tenantId,
} from '#schemas/ids.ts';
import { decodeFact, eventSchema } from '#schemas/index.ts';
import { KafkaError } from './errors.ts';
import { headerText } from './headers.ts';
import { FRAME_BYTES, framed, framedId } from './registry.ts';

export interface FactMessage {
  readonly key: string;
  readonly value: Buffer;
  readonly headers: Record<string, string>;
}

type Members = Readonly<Record<string, unknown>>;

/** Said in the header only where the payload says otherwise; an empty header: none, although the payload has one. */
const ELIDED = [
  ['actor', 'actor'],
  ['opId', 'op_id'],
  ['opParentId', 'op_parent_id'],
  ['region', 'region'],
] as const;

export const CONTENT_TYPE = 'application/vnd.apache.avro';

const textOf = (members: Members, name: string): string | undefined => {
  const value = members[name];
  return typeof value === 'string' ? value : undefined;
};

interface Value {
  readonly subject: string;
  readonly bytes: Buffer;
  /** The value is of a newer version than what was recorded. */
  readonly newer: boolean;
}

/** The event in Avro; what this program cannot say as one is carried as the text it is. */
const valueOf = (fact: Recorded): Value => {
  const newest = eventSchema(fact.type)?.version ?? 0;
  if (fact.schemaVersion <= newest) {
    try {
      const bytes = toAvro(fact.type, decodeFact(fact).data, canonicalize);
      return { subject: fact.type, bytes, newer: fact.schemaVersion < newest };
    } catch {
      // Stored by another way than through its schema: still a fact, and still to be carried.
    }
  }
  return { subject: OPAQUE, bytes: toAvro(OPAQUE, { payload: fact.payload }, canonicalize), newer: false };
};

export interface MessageOf {
  readonly ledgerId: string;
  /** The registered id of a subject. */
  readonly schemaIdOf: (subject: string) => number;
  /** The share whose last fact this is: with it everybody can check the signature, and restore the ledger. */
  readonly share?: SignedShare | undefined;
  readonly requestHash?: Sha256 | undefined;
}

export const factMessage = (
  fact: Recorded,
  { ledgerId, schemaIdOf, share, requestHash }: MessageOf,
): FactMessage => {
  const { subject, bytes, newer } = valueOf(fact);
  const members = (fact.parsed ?? JSON.parse(fact.payload)) as Members;
  const headers: Record<string, string> = {
    seq: String(fact.seq),
    hash: fact.hash,
    prev_hash: fact.prevHash,
    id: fact.id,
    type: fact.type,
    schema_version: String(fact.schemaVersion),
    recorded_at: instantText(fact.recordedAt),
    'content-type': CONTENT_TYPE,
    ce_specversion: '1.0',
    ce_id: fact.id,
    ce_source: `/ledgers/${ledgerId}/tenants/${fact.tenant}`,
    ce_type: fact.type,
    ce_time: instantText(fact.occurredAt),
  };
  for (const [field, name] of ELIDED) {
    const said = fact[field];
    if (said !== textOf(members, name)) headers[name] = said ?? '';
  }
  if (fact.stream !== undefined) headers['stream'] = fact.stream;
  if (fact.traceparent !== undefined) headers['traceparent'] = fact.traceparent;
  if (newer) headers['payload'] = fact.payload;
  if (requestHash !== undefined) headers['request_hash'] = requestHash;
  if (share) headers['batch'] = shareText(share);
  return { key: fact.tenant, value: framed(schemaIdOf(subject), bytes), headers };
};

export interface RawMessage {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers?:
    | { readonly [name: string]: Buffer | string | (Buffer | string)[] | undefined }
    | undefined;
}

/** The fact of a message. Throws `KafkaError` `corrupt` when it is none; its hash is the caller's to check. */
export const factOf = (message: RawMessage, readerOf: (id: number) => AvroReader | undefined): Recorded => {
  try {
    return readFact(message, readerOf);
  } catch (error) {
    throw new KafkaError(
      'corrupt',
      `a message of the ledger's facts cannot be read: ${(error as Error).message}`,
      {
        cause: error,
      },
    );
  }
};

const readFact = (
  { key, value, headers }: RawMessage,
  readerOf: (id: number) => AvroReader | undefined,
): Recorded => {
  const need = (name: string): string => {
    const text = headerText(headers, name);
    if (text === undefined) throw new Error(`it lacks the header ${name}`);
    return text;
  };
  const id = value && framedId(value);
  const reader = id === undefined || id === null ? undefined : readerOf(id);
  if (!value || !reader) throw new Error(`its value is of schema ${id ?? 'none'}, which is not known`);
  const data = reader.read(value.subarray(FRAME_BYTES)) as Members;
  const payload =
    headerText(headers, 'payload') ??
    (reader.type === OPAQUE ? (data['payload'] as string) : canonicalize(data as JsonValue));
  const members = JSON.parse(payload) as Members;
  const elided = (name: string): string | undefined => {
    const said = headerText(headers, name);
    return said === '' ? undefined : (said ?? textOf(members, name));
  };
  return {
    tenant: tenantId(key?.toString('utf8') ?? ''),
    seq: seq(Number(need('seq'))) as Seq,
    id: factId(need('id')),
    type: need('type'),
    schemaVersion: Number(need('schema_version')),
    stream: headerText(headers, 'stream') as StreamName | undefined,
    occurredAt: instant(need('ce_time')) as Instant,
    recordedAt: instant(need('recorded_at')) as Instant,
    actor: elided('actor') ?? '',
    opId: elided('op_id'),
    opParentId: elided('op_parent_id'),
    traceparent: headerText(headers, 'traceparent'),
    region: elided('region'),
    payload,
    parsed: members,
    prevHash: sha256(need('prev_hash')) as Sha256,
    hash: sha256(need('hash')) as Sha256,
  };
};
