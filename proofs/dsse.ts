// DSSE, the envelope around what a ledger key signs that is not a commit batch (Dead Simple Signing Envelope, protocol
// 1.0.2). The signature covers the type too, so that no document of one kind passes for another; and since the encoding
// begins with "DSSEv1 ", none passes for a commit batch, whose bytes begin otherwise.

import { keyFromJwk, type VerificationKey, verifySignature } from './keys/public-key.ts';
import { type Signer, SigningFault } from './keys/signer.ts';

/** As it stands in files: payload and signatures in base64. */
export interface Envelope {
  readonly payload: string;
  readonly payloadType: string;
  readonly signatures: readonly { readonly keyid: string; readonly sig: string }[];
}

/**
 * `malformed`: it is no envelope. `other-type`: it holds another kind of document. `unknown-key`: none of its
 * signatures names a key that is trusted. `bad-signature`: one does, and it does not verify.
 */
export type EnvelopeFault = 'malformed' | 'other-type' | 'unknown-key' | 'bad-signature';

export type Opened =
  | { readonly ok: true; readonly body: Buffer; readonly kid: string }
  | { readonly ok: false; readonly fault: EnvelopeFault };

/** The bytes that are signed: PAE of the protocol, lengths in bytes and in decimal digits. */
export const preAuthEncoding = (payloadType: string, body: Uint8Array): Buffer =>
  Buffer.concat([
    Buffer.from(`DSSEv1 ${Buffer.byteLength(payloadType)} ${payloadType} ${body.byteLength} `),
    body,
  ]);

/** Signs, and verifies what was signed before anybody sees it. Throws `SigningFault`. */
export const sealEnvelope = async (
  signer: Signer,
  { payloadType, body }: { readonly payloadType: string; readonly body: Uint8Array },
): Promise<Envelope> => {
  const key = keyFromJwk(signer.publicJwk);
  if (key.kid !== signer.kid)
    throw new SigningFault('wrong-key', `the signer calls itself ${signer.kid}, its key is ${key.kid}`);
  const bytes = preAuthEncoding(payloadType, body);
  let signature: Buffer;
  try {
    signature = await signer.sign(bytes);
  } catch (cause) {
    throw new SigningFault('signer-failed', `the key ${key.kid} did not sign`, cause);
  }
  if (!verifySignature(key, bytes, signature))
    throw new SigningFault('bad-signature', `what ${key.kid} signed does not verify`);
  return {
    payload: Buffer.from(body).toString('base64'),
    payloadType,
    signatures: [{ keyid: signer.kid, sig: signature.toString('base64') }],
  };
};

/** The body, once a trusted key is found to have signed it as this type. The keys are the caller's, never the envelope's. */
export const openEnvelope = (
  envelope: unknown,
  { payloadType, keys }: { readonly payloadType: string; readonly keys: readonly VerificationKey[] },
): Opened => {
  const parsed = envelopeOf(envelope);
  if (!parsed) return { ok: false, fault: 'malformed' };
  if (parsed.payloadType !== payloadType) return { ok: false, fault: 'other-type' };
  const bytes = preAuthEncoding(payloadType, parsed.body);
  let fault: EnvelopeFault = 'unknown-key';
  for (const { keyid, sig } of parsed.signatures) {
    const key = keys.find(({ kid }) => kid === keyid);
    if (!key) continue;
    if (verifySignature(key, bytes, sig)) return { ok: true, body: parsed.body, kid: key.kid };
    fault = 'bad-signature';
  }
  return { ok: false, fault };
};

const SIGNATURES_MAX = 16;

const envelopeOf = (value: unknown) => {
  const { payload, payloadType, signatures } = (value ?? {}) as { readonly [name: string]: unknown };
  const body = fromBase64(payload);
  if (!body || typeof payloadType !== 'string' || !Array.isArray(signatures)) return undefined;
  if (signatures.length === 0 || signatures.length > SIGNATURES_MAX) return undefined;
  const read = signatures.map((each: unknown) => {
    const { keyid, sig } = (each ?? {}) as { readonly [name: string]: unknown };
    const bytes = fromBase64(sig);
    return typeof keyid === 'string' && bytes ? { keyid, sig: bytes } : undefined;
  });
  return { body, payloadType, signatures: read.filter((each) => each !== undefined) };
};

// Either alphabet, as the protocol has it of a reader; anything that is not the one spelling of its bytes is refused.
const fromBase64 = (text: unknown): Buffer | undefined => {
  if (typeof text !== 'string') return undefined;
  const plain = text.replaceAll('-', '+').replaceAll('_', '/').replace(/=+$/, '');
  const bytes = Buffer.from(plain, 'base64');
  return bytes.toString('base64').replace(/=+$/, '') === plain ? bytes : undefined;
};
