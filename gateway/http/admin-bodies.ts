// What administration takes as a body: the schemas that check what comes and stand in the OpenAPI document.
import { dateTime, tenantName, text } from '#schemas/faults.ts';
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

export const revocationSchema = {
  type: 'object',
  description: 'why it lets nobody in any more',
  properties: { reason: text(512, 'the reason') },
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
