// The shapes of what is sent and answered, by name: the schemas of the domain where they validate what comes in, and
// those of our own documents, to which a test holds the answers.
import { route } from '#schemas/attestations.ts';
import { dateTime, sha256Hex, tenantName } from '#schemas/faults.ts';
import { receiptBodySchema, receiptV01Schema, receiptV02Schema } from '#schemas/receipts.ts';
import { cloudEventSchema } from '../cloudevents/event.ts';
import {
  newTenantSchema,
  newTokenSchema,
  observationSchema,
  ofTenantSchema,
  pauseSchema,
  revocationSchema,
  skipSchema,
  suspensionSchema,
  tenantNameSchema,
  writeAttestationSchema,
} from './admin-bodies.ts';
import { catalogue } from './problems.ts';
import { projectionShapes } from './projection-shapes.ts';
import { count, object, ref, text } from './shape-parts.ts';

const nullable = (description: string) => ({
  type: ['string', 'null'],
  description: `${description}; null when the receipt does not say`,
});
const hashes = (description: string) => ({
  type: 'array',
  items: sha256Hex('a node'),
  maxItems: 64,
  description,
});

const factMembers = {
  tenant: tenantName,
  seq: count("place in the tenant's chain, from 1 without gaps"),
  id: { type: 'string', format: 'uuid', description: "the fact's id" },
  type: text('<domain>.<PastTense>'),
  schema_version: count("version of the payload's shape"),
  'stream?': text('the entity that the fact belongs to; absent for receipts'),
  occurred_at: { ...dateTime, description: "by the source's clock" },
  recorded_at: { ...dateTime, description: "by the ledger's clock; never goes back as seq ascends" },
  actor: text('who acted'),
  'op_id?': text('the operation it belongs to'),
  'op_parent_id?': text('the operation that caused that one'),
  'region?': text('where it happened'),
  payload: text('the exact text whose bytes were hashed: RFC 8785 canonical JSON'),
  prev_hash: sha256Hex('the fact before'),
  hash: sha256Hex('this fact'),
};

const changeMembers = {
  tenant: tenantName,
  seq: count('its place in the chain'),
  type: text('<domain>.<PastTense>'),
  recorded_at: dateTime,
  hash: sha256Hex('the fact'),
};

const tenantMembers = {
  tenant: tenantName,
  display_name: text('the name people know it by'),
  status: { type: 'string', enum: ['active', 'suspended'] },
  facts: count('how many facts its chain has'),
  head_hash: sha256Hex('the last of them'),
  last_recorded_at: dateTime,
};

const tokenMembers = {
  token_id: text('which token it is'),
  scopes: { type: 'array', items: { type: 'string' }, description: 'what its bearer may do' },
  label: { type: ['string', 'null'], description: 'what it is for' },
  expires_at: { type: ['string', 'null'], description: 'when it ends by itself; null when it does not' },
};

type Members = { readonly [name: string]: object };

/** What became of one of many; `place` says which. */
const outcomes = (place: Members) => {
  const outcome = (status: readonly string[], members: Members) =>
    object('what became of it', { ...place, status: { type: 'string', enum: status }, ...members });
  const recorded = {
    id: text("the receipt's id"),
    seq: count('its place in the chain'),
    hash: sha256Hex('the fact'),
  };
  return [
    outcome(['recorded', 'repeated'], recorded),
    outcome(['malformed', 'refused', 'conflict'], { problem: ref('Problem') }),
  ];
};

export const shapes = {
  Receipt: {
    ...receiptBodySchema,
    description: 'a receipt of version 1; id, tenant and created_at are filled in when they are left out',
  },
  ReceiptV02: receiptV02Schema,
  ReceiptV01: receiptV01Schema,
  AnyReceipt: { anyOf: [ref('Receipt'), ref('ReceiptV02'), ref('ReceiptV01')] },
  CloudEvent: cloudEventSchema,
  CloudEvents: { type: 'array', items: ref('CloudEvent'), maxItems: 1_000, description: 'a batch of events' },
  Fact: object('a recorded event in its place', factMembers),
  Proof: object('the signature over the commit that holds a fact, and the way from the fact to it', {
    ledger_id: { type: 'string', format: 'uuid', description: 'which ledger signed' },
    signed_at: dateTime,
    tenant_count: count('tenants in the commit'),
    batch_fact_count: count('facts in the commit'),
    root: sha256Hex('the tree over the commit'),
    kid: text('which of the public keys verifies it'),
    signature: { type: 'string', pattern: '^[A-Za-z0-9_-]{86}$', description: 'base64url, 64 bytes' },
    path: object('places and neighbours in the two storeys of the tree (RFC 6962)', {
      fact_index: count("place among the tenant's facts of the commit", 0),
      fact_count: count("the tenant's facts of the commit"),
      fact_path: hashes('from the fact to the tenant'),
      tenant_index: count('place among the tenants of the commit', 0),
      tenant_path: hashes('from the tenant to the root'),
    }),
  }),
  ReceiptBundle: object('a recorded receipt with its proof: what offline verification takes', {
    format: { const: 'prov-ledger/receipt@1' },
    fact: ref('Fact'),
    proof: ref('Proof'),
  }),
  ReceiptPage: object('receipts in the order of the chain, or against it', {
    receipts: {
      type: 'array',
      items: object('a receipt as the read model has it', {
        id: text("the receipt's own id"),
        seq: count("its place in the tenant's chain"),
        fact_id: { type: 'string', format: 'uuid' },
        action: text('what was asked for'),
        actor: text('who asked'),
        decision: { type: 'string', enum: ['allow', 'deny'] },
        created_at: dateTime,
        recorded_at: dateTime,
        evidence_hash: nullable('the evidence'),
        policy_version: nullable('the version of the policy that decided'),
        region: nullable('where it happened'),
        op_id: nullable('the operation it belongs to'),
        op_parent_id: nullable('the operation that caused that one'),
        href: text('where the receipt is with its proof'),
      }),
    },
    'next_cursor?': text('for the next page; absent on the last one'),
    as_of_seq: count('the last fact that the read model has seen', 0),
  }),
  Verification: object('what was found', {
    ok: { type: 'boolean', description: 'true only when every check is' },
    checks: {
      type: 'array',
      items: object('one check', {
        name: text('what was checked'),
        ok: { type: 'boolean' },
        detail: text('what was found, in words'),
      }),
    },
  }),
  LineResult: { oneOf: outcomes({ line: count('number of the line, from 1') }) },
  EventResults: object('what became of the events of a batch, in their order', {
    results: { type: 'array', items: { oneOf: outcomes({ index: count('place in the batch, from 0', 0) }) } },
  }),
  ExportLine: {
    type: 'object',
    description:
      'a line of an export: its header, a fact, a signed batch after the last fact it signs, or the end',
    oneOf: ['format', 'fact', 'batch', 'end'].map((name) => ({ required: [name] })),
  },
  Head: object("the end of a tenant's chain, signed", {
    tenant: tenantName,
    seq: count('the last fact'),
    hash: sha256Hex('the last fact'),
    recorded_at: dateTime,
    proof: ref('Proof'),
  }),
  RampObservation: observationSchema,
  WriteAttestation: writeAttestationSchema,
  Gate: object('the write path of one route', {
    tenant: tenantName,
    route,
    closed: { type: 'boolean', description: 'taken back: nothing may be written' },
    epoch: count('how often it has moved', 0),
    'reason?': text('why it is closed'),
  }),
  FlagSpec: object("a tenant's flags, for whoever evaluates them", {
    format: { const: 'prov-ledger/flags@1' },
    tenant: tenantName,
    flags: {
      type: 'object',
      description: 'by feature; those that were retired are not there',
      additionalProperties: object('one flag', {
        pct: { type: 'integer', minimum: 0, maximum: 100, description: 'in a hundred, how many get it' },
        frozen: { type: 'boolean', description: 'held where it is' },
        seq: count('place in the chain of the fact that it is so by'),
      }),
    },
  }),
  ...projectionShapes,
  Pause: pauseSchema,
  OfTenant: ofTenantSchema,
  FactSkip: skipSchema,
  NewTenant: newTenantSchema,
  TenantName: tenantNameSchema,
  Suspension: suspensionSchema,
  NewToken: newTokenSchema,
  Revocation: revocationSchema,
  Change: object("a fact of the tenant's own chain: what was changed", changeMembers),
  Tenant: object('a tenant as its own facts have it', tenantMembers),
  TenantPage: object('tenants by their names', {
    tenants: { type: 'array', items: ref('Tenant') },
    'next_cursor?': text('for the next page; absent on the last one'),
  }),
  IssuedToken: object('a new token, shown once', {
    ...changeMembers,
    token: text('what its bearer sends'),
    ...tokenMembers,
  }),
  Tokens: object("a tenant's tokens", {
    tenant: tenantName,
    tokens: {
      type: 'array',
      items: object('a token without its secret', {
        ...tokenMembers,
        last_used_at: {
          type: ['string', 'null'],
          description: 'when it last let somebody in, known half a minute later; null when it never did',
        },
        status: { type: 'string', enum: ['in force', 'expired', 'revoked'] },
      }),
    },
  }),
  Keys: {
    type: 'object',
    description: 'public keys (RFC 7517)',
    required: ['keys'],
    properties: { keys: { type: 'array', items: { type: 'object', required: ['kty', 'kid'] } } },
  },
  Alive: object('the process answers', { status: { const: 'ok' } }),
  Ready: object('the service takes requests', {
    status: { const: 'ready' },
    missing: { type: 'array', maxItems: 0, description: 'nothing' },
  }),
  Build: object('which program answers', {
    name: text('the program'),
    version: text('its version'),
    runtime: text('what runs it'),
    api_versions: { type: 'array', items: { type: 'string' }, description: 'the versions that it answers' },
  }),
  Problem: {
    type: 'object',
    description: 'RFC 9457; further members depend on the code',
    required: ['type', 'title', 'status', 'detail', 'todo', 'instance', 'code'],
    properties: {
      type: { type: 'string', pattern: '^urn:prov-ledger:problem:[a-z0-9-]+$' },
      title: text('the kind of problem'),
      status: { type: 'integer', minimum: 400, maximum: 599 },
      detail: text('what happened in this case'),
      todo: text('what to do about it'),
      instance: text("the request's id, also in X-Request-Id"),
      code: { type: 'string', enum: Object.keys(catalogue) },
    },
  },
  ProblemKind: object('one kind of problem', {
    code: { type: 'string', enum: Object.keys(catalogue) },
    type: text('as in the documents'),
    status: { type: 'integer', minimum: 400, maximum: 599 },
    title: text('the kind of problem'),
    todo: text('what to do about it'),
    'retry_after?': count('seconds after which the same request may succeed'),
  }),
  ProblemKinds: object('every kind of problem', {
    problems: { type: 'array', items: ref('ProblemKind') },
  }),
  OpenApi: {
    type: 'object',
    description: 'OpenAPI 3.1',
    required: ['openapi', 'info', 'paths', 'components'],
  },
} as const;

export type ShapeName = keyof typeof shapes;
