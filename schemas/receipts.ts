// A receipt is a party's own statement that an actor asked for a privileged action and what was decided, with
// enough beside it (inputs, evidence, policy, place in an operation) to ask later why.
//
// There is one event, `receipts.ReceiptRecorded`, and its payload is the receipt document itself, in the version
// in which it came. docs/domains/receipts.md freezes the three versions: "0.1", "0.2" and "1".
import { type Static, Type } from '@sinclair/typebox';
import type { DomainEvent, DomainSchema, Fault } from './event.ts';
import { dateTime, sha256Hex, tenantName, text, versioned, visible } from './faults.ts';
import { type Brand, MalformedId } from './ids.ts';

/** One to 128 visible ASCII characters: a UUID, a ULID, `git:<hash>`. */
export type ReceiptId = Brand<string, 'ReceiptId'>;

const RECEIPT_ID = /^[!-~]{1,128}$/;

export const receiptId = (raw: string): ReceiptId => {
  if (!RECEIPT_ID.test(raw))
    throw new MalformedId('receipt id', raw, 'use 1 to 128 visible ASCII characters');
  return raw as ReceiptId;
};

export type JsonObject = { readonly [member: string]: unknown };

// What a version cannot say travels in its `ext` under the name of the version that can, so that going down and
// up again gives the same document. No other name with this beginning is allowed: it could be mistaken for that.
const FROM_V02 = 'prov-ledger/0.2';
const FROM_V1 = 'prov-ledger/1';
const KEPT_BACK = 'choose one that does not begin with "prov-ledger/"';

const anyObject = (description: string) => Type.Unsafe<JsonObject>({ type: 'object', description });

// The named algorithms have their digests' lengths; any other one takes 8 to 64 bytes.
const HASHES = 'sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}|git-sha1:[0-9a-f]{40}';
const OTHER_HASHES = '(?!(?:sha256|sha384|sha512|git-sha1):)[a-z][a-z0-9-]{0,31}:(?:[0-9a-f]{2}){8,64}';
const evidenceHash = (pattern: string) =>
  Type.String({
    pattern,
    description:
      'the hash of the evidence as <algorithm>:<lower-case hexadecimal digits>, for example sha256: and 64 digits',
  });

const core = {
  id: visible(128, "the receipt's id, unique within its tenant"),
  action: text(256, 'what was asked for, for example db.export'),
  actor: text(256, 'who asked'),
  tenant: tenantName,
  decision: Type.Unsafe<'allow' | 'deny'>({
    type: 'string',
    enum: ['allow', 'deny'],
    description: '"allow" or "deny"',
  }),
};

const asked = {
  inputs: Type.Optional(anyObject('a JSON object of what the decision was made from')),
  region: Type.Optional(visible(64, 'where it happened, for example eu-central-1')),
};

const operation = {
  kid: Type.Optional(visible(256, "the id of the producer's key")),
  op_id: Type.Optional(visible(128, 'the operation this action belongs to')),
  op_parent_id: Type.Optional(visible(128, 'the operation that caused this one')),
};

const proofs = Type.Array(
  Type.Object(
    { type: text(128, 'what kind of proof it is') },
    { additionalProperties: true, description: 'a proof: an object with a "type"' },
  ),
  { maxItems: 64, description: 'at most 64 proofs, each an object with a "type"' },
);

const pointers = Type.Array(
  Type.String({
    pattern: '^(?:/(?:[^~/]|~[01])*)+$',
    maxLength: 512,
    description: 'a JSON Pointer (RFC 6901) into the receipt, for example /inputs/amount',
  }),
  { maxItems: 256, uniqueItems: true, description: 'at most 256 different JSON Pointers' },
);

const carriedV02 = Type.Object(
  { ...asked, proofs: Type.Optional(proofs), fields_mask: Type.Optional(pointers) },
  { additionalProperties: false, minProperties: 1, description: 'the members that only version 0.2 can say' },
);

const carriedV1 = Type.Object(
  { ...operation, evidence_hash: Type.Optional(evidenceHash(`^(?!sha256:)(?:${HASHES}|${OTHER_HASHES})$`)) },
  { additionalProperties: false, minProperties: 1, description: 'the members that only version 1 can say' },
);

const extension = <Carried extends Parameters<typeof Type.Object>[0]>(carried: Carried) =>
  Type.Optional(
    Type.Object(carried, {
      additionalProperties: true,
      minProperties: 1,
      propertyNames: {
        pattern: ['^(?!prov-ledger/)', ...Object.keys(carried).map((name) => `^${name}$`)].join('|'),
        description: KEPT_BACK,
      },
      description: 'a JSON object with at least one member of your own',
    }),
  );

const oneEvidence = {
  not: {
    required: ['evidence', 'ext'],
    properties: {
      ext: {
        type: 'object',
        required: [FROM_V1],
        properties: { [FROM_V1]: { type: 'object', required: ['evidence_hash'] } },
      },
    },
    description: `names its evidence twice; give either "evidence" or the one in ext under "${FROM_V1}"`,
  },
};

const older = {
  evidence: Type.Optional(sha256Hex('the evidence')),
  policy: Type.Optional(text(256, 'the version of the policy that decided')),
  timestamp: dateTime,
};

/** Schema version 1, "0.1". */
export const receiptV01Schema = Type.Object(
  {
    version: Type.Literal('0.1', { description: '"0.1"' }),
    ...core,
    ...older,
    ext: extension({ [FROM_V02]: Type.Optional(carriedV02), [FROM_V1]: Type.Optional(carriedV1) }),
  },
  { additionalProperties: false, description: 'a receipt of version 0.1', ...oneEvidence },
);

/** Schema version 2, "0.2". */
export const receiptV02Schema = Type.Object(
  {
    version: Type.Literal('0.2', { description: '"0.2"' }),
    ...core,
    ...asked,
    ...older,
    proofs: Type.Optional(proofs),
    fields_mask: Type.Optional(pointers),
    ext: extension({ [FROM_V1]: Type.Optional(carriedV1) }),
  },
  { additionalProperties: false, description: 'a receipt of version 0.2', ...oneEvidence },
);

/** Schema version 3, "1". */
export const receiptSchema = Type.Object(
  {
    ...core,
    ...asked,
    ...operation,
    evidence_hash: Type.Optional(evidenceHash(`^(?:${HASHES}|${OTHER_HASHES})$`)),
    policy_version: Type.Optional(text(256, 'the version of the policy that decided')),
    created_at: dateTime,
    selective_fields: Type.Optional(pointers),
    proofs: Type.Optional(proofs),
    ext: extension({}),
  },
  { additionalProperties: false, description: 'a receipt of version 1' },
);

/** The newest version as a request body: what the ledger fills in when it is left out is optional. */
export const receiptBodySchema = Type.Composite(
  [
    Type.Omit(receiptSchema, ['id', 'tenant', 'created_at']),
    Type.Partial(Type.Pick(receiptSchema, ['id', 'tenant', 'created_at'])),
  ],
  { additionalProperties: false, description: receiptSchema.description ?? '' },
);

export type ReceiptV01 = Static<typeof receiptV01Schema>;
export type ReceiptV02 = Static<typeof receiptV02Schema>;
/** A receipt of the newest version. */
export type Receipt = Static<typeof receiptSchema>;

interface ReceiptVersions {
  readonly 1: ReceiptV01;
  readonly 2: ReceiptV02;
  readonly 3: Receipt;
}
export type ReceiptVersion = keyof ReceiptVersions;
export type ReceiptDocument = ReceiptVersions[ReceiptVersion];

export type ReceiptRecorded = DomainEvent<'receipts.ReceiptRecorded', Receipt>;
export type ReceiptEvent = ReceiptRecorded;

/** The schema version a raw document claims to have, or the fault of its claim. */
export const receiptVersion = (document: JsonObject): ReceiptVersion | Fault => {
  switch (document['version']) {
    case undefined:
      return 3;
    case '0.1':
      return 1;
    case '0.2':
      return 2;
    default:
      return {
        pointer: '/version',
        message: 'is not a known version; give "0.1" or "0.2", or leave it out for version 1',
      };
  }
};

const v01ToV02 = (receipt: ReceiptV01): ReceiptV02 => {
  if (receipt.ext === undefined) return { ...receipt, version: '0.2' };
  const { ext, ...said } = receipt;
  const { [FROM_V02]: carried, ...rest } = ext;
  return { ...said, ...carried, version: '0.2', ...extOf(rest) };
};

const v02ToV01 = ({ inputs, region, proofs, fields_mask, ext, ...said }: ReceiptV02): ReceiptV01 => {
  const carried = present({ inputs, region, proofs, fields_mask });
  return { ...said, version: '0.1', ...extOf({ ...ext, ...(carried && { [FROM_V02]: carried }) }) };
};

const v02ToV1 = (receipt: ReceiptV02): Receipt => {
  const said: { [member: string]: unknown } = {};
  // Member by member: by rest and spread it takes twice as long, and every fold of an old receipt comes through here.
  for (const name of Object.keys(receipt)) {
    const value = receipt[name as keyof ReceiptV02];
    if (name === 'version' || name === 'ext' || value === undefined) continue;
    said[NEWER_NAMES.get(name) ?? name] = name === 'evidence' ? `sha256:${receipt.evidence}` : value;
  }
  if (receipt.ext === undefined) return said as Receipt;
  const { [FROM_V1]: carried, ...rest } = receipt.ext;
  return { ...said, ...carried, ...extOf(rest) } as Receipt;
};

/** What version 1 calls otherwise. */
const NEWER_NAMES: ReadonlyMap<string, string> = new Map([
  ['evidence', 'evidence_hash'],
  ['policy', 'policy_version'],
  ['timestamp', 'created_at'],
  ['fields_mask', 'selective_fields'],
]);

const v1ToV02 = (receipt: Receipt): ReceiptV02 => {
  const {
    kid,
    op_id,
    op_parent_id,
    evidence_hash,
    policy_version,
    created_at,
    selective_fields,
    ext,
    ...said
  } = receipt;
  const evidence = evidence_hash?.startsWith('sha256:') ? evidence_hash.slice('sha256:'.length) : undefined;
  const carried = present({ kid, op_id, op_parent_id, evidence_hash: evidence ? undefined : evidence_hash });
  return {
    ...said,
    ...present({ evidence, policy: policy_version, fields_mask: selective_fields }),
    version: '0.2',
    timestamp: created_at,
    ...extOf({ ...ext, ...(carried && { [FROM_V1]: carried }) }),
  };
};

type Present<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** The members that have a value; `undefined` when none has. */
const present = <T extends object>(members: T): Present<T> | undefined => {
  let kept: { [member: string]: unknown } | undefined;
  for (const name of Object.keys(members)) {
    const value = members[name as keyof T];
    if (value !== undefined) (kept ??= {})[name] = value;
  }
  return kept as Present<T> | undefined;
};

const extOf = (members: JsonObject): { ext?: JsonObject } =>
  Object.keys(members).length > 0 ? { ext: members } : {};

const UP = { 1: v01ToV02, 2: v02ToV1 } as const;
const DOWN = { 3: v1ToV02, 2: v02ToV01 } as const;

/** The same receipt in another version. Nothing is lost: there and back gives an equal document. */
export const toVersion = <To extends ReceiptVersion>(
  document: ReceiptDocument,
  from: ReceiptVersion,
  to: To,
): ReceiptVersions[To] => {
  let at: number = from;
  let current = document;
  for (; at < to; at++) current = UP[at as keyof typeof UP](current as never);
  for (; at > to; at--) current = DOWN[at as keyof typeof DOWN](current as never);
  return current as ReceiptVersions[To];
};

export const receipts = {
  name: 'receipts',
  events: {
    'receipts.ReceiptRecorded': versioned({
      names: ['0.1', '0.2', '1'],
      payloads: [receiptV01Schema, receiptV02Schema, receiptSchema],
      upcasters: UP,
    }),
  },
} as const satisfies DomainSchema;
