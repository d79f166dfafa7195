// What decides about tokens of an OpenID Connect provider: apart from what does it, so that who reads settings loads no
// cryptography.

/** Asymmetric ones. With an HMAC the public key would be the secret, and `none` is no signature. */
export const JWT_ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
] as const;
export type JwtAlgorithm = (typeof JWT_ALGORITHMS)[number];

export interface OidcOptions {
  /** Equal to `iss`, byte for byte. */
  readonly issuer: string;
  /** Among those in `aud`. */
  readonly audience: string;
  readonly jwksUrl: string;
  readonly algorithms: readonly JwtAlgorithm[];
  /** By how much the issuer's clock and this one may differ. */
  readonly clockToleranceSeconds: number;
  /** A member of the claims, or with a leading `/` a JSON Pointer into them (RFC 6901). */
  readonly tenantClaim: string;
  readonly scopeClaim: string;
  /** From a value of the claim to a tenant; empty: the value is the tenant. */
  readonly tenants: ReadonlyMap<string, readonly string[]>;
  /** From a value of the claim to scopes; empty: the values are scopes. */
  readonly scopes: ReadonlyMap<string, readonly string[]>;
}
