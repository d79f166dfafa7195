// The law of keys/: a signer holds one private key and never shows it. Implementations keep it on disk (local.ts) or
// in a service. What verifies is a public key record, and the algorithm comes from that record alone.
import type { VerificationKey } from './public-key.ts';

export interface Signer extends Pick<VerificationKey, 'kid' | 'algorithm' | 'publicJwk'> {
  /** 64 bytes: RFC 8032 for Ed25519, IEEE P1363 with low S for ES256. */
  sign(bytes: Uint8Array): Promise<Buffer>;
}

/**
 * `signer-failed`: the key store did not answer; try again later. `bad-signature`: what came back does not verify;
 * the signer is broken or attacked, so take it out of service. `wrong-key`: the signer names another key than the one
 * it shows; mend the configuration. In each case nothing was signed that may leave.
 */
export type SigningFaultCode = 'signer-failed' | 'bad-signature' | 'wrong-key';

export class SigningFault extends Error {
  override readonly name = 'SigningFault';
  readonly code: SigningFaultCode;
  constructor(code: SigningFaultCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}
