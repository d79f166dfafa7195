// A receipt as it leaves the ledger: the fact and the signature over it, in one JSON document that can be verified
// with nothing but the ledger's public keys (verifier.ts). "prov-ledger/receipt@1" is frozen: members are neither
// added nor renamed; another form gets another tag.
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
import {
  type CanonicalLimits,
  canonicalize,
  type JsonValue,
  parseStrict,
  parseStrictBytes,
} from './canonical.ts';
import type { BatchPath, BatchProof } from './checkpoint.ts';

export const RECEIPT_FORMAT = 'prov-ledger/receipt@1';

/** Times are RFC 3339 in UTC with milliseconds; hashes are SHA-256 in lower-case hexadecimal. */
export interface FactDocument {
  readonly tenant: string;
  readonly seq: number;
  readonly id: string;
  readonly type: string;
  readonly schema_version: number;
  readonly stream?: string;
  readonly occurred_at: string;
  readonly recorded_at: string;
  readonly actor: string;
  readonly op_id?: string;
  readonly op_parent_id?: string;
  readonly region?: string;
  /** The exact text whose UTF-8 bytes were hashed: RFC 8785 canonical JSON. */
  readonly payload: string;
  readonly prev_hash: string;
  readonly hash: string;
}

export interface ProofDocument {
  readonly ledger_id: string;
  readonly signed_at: string;
  readonly tenant_count: number;
  readonly batch_fact_count: number;
  readonly root: string;
  readonly kid: string;
  /** base64url without padding, 64 bytes. */
  readonly signature: string;
  readonly path: {
    readonly fact_index: number;
    readonly fact_count: number;
    readonly fact_path: readonly string[];
    readonly tenant_index: number;
    readonly tenant_path: readonly string[];
  };
}

export interface ReceiptBundle {
  readonly format: typeof RECEIPT_FORMAT;
  readonly fact: FactDocument;
  readonly proof: ProofDocument;
}

/** The document of one fact. Equal facts and proofs give documents that `JSON.stringify` writes alike. */
export const receiptBundle = (fact: Recorded, proof: BatchProof): ReceiptBundle => ({
  format: RECEIPT_FORMAT,
  fact: factDocument(fact),
  proof: proofDocument(proof),
});

const factDocument = (fact: Recorded): FactDocument => ({
  tenant: fact.tenant,
  seq: fact.seq,
  id: fact.id,
  type: fact.type,
  schema_version: fact.schemaVersion,
  ...(fact.stream !== undefined && { stream: fact.stream }),
  occurred_at: instantText(fact.occurredAt),
  recorded_at: instantText(fact.recordedAt),
  actor: fact.actor,
  ...(fact.opId !== undefined && { op_id: fact.opId }),
  ...(fact.opParentId !== undefined && { op_parent_id: fact.opParentId }),
  ...(fact.region !== undefined && { region: fact.region }),
  payload: fact.payload,
  prev_hash: fact.prevHash,
  hash: fact.hash,
});

export const proofDocument = ({
  ledgerId,
  signedAt,
  tenantCount,
  batchFactCount,
  root,
  kid,
  signature,
  path,
}: BatchProof): ProofDocument => ({
  ledger_id: ledgerId,
  signed_at: instantText(signedAt),
  tenant_count: tenantCount,
  batch_fact_count: batchFactCount,
  root,
  kid,
  signature,
  path: {
    fact_index: path.factIndex,
    fact_count: path.factCount,
    fact_path: path.factPath,
    tenant_index: path.tenantIndex,
    tenant_path: path.tenantPath,
  },
});

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

/**
 * Reads a bundle from outside: text, its bytes, or a value already parsed. Every member once, none unknown, each in
 * its only spelling; whether the parts belong together is for verifier.ts. Throws `MalformedBundle`.
 */
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

const parseProof = (value: JsonValue | undefined): BatchProof => {
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
