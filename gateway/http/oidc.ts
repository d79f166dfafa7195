// Tokens of an OpenID Connect provider: JWTs (RFC 7519), signed by a key of its JWK Set. Everything that decides comes
// from the configuration: issuer, audience, algorithms, where the keys are. A token chooses among the issuer's keys by
// its `kid` and nothing else (RFC 8725 sections 3.1, 3.8, 3.9).

import {
  createRemoteJWKSet,
  customFetch,
  errors,
  type JWTPayload,
  type JWTVerifyGetKey,
  jwtVerify,
} from 'jose';
import { OPERATORS } from '#commands/tenants.ts';
import { MalformedId, type TenantId, tenantId } from '#schemas/ids.ts';
import { type Identify, type Identity, IssuerUnavailable } from './identity.ts';
import type { OidcOptions } from './oidc-options.ts';
import { type Problem, problem } from './problems.ts';
import { grantableScopes, SCOPES, type Scope } from './tokens.ts';

const TOKEN_CHARACTERS_MAX = 8_192;

/** `times` are for tests. */
export const oidcIdentities = (options: OidcOptions, times: Partial<KeyTimes> = {}): Identify => {
  const keyOf = issuerKeys(new URL(options.jwksUrl), { ...KEY_TIMES, ...times });
  return async (token, at) => {
    if (token.length > TOKEN_CHARACTERS_MAX) return refused('the token is longer than 8 KiB');
    try {
      const { payload } = await jwtVerify(token, keyOf, {
        issuer: options.issuer,
        audience: options.audience,
        algorithms: [...options.algorithms],
        clockTolerance: options.clockToleranceSeconds,
        currentDate: new Date(at),
        // One that never ends could not be taken back.
        requiredClaims: ['exp', 'sub'],
      });
      return identityOf(payload, options);
    } catch (error) {
      if (error instanceof IssuerUnavailable) throw error;
      return { problem: refusal(error) };
    }
  };
};

const refused = (detail: string) => ({ problem: problem('token-refused', detail) });

/** What a caller may know: which check failed, and nothing of the token. */
const refusal = (error: unknown): Problem => {
  if (error instanceof errors.JWTExpired) return problem('token-expired', 'the token has expired');
  if (error instanceof errors.JWTClaimValidationFailed)
    return problem(
      'token-refused',
      `the token's claim "${error.claim}" is missing or not as it must be here`,
    );
  if (error instanceof errors.JOSEAlgNotAllowed)
    return problem('token-refused', "the token's algorithm is none that is taken here");
  if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys)
    return problem('token-refused', 'the token names no key that its issuer has');
  if (error instanceof errors.JWSSignatureVerificationFailed)
    return problem('token-refused', "the token's signature is not one of its issuer");
  return problem('token-refused', 'the token is no signed JWT');
};

// --- the issuer's keys

export interface KeyTimes {
  /** Asked again after this, beside the requests: none of them waits for it. */
  readonly freshMs: number;
  /** While the issuer cannot be reached its keys are still taken; after this nobody knows whether they hold. */
  readonly keptMs: number;
  readonly timeoutMs: number;
  /** Between two questions about a key that is not known: a rotated key waits as long at most, and so does an attacker. */
  readonly cooldownMs: number;
  /** After a question that was not answered. */
  readonly backoffMs: number;
}

const KEY_TIMES: KeyTimes = {
  freshMs: 10 * 60_000,
  keptMs: 60 * 60_000,
  timeoutMs: 5_000,
  cooldownMs: 10_000,
  backoffMs: 1_000,
};

const issuerKeys = (url: URL, times: KeyTimes): JWTVerifyGetKey => {
  let fetchedAt = Number.NEGATIVE_INFINITY;
  let failedAt = Number.NEGATIVE_INFINITY;
  const remote = createRemoteJWKSet(url, {
    timeoutDuration: times.timeoutMs,
    cooldownDuration: times.cooldownMs,
    // Its age is looked at below.
    cacheMaxAge: Number.POSITIVE_INFINITY,
    [customFetch]: async (address, init) => {
      if (performance.now() - failedAt < times.backoffMs) throw new Error('it did not answer a moment ago');
      const response = await fetch(address, init).catch((error: unknown) => {
        failedAt = performance.now();
        throw error;
      });
      if (!response.ok) failedAt = performance.now();
      return response;
    },
  });
  const reload = async (): Promise<void> => {
    await remote.reload();
    fetchedAt = performance.now();
  };
  return async (header, token) => {
    try {
      const age = performance.now() - fetchedAt;
      if (age > times.keptMs) await reload();
      else if (age > times.freshMs && !remote.reloading) reload().catch(() => undefined);
      return await remote(header, token);
    } catch (error) {
      if (isAboutTheToken(error)) throw error;
      throw new IssuerUnavailable(`the keys at ${url.origin} cannot be had`, { cause: error });
    }
  };
};

const isAboutTheToken = (error: unknown): boolean =>
  error instanceof errors.JWKSNoMatchingKey ||
  error instanceof errors.JWKSMultipleMatchingKeys ||
  error instanceof errors.JOSENotSupported;

// --- what the claims mean here

const identityOf = (
  claims: JWTPayload,
  options: OidcOptions,
): { readonly identity: Identity } | { readonly problem: Problem } => {
  const { sub } = claims;
  if (sub === undefined || !/^[\x21-\x7e]{1,255}$/.test(sub)) return refused('the token names no subject');
  const named = claimed(claims, options.tenantClaim);
  const tenant = typeof named === 'string' ? tenantOf(named, options.tenants) : undefined;
  if (tenant === undefined)
    return {
      problem: problem(
        'tenant-unnamed',
        `the claim "${options.tenantClaim}" names no tenant of this ledger`,
        {
          claim: options.tenantClaim,
        },
      ),
    };
  const grantable = grantableScopes(tenant);
  const scopes = scopesOf(claimed(claims, options.scopeClaim), options.scopes);
  return { identity: { tenant, subject: sub, scopes: grantable.filter((scope) => scopes.has(scope)) } };
};

/** Own members only, so that no name reaches a prototype. */
const claimed = (claims: JWTPayload, name: string): unknown => {
  const path = name.startsWith('/')
    ? name
        .slice(1)
        .split('/')
        .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    : [name];
  let at: unknown = claims;
  for (const part of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, part)) return undefined;
    at = (at as { readonly [name: string]: unknown })[part];
  }
  return at;
};

const tenantOf = (named: string, tenants: OidcOptions['tenants']): TenantId | undefined => {
  const mapped = tenants.size > 0;
  const raw = mapped ? tenants.get(named)?.[0] : named;
  if (raw === undefined) return undefined;
  try {
    const tenant = tenantId(raw);
    // Providers let customers choose their own name: who calls himself so runs nothing here, unless told in so many words.
    return tenant === OPERATORS && !mapped ? undefined : tenant;
  } catch (error) {
    if (error instanceof MalformedId) return undefined;
    throw error;
  }
};

/** A text with spaces between (RFC 8693 section 4.2), or a list, as providers write roles and groups. */
const scopesOf = (claim: unknown, mapping: OidcOptions['scopes']): ReadonlySet<Scope> => {
  const values = typeof claim === 'string' ? claim.split(' ') : Array.isArray(claim) ? claim : [];
  const meant = values.flatMap((value: unknown) =>
    typeof value !== 'string' ? [] : mapping.size > 0 ? (mapping.get(value) ?? []) : [value],
  );
  return new Set(SCOPES.filter((scope) => meant.includes(scope)));
};
