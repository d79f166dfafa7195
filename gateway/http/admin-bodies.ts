// What administration takes as a body: the schemas that check what comes and stand in the OpenAPI document.
import { DRIFT_CLASSES, route } from '#schemas/attestations.ts';
import { dateTime, sha256Hex, tenantName, text, visible } from '#schemas/faults.ts';
import { SCOPES } from './tokens.ts';

const displayName = text(128, 'the name people know the tenant by');

export const newTenantSchema = {
  type: 'object',
  description: 'a tenant to be',
  properties: { tenant: tenantName, display_name: displayName },
  required: ['tenant'],
  additionalProperties: false,
} as const;

export const tenantNameSchema = {
  type: 'object',
  description: 'another name for a tenant',
  properties: { display_name: displayName },
  required: ['display_name'],
  additionalProperties: false,
} as const;

export const suspensionSchema = {
  type: 'object',
  description: 'why nobody is let in',
  properties: { reason: text(512, 'the reason') },
  required: ['reason'],
  additionalProperties: false,
} as const;

export const newTokenSchema = {
  type: 'object',
  description: 'a token to be; the tenant decides about scopes that are left out',
  properties: {
    scopes: {
      type: 'array',
      items: { type: 'string', enum: SCOPES, description: `one of ${SCOPES.join(', ')}` },
      minItems: 1,
      maxItems: SCOPES.length,
      uniqueItems: true,
      description: '1 or more different scopes',
    },
    expires_at: { ...dateTime, description: 'when it ends by itself, an RFC 3339 date-time' },
    label: text(128, 'what it is for'),
  },
  additionalProperties: false,
} as const;

export interface NewTokenBody {
  readonly scopes?: readonly string[];
  readonly expires_at?: string;
  readonly label?: string;
}

export const nothingSchema = {
  type: 'object',
  description: 'nothing',
  properties: {},
  additionalProperties: false,
} as const;

export const pauseSchema = {
  type: 'object',
  description: 'why nobody takes it further',
  properties: { reason: text(512, 'the reason') },
  required: ['reason'],
  additionalProperties: false,
} as const;

export const ofTenantSchema = {
  type: 'object',
  description: 'one tenant; all of them where it is left out',
  properties: { tenant: tenantName },
  additionalProperties: false,
} as const;

export const skipSchema = {
  type: 'object',
  description: 'which fact of which tenant is passed over, and why',
  properties: {
    tenant: tenantName,
    seq: {
      type: 'integer',
      minimum: 1,
      maximum: Number.MAX_SAFE_INTEGER,
      description: 'the fact that it has halted at, so that no other one is passed over',
    },
    reason: text(512, 'the reason; it stands in the ledger for good'),
  },
  required: ['tenant', 'seq', 'reason'],
  additionalProperties: false,
} as const;

export const revocationSchema = {
  type: 'object',
  description: 'why it lets nobody in any more',
  properties: { reason: text(512, 'the reason') },
  additionalProperties: false,
} as const;

const written = (which: string) =>
  ({
    type: 'object',
    description: `what the operation left in the ${which} store`,
    properties: {
      store: visible(64, 'the store, for example postgres'),
      digest: sha256Hex('the elements that it left there'),
    },
    required: ['store', 'digest'],
    additionalProperties: false,
  }) as const;
const whole = (description: string) =>
  ({ type: 'integer', minimum: 0, maximum: 1_000_000_000, description }) as const;

export const writeAttestationSchema = {
  type: 'object',
  description: 'what one operation left in both stores',
  properties: {
    route,
    op_id: visible(128, 'the operation'),
    op_parent_id: visible(128, 'the operation that caused it'),
    left: written('first'),
    right: written('second'),
    elements: whole('how many elements it left in the first store'),
    divergent: whole('how many elements differ; 0 where the digests are equal'),
    differences: {
      type: 'array',
      maxItems: 100,
      description: 'where they differ, 100 places at most',
      items: {
        type: 'object',
        description: 'one place',
        properties: {
          class: { type: 'string', enum: DRIFT_CLASSES, description: `one of ${DRIFT_CLASSES.join(', ')}` },
          element: text(256, 'the element'),
          field: text(256, 'the field of it'),
          left_digest: sha256Hex('what the first store has there'),
          right_digest: sha256Hex('what the second store has there'),
        },
        required: ['class', 'element'],
        additionalProperties: false,
      },
    },
  },
  required: ['route', 'op_id', 'left', 'right', 'elements', 'divergent'],
  additionalProperties: false,
} as const;

const figure = {
  anyOf: [{ type: 'number' }, { type: 'string', maxLength: 64 }],
  description: 'a count, or what the source said instead, for example "NaN"',
} as const;
const readings = (of: string) => ({
  type: 'object',
  description: `requests ${of} the feature, and those of them that failed`,
  properties: { requests: figure, errors: figure },
  additionalProperties: false,
});

export const observationSchema = {
  type: 'object',
  description: 'what was seen of a ramp in one window',
  properties: {
    of: { ...tenantName, description: 'whose requests: a canary; the tenant itself when it is left out' },
    window_from: dateTime,
    window_to: dateTime,
    exposed: readings('with'),
    control: readings('without'),
    source: text(256, 'where the figures are from'),
  },
  required: ['window_from', 'window_to'],
  additionalProperties: false,
} as const;

export interface ReadingBody {
  readonly requests?: number | string;
  readonly errors?: number | string;
}

export interface ObservationBody {
  readonly of?: string;
  readonly window_from: string;
  readonly window_to: string;
  readonly exposed?: ReadingBody;
  readonly control?: ReadingBody;
  readonly source?: string;
}
