// Reads a receipt bundle from outside. Every member stands once, none is unknown, and each is in its only spelling, so
// that two documents which differ say different things. Whether the parts belong together is for verifier.ts.
import type { Recorded } from '#schemas/event.ts';
import {
  factId,
  type Instant,
  instantText,
  isUuid,
  type StreamName,
  seq,
  sha256,
  streamName,
  tenantId,
} from '#schemas/ids.ts';
import { RECEIPT_FORMAT } from './bundle.ts';
import {
  type CanonicalLimits,
  canonicalize,
  type JsonValue,
  parseStrict,
  parseStrictBytes,
} from './canonical.ts';
import type { BatchPath, BatchProof } from './checkpoint.ts';

/** The text is no bundle: `message` says where and what belongs there. */
export class MalformedBundle extends Error {
  override readonly name = 'MalformedBundle';
}

export interface ParsedBundle {
  readonly fact: Recorded;
  readonly proof: BatchProof;
}

// A payload of 1 MiB is at most doubled by the escapes of a JSON string.
const LIMITS: CanonicalLimits = { maxBytes: 3 << 20, maxDepth: 8 };

/** Text, its bytes, or a value already parsed. Throws `MalformedBundle`. */
export const parseBundle = (source: unknown): ParsedBundle => {
  const root = members(strictValue(source), '');
  const bundle = reader(root, '', ['format', 'fact', 'proof']);
  bundle.take('format', (raw) => (raw === RECEIPT_FORMAT ? raw : undefined), `"${RECEIPT_FORMAT}"`);
  return { fact: parseFact(root['fact']), proof: parseProof(root['proof']) };
};

const strictValue = (source: unknown): JsonValue => {
  const strict =
    source instanceof Uint8Array ? parseStrictBytes(source, LIMITS) : parseStrict(textOf(source), LIMITS);
  if (!strict.ok) throw new MalformedBundle(`${strict.error.path ?? ''} ${strict.error.message}`.trim());
  return strict.value;
};

// A value is written and read again: what comes back is plain data, whatever accessors the value had.
const textOf = (source: unknown): string => {
  if (typeof source === 'string') return source;
  try {
    return canonicalize(source as JsonValue);
  } catch (cause) {
    throw new MalformedBundle('this is no JSON value: give the text of the bundle', { cause });
  }
};

type Members = { readonly [name: string]: JsonValue };

const members = (value: JsonValue | undefined, at: string): Members => {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new MalformedBundle(`${at || 'the document'} must be a JSON object`);
  return value as Members;
};

/** Takes members one by one; `parse` gives `undefined`, or throws, for what does not belong there. */
const reader = (object: Members, at: string, known: readonly string[]) => {
  const unknown = Object.keys(object).find((name) => !known.includes(name));
  if (unknown !== undefined)
    throw new MalformedBundle(`${at}/${unknown.slice(0, 80)} is not a member of ${RECEIPT_FORMAT}`);
  const take = <T>(name: string, parse: (raw: JsonValue) => T | undefined, wanted: string): T => {
    const raw = object[name];
    const value = raw === undefined ? undefined : attempt(parse, raw);
    if (value === undefined) throw new MalformedBundle(`${at}/${name} must be ${wanted}`);
    return value;
  };
  return {
    take,
    optional: <T>(name: string, parse: (raw: JsonValue) => T | undefined, wanted: string): T | undefined =>
      object[name] === undefined ? undefined : take(name, parse, wanted),
  };
};

const attempt = <T>(parse: (raw: JsonValue) => T | undefined, raw: JsonValue): T | undefined => {
  try {
    return parse(raw);
  } catch {
    return undefined;
  }
};

const FACT_MEMBERS = [
  'tenant',
  'seq',
  'id',
  'type',
  'schema_version',
  'stream',
  'occurred_at',
  'recorded_at',
  'actor',
  'op_id',
  'op_parent_id',
  'region',
  'payload',
  'prev_hash',
  'hash',
];

const parseFact = (value: JsonValue | undefined): Recorded => {
  const at = reader(members(value, '/fact'), '/fact', FACT_MEMBERS);
  return {
    tenant: at.take('tenant', (raw) => tenantId(text(raw)), 'a tenant name'),
    seq: at.take('seq', (raw) => (count(raw) ? seq(raw) : undefined), 'a whole number from 1'),
    id: at.take('id', (raw) => factId(text(raw)), 'a lower-case UUID'),
    type: at.take('type', text, 'an event type'),
    schemaVersion: at.take(
      'schema_version',
      (raw) => (count(raw) && raw < 2 ** 32 ? raw : undefined),
      'a whole number from 1',
    ),
    stream: at.optional('stream', stream, 'a stream name'),
    occurredAt: at.take('occurred_at', time, TIME),
    recordedAt: at.take('recorded_at', time, TIME),
    actor: at.take('actor', text, 'a text'),
    opId: at.optional('op_id', text, 'a text'),
    opParentId: at.optional('op_parent_id', text, 'a text'),
    region: at.optional('region', text, 'a text'),
    payload: at.take('payload', text, 'the payload as a text'),
    prevHash: at.take('prev_hash', hash, HASH),
    hash: at.take('hash', hash, HASH),
  };
};

export const parseProof = (value: JsonValue | undefined): BatchProof => {
  const root = members(value, '/proof');
  const at = reader(root, '/proof', [
    'ledger_id',
    'signed_at',
    'tenant_count',
    'batch_fact_count',
    'root',
    'kid',
    'signature',
    'path',
  ]);
  return {
    ledgerId: at.take('ledger_id', (raw) => (isUuid(text(raw)) ? text(raw) : undefined), 'a lower-case UUID'),
    signedAt: at.take('signed_at', time, TIME),
    tenantCount: at.take('tenant_count', (raw) => (count(raw) ? raw : undefined), 'a whole number from 1'),
    batchFactCount: at.take(
      'batch_fact_count',
      (raw) => (count(raw) ? raw : undefined),
      'a whole number from 1',
    ),
    root: at.take('root', hash, HASH),
    kid: at.take('kid', text, 'the id of a key'),
    signature: at.take('signature', signature, '64 bytes in unpadded base64url'),
    path: parsePath(root['path']),
  };
};

const parsePath = (value: JsonValue | undefined): BatchPath => {
  const at = reader(members(value, '/proof/path'), '/proof/path', [
    'fact_index',
    'fact_count',
    'fact_path',
    'tenant_index',
    'tenant_path',
  ]);
  return {
    factIndex: at.take('fact_index', index, 'a whole number from 0'),
    factCount: at.take('fact_count', (raw) => (count(raw) ? raw : undefined), 'a whole number from 1'),
    factPath: at.take('fact_path', hashes, 'at most 64 hashes'),
    tenantIndex: at.take('tenant_index', index, 'a whole number from 0'),
    tenantPath: at.take('tenant_path', hashes, 'at most 64 hashes'),
  };
};

const TIME = 'an RFC 3339 time in UTC with milliseconds, for example 2026-11-21T09:00:00.000Z';
const HASH = 'a SHA-256 as 64 lower-case hexadecimal digits';

const text = (raw: JsonValue): string => {
  if (typeof raw !== 'string') throw new TypeError('not a text');
  return raw;
};

const count = (raw: JsonValue): raw is number => Number.isSafeInteger(raw) && (raw as number) >= 1;
const index = (raw: JsonValue): number | undefined =>
  Number.isSafeInteger(raw) && (raw as number) >= 0 ? (raw as number) : undefined;
const hash = (raw: JsonValue) => sha256(text(raw));

/** Only the spelling that `instantText` writes; it has more digits for years that four cannot say. */
const time = (raw: JsonValue): Instant | undefined => {
  const at = Date.parse(text(raw)) as Instant;
  return instantText(at) === raw ? at : undefined;
};

const stream = (raw: JsonValue): StreamName | undefined => {
  const [domain = '', ...entity] = text(raw).split('-');
  return streamName(domain, entity.join('-'));
};

const hashes = (raw: JsonValue): readonly string[] | undefined =>
  Array.isArray(raw) && raw.length <= 64 ? raw.map((item: JsonValue) => hash(item)) : undefined;

/** The last of 86 characters has spare bits; only their zero form is taken, so that a signature has one spelling. */
const signature = (raw: JsonValue): string | undefined => {
  const bytes = Buffer.from(text(raw), 'base64url');
  return bytes.length === 64 && bytes.toString('base64url') === raw ? raw : undefined;
};
