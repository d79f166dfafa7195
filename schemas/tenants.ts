// A tenant is the owner of one chain of facts; its creation is the first fact of that chain.
// The tokens with which callers act for a tenant are facts of the same chain: who was let in, with which rights
// and until when. The secret itself is never said, only its SHA-256.
import { type Static, Type } from '@sinclair/typebox';
import type { DomainEvent, DomainSchema } from './event.ts';
import { dateTime, sha256Hex, tenantName, text, versioned } from './faults.ts';
import { type Brand, MalformedId } from './ids.ts';

/** One to 64 of `A-Z a-z 0-9 _ -`. */
export type TokenId = Brand<string, 'TokenId'>;

const TOKEN_ID = /^[A-Za-z0-9_-]{1,64}$/;

export const tokenId = (raw: string): TokenId => {
  if (!TOKEN_ID.test(raw)) throw new MalformedId('token id', raw, 'use 1 to 64 of A-Z, a-z, 0-9, _ and -');
  return raw as TokenId;
};

const displayName = text(128, 'the name people know the tenant by');
const reason = text(512, 'the reason');
const token = Type.String({
  pattern: TOKEN_ID.source,
  description: "the token's id: 1 to 64 of A-Z, a-z, 0-9, _ and -",
});

const payload = <Members extends Parameters<typeof Type.Object>[0]>(description: string, members: Members) =>
  Type.Object(members, { additionalProperties: false, description });

export const tenantCreatedSchema = payload('TenantCreated', {
  tenant: tenantName,
  display_name: displayName,
});
export const tenantRenamedSchema = payload('TenantRenamed', { display_name: displayName });
export const tenantSuspendedSchema = payload('TenantSuspended', { reason });
export const tenantResumedSchema = payload('TenantResumed', {});
export const tokenIssuedSchema = payload('TokenIssued', {
  token_id: token,
  token_hash: sha256Hex('the secret'),
  scopes: Type.Array(
    Type.String({
      pattern: '^[a-z][a-z0-9-]{0,31}:[a-z][a-z0-9-]{0,31}$',
      description: 'a scope of the form <what>:<may>, for example receipts:write',
    }),
    { minItems: 1, maxItems: 32, uniqueItems: true, description: '1 to 32 different scopes' },
  ),
  expires_at: Type.Optional(dateTime),
  label: Type.Optional(text(128, 'what the token is for')),
});
export const tokenRevokedSchema = payload('TokenRevoked', { token_id: token, reason: Type.Optional(reason) });

export type TenantCreated = DomainEvent<'tenants.TenantCreated', Static<typeof tenantCreatedSchema>>;
export type TenantRenamed = DomainEvent<'tenants.TenantRenamed', Static<typeof tenantRenamedSchema>>;
export type TenantSuspended = DomainEvent<'tenants.TenantSuspended', Static<typeof tenantSuspendedSchema>>;
export type TenantResumed = DomainEvent<'tenants.TenantResumed', Static<typeof tenantResumedSchema>>;
export type TokenIssued = DomainEvent<'tenants.TokenIssued', Static<typeof tokenIssuedSchema>>;
export type TokenRevoked = DomainEvent<'tenants.TokenRevoked', Static<typeof tokenRevokedSchema>>;

export type TenantEvent =
  | TenantCreated
  | TenantRenamed
  | TenantSuspended
  | TenantResumed
  | TokenIssued
  | TokenRevoked;

export const tenants = {
  name: 'tenants',
  events: {
    'tenants.TenantCreated': versioned({ names: ['1'], payloads: [tenantCreatedSchema] }),
    'tenants.TenantRenamed': versioned({ names: ['1'], payloads: [tenantRenamedSchema] }),
    'tenants.TenantSuspended': versioned({ names: ['1'], payloads: [tenantSuspendedSchema] }),
    'tenants.TenantResumed': versioned({ names: ['1'], payloads: [tenantResumedSchema] }),
    'tenants.TokenIssued': versioned({ names: ['1'], payloads: [tokenIssuedSchema] }),
    'tenants.TokenRevoked': versioned({ names: ['1'], payloads: [tokenRevokedSchema] }),
  },
} as const satisfies DomainSchema;
