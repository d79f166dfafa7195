/** The keys a verifier trusts, by name: the active one and those it replaced. */
import { KeyFault, keyFromJwk, type PublicJwk, type VerificationKey } from './public-key.ts';

export type KeySet = {
  readonly keys: readonly VerificationKey[];
  find(kid: string): VerificationKey | undefined;
};

/** RFC 7517 section 5, as published at /.well-known/jwks.json. */
export type JwkSet = {
  readonly keys: readonly (PublicJwk & {
    readonly kid: string;
    readonly alg: 'EdDSA' | 'ES256';
    readonly use: 'sig';
  })[];
};

/** One key counts once, however often it is given: its name is the thumbprint of the key itself. */
export function keySet(keys: Iterable<VerificationKey>): KeySet {
  const byKid = new Map([...keys].map((key) => [key.kid, key]));
  return Object.freeze({
    keys: Object.freeze([...byKid.values()]),
    find: (kid: string) => byKid.get(kid),
  });
}

/** Reads a published set; throws `KeyFault` on the first key that may not be used, saying which. */
export function keySetFromJwks(document: unknown): KeySet {
  const keys = (document as { keys?: unknown } | null | undefined)?.keys;
  if (!Array.isArray(keys)) throw new KeyFault('not-a-jwk', 'a JWK Set is an object with an array "keys"');
  return keySet(
    keys.map((jwk: unknown, index) => {
      try {
        return keyFromJwk(jwk);
      } catch (error) {
        if (error instanceof KeyFault)
          throw new KeyFault(error.code, `key ${index}: ${error.message}`, error);
        throw error;
      }
    }),
  );
}

/** The set to publish: public members only. */
export function jwks({ keys }: KeySet): JwkSet {
  return {
    keys: keys.map(({ publicJwk, kid, algorithm }) => ({
      ...publicJwk,
      kid,
      alg: algorithm === 'Ed25519' ? 'EdDSA' : 'ES256',
      use: 'sig',
    })),
  };
}
