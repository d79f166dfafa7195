// The ledger's public keys by WebCrypto: the rules of #proofs/keys/public-key.ts, which a test holds this to.
// Law: the algorithm is a property of the trusted key, never of the message; one key has one form and one name.
import { isLowS } from '#proofs/keys/p256.ts';
import { base64urlBytes, bytesBase64url, sha256 } from './digest.ts';

type CryptoKey = Awaited<ReturnType<typeof crypto.subtle.importKey>>;

export interface TrustedKey {
  readonly kid: string;
  readonly algorithm: 'Ed25519' | 'ES256';
  readonly key: CryptoKey;
}

type Point =
  | { readonly kty: 'OKP'; readonly crv: 'Ed25519'; readonly x: string }
  | { readonly kty: 'EC'; readonly crv: 'P-256'; readonly x: string; readonly y: string };

const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'];
const COORDINATE = /^[A-Za-z0-9_-]{43}$/;
const ALG_NAMES = { Ed25519: ['Ed25519', 'EdDSA'], ES256: ['ES256'] } as const;
const PARAMETERS = {
  Ed25519: { name: 'Ed25519' },
  ES256: { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' },
} as const;

/** Field prime of edwards25519, and the y coordinates of its points of small order (RFC 8032 section 5.1). */
const P25519 = 2n ** 255n - 19n;
const SMALL_ORDER_Y = new Set([
  0n,
  1n,
  P25519 - 1n,
  0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n,
  0x7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7n,
]);

/** Reads a JWK Set; throws an Error that says which key may not be used, and why. */
export const trustedKeys = async (document: unknown): Promise<readonly TrustedKey[]> => {
  const listed = (document as { keys?: unknown } | null | undefined)?.keys;
  if (!Array.isArray(listed)) throw new Error('a JWK Set is an object with an array "keys"');
  const keys: TrustedKey[] = [];
  for (const [index, jwk] of listed.entries()) {
    try {
      keys.push(await trustedKey(jwk));
    } catch (cause) {
      throw new Error(`key ${index}: ${(cause as Error).message}`, { cause });
    }
  }
  return keys;
};

const trustedKey = async (jwk: unknown): Promise<TrustedKey> => {
  if (typeof jwk !== 'object' || jwk === null) throw new Error('a JWK is a JSON object');
  const members = jwk as Record<string, unknown>;
  const leaked = PRIVATE_MEMBERS.find((name) => Object.hasOwn(members, name));
  if (leaked !== undefined)
    throw new Error(`"${leaked}" is private: remove it, and replace the key if others saw it`);
  const point = publicMembers(members);
  const algorithm = point.kty === 'OKP' ? 'Ed25519' : 'ES256';
  const { alg, use, kid } = members;
  if (alg !== undefined && !(ALG_NAMES[algorithm] as readonly unknown[]).includes(alg))
    throw new Error(`alg ${JSON.stringify(alg)} does not belong to a ${point.crv} key`);
  if (use !== undefined && use !== 'sig') throw new Error('use must be "sig"');
  const name = await thumbprint(point);
  if (kid !== undefined && kid !== name) throw new Error(`kid must be the thumbprint ${name}`);
  if (point.kty === 'OKP') refuseWeakPoint(point.x);
  return { kid: name, algorithm, key: await imported(point, algorithm) };
};

const imported = async (point: Point, algorithm: TrustedKey['algorithm']): Promise<CryptoKey> => {
  try {
    return await crypto.subtle.importKey('jwk', { ...point }, PARAMETERS[algorithm], false, ['verify']);
  } catch (cause) {
    // A browser without Ed25519 says so by another name than a point that is none.
    if ((cause as Error).name === 'NotSupportedError')
      throw new Error(`this browser has no ${algorithm}: use a newer one`, { cause });
    throw new Error(`these coordinates are no point of ${point.crv}`, { cause });
  }
};

/** RFC 7638: the members in the order of their names. */
const thumbprint = async (point: Point): Promise<string> => {
  const { crv, kty, x } = point;
  const y = point.kty === 'EC' ? { y: point.y } : {};
  return bytesBase64url(await sha256(new TextEncoder().encode(JSON.stringify({ crv, kty, x, ...y }))));
};

const publicMembers = ({ kty, crv, x, y }: Record<string, unknown>): Point => {
  if (kty === 'OKP' && crv === 'Ed25519' && y === undefined) return { kty, crv, x: coordinate('x', x) };
  if (kty === 'EC' && crv === 'P-256') return { kty, crv, x: coordinate('x', x), y: coordinate('y', y) };
  throw new Error('the key must be OKP with Ed25519, or EC with P-256');
};

const coordinate = (name: string, value: unknown): string => {
  if (typeof value === 'string' && COORDINATE.test(value) && bytesBase64url(base64urlBytes(value)) === value)
    return value;
  throw new Error(`${name} must be 32 bytes in unpadded base64url, 43 characters`);
};

const refuseWeakPoint = (x: string): void => {
  const littleEndian = base64urlBytes(x).reverse();
  const digits = Array.from(littleEndian, (byte) => byte.toString(16).padStart(2, '0')).join('');
  const y = BigInt(`0x${digits}`) & (2n ** 255n - 1n);
  if (y >= P25519 || SMALL_ORDER_Y.has(y)) throw new Error('a weak Ed25519 point: make a new key');
};

/** False for anything but a good signature of these bytes by this key; never rejects. */
export const isSignedBy = async (
  { algorithm, key }: TrustedKey,
  bytes: Uint8Array<ArrayBuffer>,
  signature: Uint8Array<ArrayBuffer>,
): Promise<boolean> => {
  try {
    if (signature.byteLength !== 64 || (algorithm === 'ES256' && !isLowS(signature))) return false;
    return await crypto.subtle.verify(PARAMETERS[algorithm], key, signature, bytes);
  } catch {
    return false;
  }
};
