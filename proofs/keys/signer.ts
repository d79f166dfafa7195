// The law of keys/: a signer holds one private key and never shows it. Implementations keep it on disk (local.ts) or
// in a service. What verifies is a public key record, and the algorithm comes from that record alone.
import type { VerificationKey } from './public-key.ts';

export interface Signer extends Pick<VerificationKey, 'kid' | 'algorithm' | 'publicJwk'> {
  /** 64 bytes: RFC 8032 for Ed25519, IEEE P1363 with low S for ES256. */
  sign(bytes: Uint8Array): Promise<Buffer>;
}
