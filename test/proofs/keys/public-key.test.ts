import { createHmac, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { expect } from 'chai';
import { isLowS, toLowS } from '#proofs/keys/p256.ts';
import {
  jwks,
  KeyFault,
  keyFromJwk,
  keysFromJwks,
  thumbprint,
  type VerificationKey,
  verifySignature,
  verifySignatureAside,
} from '#proofs/keys/public-key.ts';

const VECTORS = new URL('../../../../shared/vectors/wycheproof/', import.meta.url);
const ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

const jwkOf = (key: KeyObject): Record<string, unknown> => ({ ...key.export({ format: 'jwk' }) });
const codeOf = (jwk: unknown): string => {
  try {
    return `accepted ${keyFromJwk(jwk).kid}`;
  } catch (error) {
    if (error instanceof KeyFault) return error.code;
    throw error;
  }
};

type Group = {
  publicKeyJwk?: Record<string, unknown>;
  publicKeyPem: string;
  tests: { tcId: number; comment: string; msg: string; sig: string; result: 'valid' | 'invalid' }[];
};
const groupsOf = (name: string): Group[] =>
  JSON.parse(readFileSync(new URL(name, VECTORS), 'utf8')).testGroups;
const trustedKey = (group: Group): VerificationKey => {
  const jwk = group.publicKeyJwk ?? jwkOf(createPublicKey(group.publicKeyPem));
  const { kid: _placeholder, ...members } = jwk;
  return keyFromJwk(members);
};
const swappedS = (signature: Buffer): Buffer => {
  const s = ORDER - BigInt(`0x${signature.subarray(32).toString('hex')}`);
  return Buffer.concat([signature.subarray(0, 32), Buffer.from(s.toString(16).padStart(64, '0'), 'hex')]);
};

describe('proofs/keys/public-key', () => {
  const message = Buffer.from('a statement');
  const ed = generateKeyPairSync('ed25519');
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const edKey = keyFromJwk(jwkOf(ed.publicKey));
  const ecKey = keyFromJwk(jwkOf(ec.publicKey));
  const edSignature = sign(null, message, ed.privateKey);
  const ecSignature = toLowS(sign('sha256', message, { key: ec.privateKey, dsaEncoding: 'ieee-p1363' }));

  describe('the vectors of Wycheproof', function () {
    before(function () {
      if (!existsSync(VECTORS)) this.skip();
    });

    it('Ed25519: all 151 verdicts', async () => {
      let count = 0;
      for (const group of groupsOf('ed25519_test.json')) {
        const key = trustedKey(group);
        for (const { tcId, comment, msg, sig, result } of group.tests) {
          const [bytes, signature] = [Buffer.from(msg, 'hex'), Buffer.from(sig, 'hex')];
          expect(verifySignature(key, bytes, signature), `${tcId} ${comment}`).to.equal(result === 'valid');
          expect(await verifySignatureAside(key, bytes, signature)).to.equal(result === 'valid');
          count += 1;
        }
      }
      expect(count).to.equal(151);
    });

    // Ours is stricter in one point: of the two good values of s only the lower is taken. Every valid vector with the
    // higher one is refused, and taken once it is brought to the lower; nothing else differs.
    it('P-256 in P1363: all 262 verdicts, high S refused', async () => {
      const counts = { same: 0, highS: 0 };
      for (const group of groupsOf('ecdsa_secp256r1_sha256_p1363_test.json')) {
        const key = trustedKey(group);
        for (const { tcId, comment, msg, sig, result } of group.tests) {
          const [bytes, signature] = [Buffer.from(msg, 'hex'), Buffer.from(sig, 'hex')];
          const highS = result === 'valid' && !isLowS(signature);
          const verdict = verifySignature(key, bytes, signature);
          expect(verdict, `${tcId} ${comment}`).to.equal(result === 'valid' && !highS);
          expect(await verifySignatureAside(key, bytes, signature)).to.equal(verdict);
          if (highS) expect(verifySignature(key, bytes, toLowS(signature)), `${tcId} lowered`).to.equal(true);
          counts[highS ? 'highS' : 'same'] += 1;
        }
      }
      expect(counts).to.deep.equal({ same: 192, highS: 70 });
    });

    it('P-256 in DER: not one of 484 is taken', () => {
      let count = 0;
      for (const group of groupsOf('ecdsa_secp256r1_sha256_test.json')) {
        const key = trustedKey(group);
        for (const { tcId, comment, msg, sig } of group.tests) {
          const verdict = verifySignature(key, Buffer.from(msg, 'hex'), Buffer.from(sig, 'hex'));
          expect(verdict, `${tcId} ${comment}`).to.equal(false);
          count += 1;
        }
      }
      expect(count).to.equal(484);
    });
  });

  describe('takes one kind of signature from one key (pitfall 20)', () => {
    const rejects = async (
      key: VerificationKey,
      signature: Uint8Array,
      bytes: Uint8Array = message,
    ): Promise<void> => {
      expect(verifySignature(key, bytes, signature)).to.equal(false);
      expect(await verifySignatureAside(key, bytes, signature)).to.equal(false);
    };

    it('takes the good ones', async () => {
      expect(verifySignature(edKey, message, edSignature)).to.equal(true);
      expect(verifySignature(ecKey, message, ecSignature)).to.equal(true);
      expect(await verifySignatureAside(edKey, message, edSignature)).to.equal(true);
      expect(await verifySignatureAside(ecKey, message, ecSignature)).to.equal(true);
    });

    it('refuses none, an HMAC with the public key, and the other algorithm', async () => {
      for (const key of [edKey, ecKey]) {
        await rejects(key, new Uint8Array());
        await rejects(key, Buffer.alloc(64));
        const secret = key.key.export({ type: 'spki', format: 'der' });
        await rejects(key, createHmac('sha256', secret).update(message).digest());
        await rejects(key, createHmac('sha512', secret).update(message).digest());
        await rejects(
          key,
          createHmac('sha512', Buffer.from(key.publicJwk.x, 'base64url')).update(message).digest(),
        );
      }
      await rejects(ecKey, edSignature);
      await rejects(edKey, ecSignature);
    });

    it('refuses a record whose algorithm is not that of its key', async () => {
      await rejects({ ...edKey, algorithm: 'ES256' }, edSignature);
      await rejects({ ...ecKey, algorithm: 'Ed25519' }, ecSignature);
      await rejects({ ...edKey, algorithm: 'none' as never }, edSignature);
      await rejects({ ...edKey, key: ed.privateKey }, edSignature);
      await rejects({ ...edKey, key: undefined as never }, edSignature);
    });

    it('refuses DER, flipped S, other lengths, another message', async () => {
      await rejects(ecKey, sign('sha256', message, ec.privateKey));
      await rejects(ecKey, swappedS(ecSignature));
      await rejects(ecKey, sign('sha384', message, { key: ec.privateKey, dsaEncoding: 'ieee-p1363' }));
      for (const [key, signature] of [
        [edKey, edSignature],
        [ecKey, ecSignature],
      ] as const) {
        await rejects(key, signature.subarray(0, 63));
        await rejects(key, Buffer.concat([signature, Buffer.alloc(1)]));
        await rejects(key, signature, Buffer.from('another statement'));
        await rejects(key, undefined as never);
      }
      // s + L, the malleable twin of Ed25519 (RFC 8032 section 5.1.7).
      const L = 2n ** 252n + 27742317777372353535851937790883648493n;
      const s = BigInt(`0x${Buffer.from(edSignature.subarray(32)).reverse().toString('hex')}`) + L;
      const twin = Buffer.from(s.toString(16).padStart(64, '0'), 'hex').reverse();
      await rejects(edKey, Buffer.concat([edSignature.subarray(0, 32), twin]));
    });

    it('brings every P-256 signature to the lower s, once', () => {
      expect(toLowS(swappedS(ecSignature)).equals(ecSignature)).to.equal(true);
      expect(toLowS(ecSignature)).to.equal(ecSignature);
    });
  });

  describe('reads a public JWK strictly', () => {
    const edJwk = jwkOf(ed.publicKey);
    const ecJwk = jwkOf(ec.publicKey);

    it('names it by its RFC 7638 thumbprint: the example of RFC 8037 appendix A.3', () => {
      const key = keyFromJwk({
        kty: 'OKP',
        crv: 'Ed25519',
        x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo',
      });
      expect(key.kid).to.equal('kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k');
      expect(thumbprint(ecKey.publicJwk)).to.equal(ecKey.kid).and.to.have.length(43);
    });

    it('takes its own published set back, each key once', () => {
      const set = JSON.parse(JSON.stringify(jwks([edKey, ecKey])));
      expect(set.keys[0]).to.deep.equal({ ...edKey.publicJwk, kid: edKey.kid, alg: 'EdDSA', use: 'sig' });
      expect(set.keys[1]).to.include({ kid: ecKey.kid, alg: 'ES256', use: 'sig' });
      const twice = { keys: [...set.keys, ...set.keys] };
      expect(keysFromJwks(twice).map(({ kid }) => kid)).to.deep.equal([edKey.kid, ecKey.kid]);
      expect(() => keysFromJwks({ keys: [set.keys[0], { ...set.keys[1], kid: edKey.kid }] })).to.throw(
        'key 1: kid must be',
      );
      expect(() => keysFromJwks({})).to.throw('array "keys"');
    });

    it('refuses, each with its own code', () => {
      const pEd = 2n ** 255n - 19n;
      const point = (y: bigint) =>
        Buffer.from(y.toString(16).padStart(64, '0'), 'hex').reverse().toString('base64url');
      const cases: [unknown, string][] = [
        [null, 'not-a-jwk'],
        ['x', 'not-a-jwk'],
        [ed.privateKey.export({ format: 'jwk' }), 'private-key'],
        [ec.privateKey.export({ format: 'jwk' }), 'private-key'],
        [{ ...edJwk, k: '' }, 'private-key'],
        [{ kty: 'oct', x: edJwk['x'] }, 'unsupported-key'],
        [{ ...edJwk, crv: 'X25519' }, 'unsupported-key'],
        [{ ...edJwk, crv: 'P-256' }, 'unsupported-key'],
        [{ ...ecJwk, crv: 'Ed25519' }, 'unsupported-key'],
        [{ ...ecJwk, crv: 'P-384' }, 'unsupported-key'],
        [{ ...ecJwk, kty: 'OKP', crv: 'Ed25519' }, 'unsupported-key'],
        [{ ...edJwk, alg: 'ES256' }, 'algorithm-mismatch'],
        [{ ...ecJwk, alg: 'EdDSA' }, 'algorithm-mismatch'],
        [{ ...edJwk, alg: 'none' }, 'algorithm-mismatch'],
        [{ ...edJwk, alg: 'HS256' }, 'algorithm-mismatch'],
        [{ ...edJwk, use: 'enc' }, 'algorithm-mismatch'],
        [{ ...edJwk, kid: edKey.kid.slice(0, 8) }, 'wrong-kid'],
        [{ ...edJwk, kid: ecKey.kid }, 'wrong-kid'],
        [{ ...edJwk, x: `${String(edJwk['x'])}=` }, 'bad-point'],
        [{ ...edJwk, x: String(edJwk['x']).slice(1) }, 'bad-point'],
        [{ ...edJwk, x: 7 }, 'bad-point'],
        [{ kty: 'EC', crv: 'P-256', x: ecJwk['x'] }, 'bad-point'],
        [{ ...ecJwk, y: ecJwk['x'] }, 'bad-point'],
        [{ ...ecJwk, x: point(0n), y: point(0n) }, 'bad-point'],
        // The spare bits of the 43rd character: the same 32 bytes under a second spelling.
        [{ ...edJwk, x: `${point(3n).slice(0, 42)}B` }, 'bad-point'],
        [{ ...edJwk, x: point(0n) }, 'bad-point'],
        [{ ...edJwk, x: point(1n) }, 'bad-point'],
        [{ ...edJwk, x: point(1n + 2n ** 255n) }, 'bad-point'],
        [{ ...edJwk, x: point(pEd - 1n) }, 'bad-point'],
        [{ ...edJwk, x: point(pEd) }, 'bad-point'],
        [{ ...edJwk, x: point(pEd + 1n) }, 'bad-point'],
        [
          {
            ...edJwk,
            x: Buffer.from(
              '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
              'hex',
            ).toString('base64url'),
          },
          'bad-point',
        ],
        [
          {
            ...edJwk,
            x: Buffer.from(
              'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
              'hex',
            ).toString('base64url'),
          },
          'bad-point',
        ],
      ];
      for (const [jwk, code] of cases) expect(codeOf(jwk), JSON.stringify(jwk)).to.equal(code);
      expect(codeOf({ ...edJwk, alg: 'Ed25519', use: 'sig', kid: edKey.kid })).to.equal(
        `accepted ${edKey.kid}`,
      );
    });
  });
});
