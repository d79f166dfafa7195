// Bearer tokens: `plt_<tenant>.<token id>.<secret>`. The tenant stands in it so that the token can be checked against
// that tenant's own facts; the ledger keeps only the SHA-256 of the secret, which has 256 bits and needs no salt.
import { hash, randomBytes } from 'node:crypto';
import { OPERATORS } from '#commands/tenants.ts';
import { type Sha256, type TenantId, tenantId } from '#schemas/ids.ts';
import { type TokenId, tokenId } from '#schemas/tenants.ts';

/** Rights over the tenant that a token is of. */
export const TENANT_SCOPES = [
  'receipts:write',
  'receipts:read',
  'ledger:read',
  'flags:read',
  'flags:report',
  'attestations:report',
] as const;
/** Rights over all tenants, which open something for tokens of the tenant `OPERATORS` only. */
export const OPERATOR_SCOPES = ['tenants:admin', 'tokens:admin', 'projections:admin'] as const;
/** Rights a token can have. `tokens.scopes` may name others, of routes yet to come: those open nothing here. */
export const SCOPES = [...TENANT_SCOPES, ...OPERATOR_SCOPES] as const;
export type Scope = (typeof SCOPES)[number];

/** What a token of this tenant may be given. */
export const grantableScopes = (tenant: TenantId): readonly Scope[] =>
  tenant === OPERATORS ? SCOPES : TENANT_SCOPES;

/** What it is given when nothing is asked for. */
export const usualScopes = (tenant: TenantId): readonly Scope[] =>
  tenant === OPERATORS ? OPERATOR_SCOPES : TENANT_SCOPES;

export interface NewToken {
  /** Shown once to whoever asked for it; never stored and never logged. */
  readonly token: string;
  readonly tokenId: TokenId;
  /** What `IssueToken` records. */
  readonly tokenHash: Sha256;
}

export const newToken = (tenant: TenantId): NewToken => {
  const id = tokenId(randomBytes(8).toString('hex'));
  const secret = randomBytes(32).toString('base64url');
  return { token: `plt_${tenant}.${id}.${secret}`, tokenId: id, tokenHash: secretHash(secret) };
};

export interface ParsedToken {
  readonly tenant: TenantId;
  readonly tokenId: TokenId;
  readonly secretHash: Sha256;
}

// 43 base64url characters carry 258 bits; the hash is over the text, so the two spare bits cannot be varied.
const TOKEN = /^plt_([a-z][a-z0-9-]{1,62})\.([A-Za-z0-9_-]{1,64})\.([A-Za-z0-9_-]{43})$/;

/** Whether it claims to be one; any other is for another issuer to judge. */
export const isLedgerToken = (text: string): boolean => text.startsWith('plt_');

/** `undefined` when the text is no token. */
export const parseToken = (text: string): ParsedToken | undefined => {
  const parts = TOKEN.exec(text);
  if (!parts) return undefined;
  const [, tenant = '', id = '', secret = ''] = parts;
  return { tenant: tenantId(tenant), tokenId: tokenId(id), secretHash: secretHash(secret) };
};

const secretHash = (secret: string): Sha256 => hash('sha256', secret, 'hex') as Sha256;
