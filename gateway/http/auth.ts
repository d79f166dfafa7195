// Who asks, and may they. A token is checked against the facts of its own tenant, read from the store itself: no read
// model that lags stands in between. A revocation takes hold within a second everywhere; nobody is turned away for
// what was read before they came, so a token works from the moment it was issued. No store, no entry.
import { timingSafeEqual } from 'node:crypto';
import type { TenantState } from '#commands/tenants.ts';
import { type Instant, instantText, type TenantId } from '#schemas/ids.ts';
import type { StreamStore } from '#streams/stream.ts';
import { type Problem, type ProblemCode, problem } from './problems.ts';
import { type KnownTenant, tenantStates } from './tenant-states.ts';
import { type ParsedToken, parseToken, type Scope } from './tokens.ts';

/** A party let in. */
export interface Caller {
  readonly tenant: TenantId;
  readonly tokenId: string;
  readonly scopes: readonly string[];
}

export type Verdict = { readonly caller: Caller } | { readonly problem: Problem };

export interface AuthOptions {
  readonly store: Pick<StreamStore, 'readStream'>;
  readonly clock: () => Instant;
  /** Milliseconds of a clock that never goes back, for the age of what is kept; the process's unless told. */
  readonly steadyClock?: () => number;
}

/** Answers at once when the tenant's facts are fresh in memory. Rejects with the store's error when it is away. */
export type Authorise = (authorization: string | undefined, scope: Scope) => Verdict | Promise<Verdict>;

const NO_HEADER: Verdict = { problem: problem('token-missing', 'there is no Authorization header') };
const NO_TOKEN: Verdict = {
  problem: problem('token-refused', 'the Authorization header holds no token of this ledger'),
};

/** Refusals that a later fact can turn into an entry: a token issued since, a tenant resumed since. */
const MAY_CHANGE: ReadonlySet<ProblemCode> = new Set(['token-refused', 'tenant-suspended']);

export const authoriser = ({
  store,
  clock,
  steadyClock = () => performance.now(),
}: AuthOptions): Authorise => {
  const states = tenantStates({ store, steadyClock });
  return (authorization, scope) => {
    if (authorization === undefined) return NO_HEADER;
    const token = bearer(authorization);
    if (!token) return NO_TOKEN;
    const arrivedAt = steadyClock();
    const judged = ({ state, asOf }: KnownTenant): Verdict | Promise<Verdict> => {
      const verdict = judge(state, token, { scope, at: clock() });
      const stands = 'caller' in verdict || asOf >= arrivedAt || !MAY_CHANGE.has(verdict.problem.code);
      return stands ? verdict : states.newest(token.tenant).then(judged);
    };
    const known = states.recent(token.tenant);
    return known instanceof Promise ? known.then(judged) : judged(known);
  };
};

const bearer = (authorization: string): ParsedToken | undefined =>
  // The scheme's name is case-insensitive (RFC 9110 section 11.1).
  authorization.length <= 256 && authorization.slice(0, 7).toLowerCase() === 'bearer '
    ? parseToken(authorization.slice(7).trim())
    : undefined;

const ABSENT_HASH = '0'.repeat(64);

interface Asked {
  readonly scope: Scope;
  readonly at: Instant;
}

const judge = (state: TenantState, { tenant, tokenId, secretHash }: ParsedToken, asked: Asked): Verdict => {
  const token = state.tokens.get(tokenId);
  // Compared in the same time whether or not there is such a token, and whatever the difference.
  const same = timingSafeEqual(
    Buffer.from(secretHash, 'latin1'),
    Buffer.from(token?.tokenHash ?? ABSENT_HASH, 'latin1'),
  );
  if (!token || !same) return refused('token-refused', 'the token is not one of this ledger');
  const { scopes, expiresAt } = token;
  if (token.revoked) return refused('token-revoked', `the token ${tokenId} was revoked`);
  if (expiresAt !== undefined && expiresAt <= asked.at)
    return refused('token-expired', `the token ${tokenId} expired at ${instantText(expiresAt)}`);
  if (state.standing !== 'active') return refused('tenant-suspended', `${tenant} is suspended`);
  if (!scopes.includes(asked.scope)) {
    const detail = `the token ${tokenId} does not have the scope ${asked.scope}`;
    return refused('scope-missing', detail, { scope: asked.scope });
  }
  return { caller: { tenant, tokenId, scopes } };
};

const refused = (...of: Parameters<typeof problem>): Verdict => ({ problem: problem(...of) });
