// Who asks, and may they. A token is checked against the facts of its own tenant, read from the store itself: no read
// model that lags stands in between. A revocation takes hold within a second everywhere; nobody is turned away for
// what was read before they came, so a token works from the moment it was issued. No store, no entry. Tokens of another
// issuer are taken where the configuration names one; the tenant that they name must be one here all the same.
import { timingSafeEqual } from 'node:crypto';
import type { TenantState } from '#commands/tenants.ts';
import { type Instant, instantText, type TenantId } from '#schemas/ids.ts';
import type { StreamStore } from '#streams/stream.ts';
import type { Identify, Identity } from './identity.ts';
import { type Problem, type ProblemCode, problem } from './problems.ts';
import { type KnownTenant, tenantStates } from './tenant-states.ts';
import { isLedgerToken, type ParsedToken, parseToken, type Scope } from './tokens.ts';

/** A party let in. */
export interface Caller {
  readonly tenant: TenantId;
  /** The token's id, or `oidc:` and whom another issuer means. */
  readonly tokenId: string;
  readonly scopes: readonly string[];
}

export type Verdict = { readonly caller: Caller } | { readonly problem: Problem };

export interface AuthOptions {
  readonly store: Pick<StreamStore, 'readStream'>;
  readonly clock: () => Instant;
  /** Milliseconds of a clock that never goes back, for the age of what is kept; the process's unless told. */
  readonly steadyClock?: () => number;
  /** Asked about tokens that are none of this ledger; without it they are refused. */
  readonly identify?: Identify | undefined;
  /** Told of each entry by a token of this ledger; must not throw. */
  readonly onUse?: ((tenant: TenantId, tokenId: string, at: Instant) => void) | undefined;
}

/** Answers at once when the tenant's facts are fresh in memory. Rejects with the store's error when it is away. */
export type Authorise = (authorization: string | undefined, scope: Scope) => Verdict | Promise<Verdict>;

const NO_HEADER: Verdict = { problem: problem('token-missing', 'there is no Authorization header') };
const NO_TOKEN: Verdict = {
  problem: problem('token-refused', 'the Authorization header holds no token of this ledger'),
};

/** Refusals that a later fact can turn into an entry: a token issued since, a tenant resumed since. */
const MAY_CHANGE: ReadonlySet<ProblemCode> = new Set(['token-refused', 'tenant-suspended', 'tenant-unnamed']);

export const authoriser = ({
  store,
  clock,
  steadyClock = () => performance.now(),
  identify,
  onUse,
}: AuthOptions): Authorise => {
  const states = tenantStates({ store, steadyClock });
  /** By what is known of the tenant, and once more by what is newest where that may turn a refusal into an entry. */
  const decided = (tenant: TenantId, judge: (state: TenantState) => Verdict): Verdict | Promise<Verdict> => {
    const arrivedAt = steadyClock();
    const judged = ({ state, asOf }: KnownTenant): Verdict | Promise<Verdict> => {
      const verdict = judge(state);
      const stands = 'caller' in verdict || asOf >= arrivedAt || !MAY_CHANGE.has(verdict.problem.code);
      return stands ? verdict : states.newest(tenant).then(judged);
    };
    const known = states.recent(tenant);
    return known instanceof Promise ? known.then(judged) : judged(known);
  };
  const vouchedFor = async (token: string, scope: Scope, asked: Identify): Promise<Verdict> => {
    const answer = await asked(token, clock());
    if ('problem' in answer) return answer;
    return await decided(answer.identity.tenant, (state) => judgeIdentity(state, answer.identity, scope));
  };
  return (authorization, scope) => {
    if (authorization === undefined) return NO_HEADER;
    const text = bearer(authorization);
    if (identify && text !== undefined && !isLedgerToken(text)) return vouchedFor(text, scope, identify);
    const token = text !== undefined && text.length <= 256 ? parseToken(text) : undefined;
    if (!token) return NO_TOKEN;
    return decided(token.tenant, (state) => {
      const at = clock();
      const verdict = judge(state, token, { scope, at });
      if ('caller' in verdict) onUse?.(token.tenant, token.tokenId, at);
      return verdict;
    });
  };
};

/** The scheme's name is case-insensitive (RFC 9110 section 11.1). */
const bearer = (authorization: string): string | undefined =>
  authorization.slice(0, 7).toLowerCase() === 'bearer ' ? authorization.slice(7).trim() : undefined;

const judgeIdentity = (
  { standing }: TenantState,
  { tenant, subject, scopes }: Identity,
  scope: Scope,
): Verdict => {
  if (standing === 'absent') return refused('tenant-unnamed', `there is no tenant ${tenant} in this ledger`);
  const tokenId = `oidc:${subject}`;
  return judgeRights({ tenant, tokenId, scopes }, standing, scope);
};

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
  return judgeRights({ tenant, tokenId, scopes }, state.standing, asked.scope);
};

const judgeRights = (caller: Caller, standing: TenantState['standing'], scope: Scope): Verdict => {
  if (standing !== 'active') return refused('tenant-suspended', `${caller.tenant} is suspended`);
  if (caller.scopes.includes(scope)) return { caller };
  const detail = `the token ${caller.tokenId} does not have the scope ${scope}`;
  return refused('scope-missing', detail, { scope });
};

const refused = (...of: Parameters<typeof problem>): Verdict => ({ problem: problem(...of) });
