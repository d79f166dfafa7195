// Bearer tokens: `plt_<tenant>.<token id>.<secret>`. The tenant stands in it so that the token can be checked against
// that tenant's own facts; the ledger keeps only the SHA-256 of the secret, which has 256 bits and needs no salt.
import { hash, randomBytes } from 'node:crypto';
import { type Sha256, type TenantId, tenantId } from '#schemas/ids.ts';
import { type TokenId, tokenId } from '#schemas/tenants.ts';

/** Rights a token can have. `tokens.scopes` may name others, of routes yet to come: those open nothing here. */
export const SCOPES = ['receipts:write', 'receipts:read', 'ledger:read'] as const;
export type Scope = (typeof SCOPES)[number];

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

/** `undefined` when the text is no token. */
export const parseToken = (text: string): ParsedToken | undefined => {
  const parts = TOKEN.exec(text);
  if (!parts) return undefined;
  const [, tenant = '', id = '', secret = ''] = parts;
  return { tenant: tenantId(tenant), tokenId: tokenId(id), secretHash: secretHash(secret) };
};

const secretHash = (secret: string): Sha256 => hash('sha256', secret, 'hex') as Sha256;
