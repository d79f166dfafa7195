// Whose tokens are taken besides the ledger's own, and what their claims mean here.
import { JWT_ALGORITHMS, type JwtAlgorithm, type OidcOptions } from '#gateway/http/oidc-options.ts';
import { optional, type Setting, someOf, text, type Unusable, type Values, whole } from './setting.ts';

type Mapping = ReadonlyMap<string, readonly string[]>;

/** `value=meaning`, with commas between; a value may stand several times. */
const mapping = (raw: string): Mapping | Unusable => {
  const found = new Map<string, string[]>();
  for (const pair of raw.split(',')) {
    const [, value, meaning] = /^\s*(\S.*?)\s*=\s*([a-z][a-z0-9:-]{0,62})\s*$/.exec(pair) ?? [];
    if (value === undefined || meaning === undefined)
      return { fault: 'give pairs like value=meaning, with commas between' };
    found.set(value, [...(found.get(value) ?? []), meaning]);
  }
  return found;
};

const shown = (of: Mapping): string =>
  of.size === 0
    ? 'none'
    : [...of].flatMap(([value, meanings]) => meanings.map((meaning) => `${value}=${meaning}`)).join(',');

const NO_MAPPING: Mapping = new Map();

/** Keys that came in clear could be anybody's; on one's own machine nobody is in between. */
const keysUrl = (raw: string): string | Unusable => {
  const wanted = { fault: 'give the https URL of a JWK Set (http on this machine only)' };
  if (!URL.canParse(raw)) return wanted;
  const { protocol, hostname } = new URL(raw);
  const local = ['127.0.0.1', '[::1]', 'localhost'].includes(hostname);
  return protocol === 'https:' || (protocol === 'http:' && local) ? raw : wanted;
};

export const oidcSettings = {
  oidcIssuer: optional({
    name: 'PROV_LEDGER_OIDC_ISSUER',
    description: 'an OpenID Connect provider whose tokens are taken too: its "iss"',
    parse: text,
  }),
  oidcAudience: optional({
    name: 'PROV_LEDGER_OIDC_AUDIENCE',
    description: 'what its tokens must have in "aud"',
    parse: text,
  }),
  oidcJwksUrl: optional({
    name: 'PROV_LEDGER_OIDC_JWKS_URL',
    description: 'where its keys are',
    parse: keysUrl,
  }),
  oidcAlgorithms: {
    name: 'PROV_LEDGER_OIDC_ALGORITHMS',
    description: 'what its tokens may be signed with',
    parse: someOf(JWT_ALGORITHMS),
    fallback: ['RS256', 'PS256', 'ES256', 'EdDSA'],
    show: (value) => value.join(','),
  } as Setting<readonly JwtAlgorithm[]>,
  oidcClockSeconds: {
    name: 'PROV_LEDGER_OIDC_CLOCK_SECONDS',
    description: 'by how much its clock and this one may differ',
    parse: whole(0, 300),
    fallback: 30,
  } as Setting<number>,
  oidcTenantClaim: {
    name: 'PROV_LEDGER_OIDC_TENANT_CLAIM',
    description: 'the claim that names the tenant; with a leading / a JSON Pointer',
    parse: text,
    fallback: 'tenant',
  } as Setting<string>,
  oidcScopeClaim: {
    name: 'PROV_LEDGER_OIDC_SCOPE_CLAIM',
    description: 'the claim that holds scopes, roles or groups; the same',
    parse: text,
    fallback: 'scope',
  } as Setting<string>,
  oidcTenants: {
    name: 'PROV_LEDGER_OIDC_TENANTS',
    description: 'tenants by the value of that claim, value=tenant,...; without it the value is the tenant',
    parse: mapping,
    fallback: NO_MAPPING,
    show: shown,
  } as Setting<Mapping>,
  oidcScopes: {
    name: 'PROV_LEDGER_OIDC_SCOPES',
    description: 'scopes by what that claim holds, value=scope,...; without it the values are scopes',
    parse: mapping,
    fallback: NO_MAPPING,
    show: shown,
  } as Setting<Mapping>,
};

type OidcConfiguration = Values<typeof oidcSettings>;

export const oidcOf = (of: OidcConfiguration): OidcOptions | undefined =>
  of.oidcIssuer === undefined || of.oidcAudience === undefined || of.oidcJwksUrl === undefined
    ? undefined
    : {
        issuer: of.oidcIssuer,
        audience: of.oidcAudience,
        jwksUrl: of.oidcJwksUrl,
        algorithms: of.oidcAlgorithms,
        clockToleranceSeconds: of.oidcClockSeconds,
        tenantClaim: of.oidcTenantClaim,
        scopeClaim: of.oidcScopeClaim,
        tenants: of.oidcTenants,
        scopes: of.oidcScopes,
      };
