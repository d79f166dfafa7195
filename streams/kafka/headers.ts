// What stands in the headers of a message, in and out. Names are lower-case; values are UTF-8 text.

export interface HeaderDeclaration {
  readonly name: string;
  readonly description: string;
  readonly always: boolean;
}

/** The headers of `ledger.events.v1`. With the value they are the whole fact, so that anybody can check its hash. */
export const EVENT_HEADERS: readonly HeaderDeclaration[] = [
  { name: 'seq', always: true, description: "the fact's place in its tenant's chain: gapless, from 1" },
  { name: 'hash', always: true, description: "the fact's hash, lower-case hexadecimal" },
  { name: 'prev_hash', always: true, description: 'the hash of the fact before it' },
  { name: 'id', always: true, description: "the fact's id, unique within its tenant" },
  { name: 'type', always: true, description: "the event's type" },
  {
    name: 'schema_version',
    always: true,
    description: 'the version of the payload that was recorded and hashed',
  },
  { name: 'recorded_at', always: true, description: 'when the ledger recorded it, RFC 3339' },
  { name: 'content-type', always: true, description: 'CloudEvents: what the value is' },
  { name: 'ce_specversion', always: true, description: 'CloudEvents: 1.0' },
  { name: 'ce_id', always: true, description: 'CloudEvents: as id' },
  { name: 'ce_source', always: true, description: 'CloudEvents: the ledger and the tenant' },
  { name: 'ce_type', always: true, description: 'CloudEvents: as type' },
  { name: 'ce_time', always: true, description: 'CloudEvents: when it happened, by the source' },
  { name: 'stream', always: false, description: 'the stream of its entity' },
  {
    name: 'actor',
    always: false,
    description: 'who acted; absent where the payload has a member of this name that says the same',
  },
  { name: 'op_id', always: false, description: 'as actor; empty: none, although the payload has one' },
  { name: 'op_parent_id', always: false, description: 'as op_id' },
  { name: 'region', always: false, description: 'as op_id' },
  { name: 'traceparent', always: false, description: 'W3C Trace Context; not covered by the hash' },
  {
    name: 'payload',
    always: false,
    description: 'the recorded text, where it is of an older version than the value',
  },
  {
    name: 'request_hash',
    always: false,
    description: 'SHA-256 of the request that claimed the id, where it is not that of the payload',
  },
  {
    name: 'batch',
    always: false,
    description:
      "on the last fact of each signed batch: JSON, the signature over the tenant's facts from first_seq to this one, as in the batch line of an export, with the ledger_id",
  },
];

/** The headers of `<topic>.dlq`: where a message came from and what is wrong with it. */
export const DEAD_LETTER_HEADERS: readonly HeaderDeclaration[] = [
  { name: 'dlq_topic', always: true, description: 'the topic it came over' },
  { name: 'dlq_partition', always: true, description: 'its partition' },
  { name: 'dlq_offset', always: true, description: 'its offset' },
  { name: 'dlq_error_class', always: true, description: 'what is wrong, one word of a closed list' },
  { name: 'dlq_error', always: true, description: 'what is wrong, in a sentence' },
  { name: 'dlq_schema_id', always: false, description: 'the schema id it was framed with' },
  { name: 'dlq_letter', always: true, description: 'its number for `prov-ledger dlq`' },
];

type Headers = { readonly [name: string]: Buffer | string | (Buffer | string)[] | undefined };

/** A header as text; the first one when it stands there more than once. */
export const headerText = (headers: Headers | undefined, name: string): string | undefined => {
  const value = headers?.[name];
  const first = Array.isArray(value) ? value[0] : value;
  return first === undefined ? undefined : typeof first === 'string' ? first : first.toString('utf8');
};
