/**
 * The law of keys: what holds a private key signs bytes and shows its public half, nothing more. Where the key
 * lives (a folder, a KMS, a token) is the adapter's matter; every adapter gives the same raw 64-byte signatures.
 */
import type { PublicJwk, SignatureAlgorithm } from './public-key.ts';

export type Signer = {
  /** RFC 7638 thumbprint of the public key, in full. */
  readonly kid: string;
  readonly algorithm: SignatureAlgorithm;
  readonly publicJwk: PublicJwk;
  /** 64 bytes: Ed25519 (RFC 8032), or r || s of P-256 with SHA-256 (IEEE P1363), s in the lower half. */
  sign(bytes: Uint8Array): Promise<Buffer>;
};

/**
 * `signer-failed`: the key store did not answer; try again later. `bad-signature`: what came back does not verify;
 * the signer is broken or attacked, so it must be replaced and nothing it made may leave. `wrong-key`: the signer
 * names another key than the one it shows; mend the configuration.
 */
export type SigningFaultCode = 'signer-failed' | 'bad-signature' | 'wrong-key';

export class SigningFault extends Error {
  readonly code: SigningFaultCode;
  constructor(code: SigningFaultCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'SigningFault';
    this.code = code;
  }
}
