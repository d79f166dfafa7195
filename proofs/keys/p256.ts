/**
 * For every ECDSA signature (r, s) the pair (r, n - s) verifies too. Only the one with s in the lower half is made
 * and taken here, so that nobody can turn a receipt into a second one with other bytes.
 */

/** The order n of the P-256 group (FIPS 186-5, SP 800-186 section 3.2.1.3). */
const ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

export function isLowS(signature: Uint8Array): boolean {
  return scalarS(signature) <= ORDER / 2n;
}

export function toLowS(signature: Buffer): Buffer {
  if (isLowS(signature)) return signature;
  const s = (ORDER - scalarS(signature)).toString(16).padStart(64, '0');
  return Buffer.concat([signature.subarray(0, 32), Buffer.from(s, 'hex')]);
}

function scalarS(signature: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(signature.subarray(32, 64)).toString('hex')}`);
}
