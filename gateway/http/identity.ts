// Callers that somebody else vouches for: what the gateway is told of them, and by whom it is asked.
import type { Instant, TenantId } from '#schemas/ids.ts';
import type { Problem } from './problems.ts';
import type { Scope } from './tokens.ts';

export interface Identity {
  readonly tenant: TenantId;
  /** Whom the issuer means: unique within it. */
  readonly subject: string;
  readonly scopes: readonly Scope[];
}

/**
 * What a token of another issuer says, or why it says nothing. Rejects with `IssuerUnavailable` when that cannot be
 * known: a token that may be good is not called a bad one.
 */
export type Identify = (token: string, at: Instant) => Promise<{ readonly identity: Identity } | Refusal>;

interface Refusal {
  readonly problem: Problem;
}

/** The issuer's keys cannot be had. The caller tries again; the operator looks at the cause. */
export class IssuerUnavailable extends Error {
  override readonly name = 'IssuerUnavailable';
}
