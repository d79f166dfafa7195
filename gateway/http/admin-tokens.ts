// Tokens of tenants, for operators: issue one, which is shown once, list them, revoke one.

import type { TenantCommand } from '#commands/tenants.ts';
import { OPERATORS } from '#commands/tenants.ts';
import { MalformedId, type TenantId } from '#schemas/ids.ts';
import { type TokenId, tokenId } from '#schemas/tenants.ts';
import { tenantState, tokenDocuments } from '../tenancy/documents.ts';
import { type NewTokenBody, newTokenSchema, revocationSchema } from './admin-bodies.ts';
import {
  type AdminParts,
  bodyReader,
  CHANGE_PROBLEMS,
  change,
  changeReply,
  factMembers,
  forOperators,
  keyParameter,
  NO_STORE,
  namedTenant,
  noSuchTenant,
  tenantParameter,
} from './admin-command.ts';
import type { Caller } from './auth.ts';
import type { Operation } from './operation.ts';
import { bodyMalformed } from './problem-causes.ts';
import { type Problem, problem } from './problems.ts';
import { isProblem } from './query.ts';
import { type Call, jsonReply, problemReply, type Route } from './route.ts';
import { grantableScopes, newToken, usualScopes } from './tokens.ts';

export const tokenOperations = {
  issue: {
    id: 'issueToken',
    records: ['tenants.TokenIssued'],
    subject: 'administration',
    summary: 'Issues a token for a tenant; it is in this answer and nowhere else.',
    description:
      'The ledger keeps its hash. So the same key again does not show it again: the problem names the token, to be revoked when it was lost.',
    parameters: { tenant: tenantParameter, 'Idempotency-Key': keyParameter },
    body: [
      {
        type: 'application/json',
        schema: 'NewToken',
        example: { scopes: ['receipts:write'], label: 'billing' },
      },
    ],
    answers: {
      201: { description: 'The token.', media: [{ type: 'application/json', schema: 'IssuedToken' }] },
    },
    problems: CHANGE_PROBLEMS,
  },
  list: {
    id: 'listTokens',
    subject: 'administration',
    summary: "A tenant's tokens, never their secrets.",
    parameters: { tenant: tenantParameter },
    answers: {
      200: { description: 'The tokens.', media: [{ type: 'application/json', schema: 'Tokens' }] },
    },
    problems: ['no-such-tenant'],
  },
  revoke: {
    id: 'revokeToken',
    records: ['tenants.TokenRevoked'],
    subject: 'administration',
    summary: 'Lets nobody in with a token any more, within a second.',
    parameters: {
      tenant: tenantParameter,
      token_id: {
        in: 'path',
        description: "the token's id, which stands in it between the dots",
        schema: { type: 'string', pattern: '^[A-Za-z0-9_-]{1,64}$' },
        example: '5f0c9d2e1b7a4c38',
      },
      'Idempotency-Key': keyParameter,
    },
    body: [{ type: 'application/json', schema: 'Revocation', example: { reason: 'leaked' } }],
    answers: {
      200: { description: 'It is recorded.', media: [{ type: 'application/json', schema: 'Change' }] },
    },
    problems: ['no-such-token', ...CHANGE_PROBLEMS],
  },
} as const satisfies { readonly [name: string]: Operation };

const SCOPE = 'tokens:admin';
const GUARD = { scope: SCOPE } as const;

export const tokenRoutes = (parts: AdminParts): readonly Route[] => [
  {
    method: 'POST',
    path: '/tenants/{tenant}/tokens',
    guard: GUARD,
    about: tokenOperations.issue,
    handle: issue(parts),
  },
  {
    method: 'GET',
    path: '/tenants/{tenant}/tokens',
    guard: GUARD,
    about: tokenOperations.list,
    handle: list(parts),
  },
  {
    method: 'POST',
    path: '/tenants/{tenant}/tokens/{token_id}/revoke',
    guard: GUARD,
    about: tokenOperations.revoke,
    handle: revoke(parts),
  },
];

const issue = (parts: AdminParts) => {
  const read = bodyReader<NewTokenBody & object>(newTokenSchema);
  return forOperators(SCOPE, async (call, caller) => {
    const body = read(call);
    if (isProblem(body)) return problemReply(body, call.requestId);
    const tenant = namedTenant(call);
    if (typeof tenant === 'object') return problemReply(tenant, call.requestId);
    const { scopes = usualScopes(tenant), expires_at: expiresAt, label } = body;
    const tooMuch = grantFault(tenant, scopes, caller);
    if (tooMuch) return problemReply(tooMuch, call.requestId);
    const { token, tokenId: id, tokenHash } = newToken(tenant);
    const command: TenantCommand = {
      type: 'IssueToken',
      tokenId: id,
      tokenHash,
      scopes,
      ...(expiresAt !== undefined && { expiresAt }),
      ...(label !== undefined && { label }),
    };
    const done = await change(parts, { call, caller }, { tenant, command });
    if (isProblem(done)) return problemReply(done, call.requestId);
    const document = { token, token_id: id, scopes, expires_at: expiresAt ?? null, label: label ?? null };
    return jsonReply({ ...factMembers(done.fact), ...document }, 201, NO_STORE);
  });
};

/** An operator makes no operator who may do more. */
const grantFault = (tenant: TenantId, scopes: readonly string[], caller: Caller): Problem | undefined => {
  const grantable: readonly string[] = grantableScopes(tenant);
  const foreign = scopes.findIndex((scope) => !grantable.includes(scope));
  if (foreign >= 0) {
    const message = `is no scope of ${tenant}; give ${grantable.join(', ')}`;
    return bodyMalformed([{ pointer: `/scopes/${foreign}`, message }]);
  }
  const missing = tenant === OPERATORS && scopes.find((scope) => !caller.scopes.includes(scope));
  return missing
    ? problem('scope-missing', `only who has ${missing} gives it to another operator`, { scope: missing })
    : undefined;
};

const list = ({ store, clock, lastUses }: AdminParts) =>
  forOperators(SCOPE, async (call) => {
    const tenant = namedTenant(call);
    if (typeof tenant === 'object') return problemReply(tenant, call.requestId);
    const state = await tenantState(store, tenant);
    if (state.standing === 'absent') return problemReply(noSuchTenant(tenant), call.requestId);
    const tokens = tokenDocuments(state, clock(), await lastUses?.(tenant));
    return jsonReply({ tenant, tokens }, 200, NO_STORE);
  });

const revoke = (parts: AdminParts) => {
  const read = bodyReader<{ readonly reason?: string }>(revocationSchema);
  return forOperators(SCOPE, async (call, caller) => {
    const body = read(call);
    if (isProblem(body)) return problemReply(body, call.requestId);
    const tenant = namedTenant(call);
    if (typeof tenant === 'object') return problemReply(tenant, call.requestId);
    const id = namedToken(call);
    if (typeof id === 'object') return problemReply(id, call.requestId);
    const command: TenantCommand = { type: 'RevokeToken', tokenId: id, ...body };
    const done = await change(parts, { call, caller }, { tenant, command });
    if (isProblem(done)) return problemReply(done, call.requestId);
    return changeReply(done);
  });
};

const namedToken = ({ params: { token_id: id = '' } }: Call): TokenId | Problem => {
  try {
    return tokenId(id);
  } catch (error) {
    if (error instanceof MalformedId) return problem('no-such-token', 'there is no such token');
    throw error;
  }
};
