/**
 * Public keys and the checking of signatures. Law: the algorithm is a property of the trusted key, never of the
 * message; one key has one form, one name and one kind of signature.
 */
import { createPublicKey, hash, type KeyObject, verify } from 'node:crypto';
import { promisify } from 'node:util';
import { canonicalize, type JsonValue } from '../canonical.ts';
import { isLowS } from './p256.ts';

export type SignatureAlgorithm = 'Ed25519' | 'ES256';

/** RFC 7517 and RFC 8037: an Ed25519 key or a P-256 point, coordinates in unpadded base64url. */
export type PublicJwk =
  | { readonly kty: 'OKP'; readonly crv: 'Ed25519'; readonly x: string }
  | { readonly kty: 'EC'; readonly crv: 'P-256'; readonly x: string; readonly y: string };

/** A trusted key: the record that says how its signatures are checked. Made by `keyFromJwk` only. */
export type VerificationKey = {
  readonly kid: string;
  readonly algorithm: SignatureAlgorithm;
  readonly publicJwk: PublicJwk;
  readonly key: KeyObject;
};

/** RFC 7517 section 5, as published at /.well-known/jwks.json: public members only. */
export type KeySet = {
  readonly keys: readonly (PublicJwk & {
    readonly kid: string;
    readonly alg: 'EdDSA' | 'ES256';
    readonly use: 'sig';
  })[];
};

/** In each case the key is not used; its owner has to publish it again, mended. */
export type KeyFaultCode =
  | 'not-a-jwk'
  | 'private-key'
  | 'unsupported-key'
  | 'algorithm-mismatch'
  | 'bad-point'
  | 'wrong-kid';

export class KeyFault extends Error {
  readonly code: KeyFaultCode;
  constructor(code: KeyFaultCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'KeyFault';
    this.code = code;
  }
}

const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'];
const SIGNATURE_BYTES = 64;
const COORDINATE = /^[A-Za-z0-9_-]{43}$/;
// RFC 9864 names the algorithm Ed25519; EdDSA is its older name in RFC 8037.
const ALG_NAMES = { Ed25519: ['Ed25519', 'EdDSA'], ES256: ['ES256'] } as const;

/** Field prime of edwards25519, and the y coordinates of its points of small order (RFC 8032 section 5.1). */
const P25519 = 2n ** 255n - 19n;
const SMALL_ORDER_Y = new Set([
  0n,
  1n,
  P25519 - 1n,
  0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n,
  0x7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7n,
]);

/** Reads a public JWK from outside; throws `KeyFault`. A `kid` in it must be the key's thumbprint. */
export function keyFromJwk(jwk: unknown): VerificationKey {
  if (typeof jwk !== 'object' || jwk === null) throw new KeyFault('not-a-jwk', 'a JWK is a JSON object');
  const members = jwk as Record<string, unknown>;
  const leaked = PRIVATE_MEMBERS.find((name) => Object.hasOwn(members, name));
  if (leaked !== undefined) {
    throw new KeyFault(
      'private-key',
      `"${leaked}" is private: remove it, and replace the key if others saw it`,
    );
  }
  const publicJwk = publicMembers(members);
  const algorithm: SignatureAlgorithm = publicJwk.kty === 'OKP' ? 'Ed25519' : 'ES256';
  const { alg, use, kid } = members;
  if (alg !== undefined && !(ALG_NAMES[algorithm] as readonly unknown[]).includes(alg)) {
    throw new KeyFault(
      'algorithm-mismatch',
      `alg ${JSON.stringify(alg)} does not belong to a ${publicJwk.crv} key`,
    );
  }
  if (use !== undefined && use !== 'sig') throw new KeyFault('algorithm-mismatch', 'use must be "sig"');
  const name = thumbprint(publicJwk);
  if (kid !== undefined && kid !== name)
    throw new KeyFault('wrong-kid', `kid must be the thumbprint ${name}`);
  return Object.freeze({ kid: name, algorithm, publicJwk, key: importPoint(publicJwk) });
}

/** RFC 7638 over SHA-256, unpadded base64url, all 43 characters: a shorter name can be made to collide. */
export function thumbprint(jwk: PublicJwk): string {
  return hash('sha256', canonicalize(jwk as unknown as JsonValue), 'base64url');
}

/** The JWK Set to publish. */
export function jwks(keys: readonly VerificationKey[]): KeySet {
  return {
    keys: keys.map(({ publicJwk, kid, algorithm }) => ({
      ...publicJwk,
      kid,
      alg: algorithm === 'Ed25519' ? 'EdDSA' : 'ES256',
      use: 'sig',
    })),
  };
}

/** Reads a published set, each key once; throws `KeyFault` on the first key that may not be used, saying which. */
export function keysFromJwks(document: unknown): readonly VerificationKey[] {
  const listed = (document as { keys?: unknown } | null | undefined)?.keys;
  if (!Array.isArray(listed)) throw new KeyFault('not-a-jwk', 'a JWK Set is an object with an array "keys"');
  const byKid = new Map<string, VerificationKey>();
  for (const [index, jwk] of listed.entries()) {
    try {
      const key = keyFromJwk(jwk);
      byKid.set(key.kid, key);
    } catch (error) {
      if (error instanceof KeyFault) throw new KeyFault(error.code, `key ${index}: ${error.message}`, error);
      throw error;
    }
  }
  return [...byKid.values()];
}

/** False for anything but a good signature of these bytes by this key; never throws. */
export function verifySignature(key: VerificationKey, bytes: Uint8Array, signature: Uint8Array): boolean {
  try {
    if (!fits(key, signature)) return false;
    return key.algorithm === 'Ed25519'
      ? verify(null, bytes, key.key, signature)
      : verify('sha256', bytes, { key: key.key, dsaEncoding: 'ieee-p1363' }, signature);
  } catch {
    return false;
  }
}

const verifyOnPool = promisify(verify);

/** As `verifySignature`, on the thread pool: for a process that serves others meanwhile. */
export async function verifySignatureAside(
  key: VerificationKey,
  bytes: Uint8Array,
  signature: Uint8Array,
): Promise<boolean> {
  try {
    if (!fits(key, signature)) return false;
    return key.algorithm === 'Ed25519'
      ? await verifyOnPool(null, bytes, key.key, signature)
      : await verifyOnPool('sha256', bytes, { key: key.key, dsaEncoding: 'ieee-p1363' }, signature);
  } catch {
    return false;
  }
}

/** Length, key type and the one s of two are settled before any arithmetic. */
function fits({ algorithm, key }: VerificationKey, signature: Uint8Array): boolean {
  if (key.type !== 'public' || signature.byteLength !== SIGNATURE_BYTES) return false;
  switch (algorithm) {
    case 'Ed25519':
      return key.asymmetricKeyType === 'ed25519';
    case 'ES256':
      return (
        key.asymmetricKeyType === 'ec' &&
        key.asymmetricKeyDetails?.namedCurve === 'prime256v1' &&
        isLowS(signature)
      );
    default:
      algorithm satisfies never;
      return false;
  }
}

function publicMembers({ kty, crv, x, y }: Record<string, unknown>): PublicJwk {
  if (kty === 'OKP' && crv === 'Ed25519' && y === undefined) return { kty, crv, x: coordinate('x', x) };
  if (kty === 'EC' && crv === 'P-256') return { kty, crv, x: coordinate('x', x), y: coordinate('y', y) };
  throw new KeyFault('unsupported-key', 'the key must be OKP with Ed25519, or EC with P-256');
}

/** 32 bytes in their only base64url form; a form with spare bits set would be a second name for the key. */
function coordinate(name: string, value: unknown): string {
  if (typeof value === 'string' && COORDINATE.test(value)) {
    const bytes = Buffer.from(value, 'base64url');
    if (bytes.toString('base64url') === value) return value;
  }
  throw new KeyFault('bad-point', `${name} must be 32 bytes in unpadded base64url, 43 characters`);
}

function importPoint(jwk: PublicJwk): KeyObject {
  if (jwk.kty === 'OKP') refuseWeakPoint(jwk.x);
  try {
    return createPublicKey({ key: { ...jwk }, format: 'jwk' });
  } catch (cause) {
    throw new KeyFault('bad-point', `these coordinates are no point of ${jwk.crv}`, cause);
  }
}

/** Under a point of small order one signature fits many messages; a y of p or more is a second form of a key. */
function refuseWeakPoint(x: string): void {
  const y = BigInt(`0x${Buffer.from(x, 'base64url').reverse().toString('hex')}`) & (2n ** 255n - 1n);
  if (y >= P25519 || SMALL_ORDER_Y.has(y))
    throw new KeyFault('bad-point', 'a weak Ed25519 point: make a new key');
}
