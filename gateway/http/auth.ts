// Who asks, and may they. A token is checked against the facts of its own tenant, read from the store itself: no read
// model that could lag stands in between. What was read is used for at most a second, counted from before the read
// began, so that a revocation takes hold everywhere within it. No store, no entry.
import { timingSafeEqual } from 'node:crypto';
import { type TenantState, tenants } from '#commands/tenants.ts';
import type { Recorded } from '#schemas/event.ts';
import { type Instant, streamName, type TenantId } from '#schemas/ids.ts';
import { decodeFact } from '#schemas/index.ts';
import type { TenantEvent } from '#schemas/tenants.ts';
import type { StreamStore } from '#streams/stream.ts';
import { type Problem, problem } from './problems.ts';
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
  /** Milliseconds of a clock that never goes back, for the age of what is cached; the process's unless told. */
  readonly steadyClock?: () => number;
}

/** Answers at once when the tenant's facts are fresh in memory. Rejects with the store's error when it is away. */
export type Authorise = (authorization: string | undefined, scope: Scope) => Verdict | Promise<Verdict>;

const CACHED_MS_MAX = 1_000;
/** Tenants in memory; names that nobody has are among them, so the number must be bounded. */
const TENANTS_MAX = 10_000;

interface Fold {
  readonly state: TenantState;
  readonly count: number;
  readonly last: Recorded | undefined;
}

interface Cached {
  fold: Fold;
  readAt: number;
  reading: { readonly startedAt: number; readonly done: Promise<TenantState> } | undefined;
}

const EMPTY: Fold = { state: tenants.initial, count: 0, last: undefined };

export const authoriser = ({
  store,
  clock,
  steadyClock = () => performance.now(),
}: AuthOptions): Authorise => {
  const cache = new Map<TenantId, Cached>();

  const entryOf = (tenant: TenantId): Cached => {
    const known = cache.get(tenant);
    if (known) return known;
    const entry: Cached = { fold: EMPTY, readAt: Number.NEGATIVE_INFINITY, reading: undefined };
    if (cache.size >= TENANTS_MAX) cache.delete(cache.keys().next().value as TenantId);
    cache.set(tenant, entry);
    return entry;
  };

  const read = async (tenant: TenantId, entry: Cached, startedAt: number): Promise<TenantState> => {
    const facts = await store.readStream(tenant, streamName('tenants', tenant));
    const fold = foldOn(entry.fold, facts);
    // A slow read may be overtaken by a later one.
    if (startedAt >= entry.readAt) {
      entry.fold = fold;
      entry.readAt = startedAt;
    }
    return fold.state;
  };

  const stateOf = (tenant: TenantId): TenantState | Promise<TenantState> => {
    const now = steadyClock();
    const entry = entryOf(tenant);
    if (now - entry.readAt < CACHED_MS_MAX) return entry.fold.state;
    // Callers that arrive together share one read.
    if (entry.reading && now - entry.reading.startedAt < CACHED_MS_MAX) return entry.reading.done;
    const done = read(tenant, entry, now);
    const reading = { startedAt: now, done };
    entry.reading = reading;
    const forget = (): void => {
      if (entry.reading === reading) entry.reading = undefined;
    };
    done.then(forget, forget);
    return done;
  };

  return (authorization, scope) => {
    if (authorization === undefined)
      return { problem: problem('token-missing', 'there is no Authorization header') };
    const token = bearer(authorization);
    if (!token)
      return { problem: problem('token-refused', 'the Authorization header holds no token of this ledger') };
    const state = stateOf(token.tenant);
    return state instanceof Promise
      ? state.then((read) => judge(read, token, scope, clock()))
      : judge(state, token, scope, clock());
  };
};

const bearer = (authorization: string): ParsedToken | undefined =>
  // The scheme's name is case-insensitive (RFC 9110 section 11.1).
  authorization.length <= 256 && authorization.slice(0, 7).toLowerCase() === 'bearer '
    ? parseToken(authorization.slice(7).trim())
    : undefined;

/** The stream only grows, so only what is new is folded; a stream that does not continue the last one is folded anew. */
const foldOn = (before: Fold, facts: readonly Recorded[]): Fold => {
  const continues = before.count > 0 && facts[before.count - 1]?.hash === before.last?.hash;
  const from = continues ? before : EMPTY;
  let { state } = from;
  for (let index = from.count; index < facts.length; index += 1) {
    state = tenants.evolve(state, decodeFact(facts[index] as Recorded) as unknown as TenantEvent);
  }
  return { state, count: facts.length, last: facts.at(-1) };
};

const ABSENT_HASH = '0'.repeat(64);

const judge = (
  state: TenantState,
  { tenant, tokenId, secretHash }: ParsedToken,
  scope: Scope,
  at: Instant,
): Verdict => {
  const token = state.tokens.get(tokenId);
  // Compared in the same time whether or not there is such a token, and whatever the difference.
  const same = timingSafeEqual(
    Buffer.from(secretHash, 'latin1'),
    Buffer.from(token?.tokenHash ?? ABSENT_HASH, 'latin1'),
  );
  if (!token || !same) return { problem: problem('token-refused', 'the token is not one of this ledger') };
  if (token.revoked) return { problem: problem('token-revoked', `the token ${tokenId} was revoked`) };
  if (token.expiresAt !== undefined && token.expiresAt <= at) {
    return {
      problem: problem(
        'token-expired',
        `the token ${tokenId} expired at ${new Date(token.expiresAt).toISOString()}`,
      ),
    };
  }
  if (state.standing !== 'active') return { problem: problem('tenant-suspended', `${tenant} is suspended`) };
  if (!token.scopes.includes(scope))
    return {
      problem: problem('scope-missing', `the token ${tokenId} does not have the scope ${scope}`, { scope }),
    };
  return { caller: { tenant, tokenId, scopes: token.scopes } };
};
