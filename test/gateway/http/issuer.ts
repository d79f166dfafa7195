// An OpenID Connect provider on a port of its own: a JWK Set that changes and fails on demand, and tokens good and bad.
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';

export interface SigningKey {
  readonly kid: string;
  readonly alg: string;
  readonly privateKey: CryptoKey;
  readonly publicKey: CryptoKey;
  readonly jwk: JWK;
}

export const signingKey = async (kid: string, alg = 'ES256'): Promise<SigningKey> => {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  return { kid, alg, privateKey, publicKey, jwk: { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' } };
};

export interface Issuer extends AsyncDisposable {
  readonly issuer: string;
  readonly jwksUrl: string;
  /** What the JWK Set holds from now on. */
  keys: readonly JWK[];
  /** How it answers: with the set, with 500, with what is no set, or never. */
  mode: 'well' | 'failing' | 'nonsense' | 'silent';
  /** How often it was asked. */
  readonly asked: () => number;
}

export const AUDIENCE = 'https://ledger.example';

export const startIssuer = async (...keys: readonly SigningKey[]): Promise<Issuer> => {
  let asked = 0;
  const server = createServer((_, response) => {
    asked += 1;
    if (state.mode === 'silent') return;
    if (state.mode === 'failing') return void response.writeHead(500).end();
    response.setHeader('content-type', 'application/jwk-set+json');
    response.end(state.mode === 'nonsense' ? '<html>' : JSON.stringify({ keys: state.keys }));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const state: Issuer = {
    issuer,
    jwksUrl: `${issuer}/jwks`,
    keys: keys.map(({ jwk }) => jwk),
    mode: 'well',
    asked: () => asked,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  return state;
};

/** A token that is good at `nowMs` unless told; a claim of `undefined` is left out. */
export const tokenOf = async (
  { privateKey, kid, alg }: SigningKey,
  nowMs: number,
  claims: { readonly [name: string]: unknown },
): Promise<string> => {
  const now = Math.floor(nowMs / 1_000);
  const all = {
    aud: AUDIENCE,
    sub: 'alice@example.com',
    tenant: 'acme',
    scope: 'ledger:read receipts:read',
    iat: now,
    exp: now + 300,
    ...claims,
  };
  const said = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
  return await new SignJWT(said).setProtectedHeader({ alg, kid }).sign(privateKey);
};
