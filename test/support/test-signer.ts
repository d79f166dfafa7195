// A signer that lives in memory, and the key that verifies what it signed.
import { createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { keyFromJwk, type VerificationKey } from '#proofs/keys/public-key.ts';
import type { Signer } from '#proofs/keys/signer.ts';

export interface TestSigner {
  readonly signer: Signer;
  readonly keys: readonly VerificationKey[];
}

export const testSigner = (): TestSigner => {
  const { privateKey } = generateKeyPairSync('ed25519');
  const { kty, crv, x } = createPublicKey(privateKey).export({ format: 'jwk' });
  const key = keyFromJwk({ kty, crv, x });
  const { kid, algorithm, publicJwk } = key;
  return {
    signer: { kid, algorithm, publicJwk, sign: async (bytes) => sign(null, bytes, privateKey) },
    keys: [key],
  };
};

/** The same signer, whose next signature is missing or has one bit turned. */
export const failingOnce = (signer: Signer, fault: 'unsigned' | 'badly-signed'): Signer => {
  let failed = false;
  return {
    ...signer,
    sign: async (bytes) => {
      const signature = await signer.sign(bytes);
      if (failed) return signature;
      failed = true;
      if (fault === 'unsigned') throw new Error('the signer did not answer');
      signature[17] = (signature[17] ?? 0) ^ 1;
      return signature;
    },
  };
};
