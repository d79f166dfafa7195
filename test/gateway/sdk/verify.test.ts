// The two verifiers side by side: node:crypto's and WebCrypto's must say the same of whatever they are given.
import { createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { expect } from 'chai';
import fc from 'fast-check';
import { verifyReceipt as inBrowser } from '#gateway/sdk/verify.ts';
import { type ReceiptBundle, receiptBundle } from '#proofs/bundle.ts';
import { CHAIN_START, seal } from '#proofs/chain.ts';
import { buildBatch, signBatch } from '#proofs/checkpoint.ts';
import { toLowS } from '#proofs/keys/p256.ts';
import { jwks, keyFromJwk } from '#proofs/keys/public-key.ts';
import type { Signer } from '#proofs/keys/signer.ts';
import { verifyReceipt } from '#proofs/verifier.ts';
import { factId, type Instant, type Seq, streamName, tenantId } from '#schemas/ids.ts';
import { testSigner } from '#test/support/test-signer.ts';

const LEDGER = '0190a000-0000-7000-8000-0000000000aa';
const AT = Date.UTC(2026, 10, 21, 9) as Instant;

const bundlesOf = async (signer: Signer, counts: readonly number[]): Promise<readonly ReceiptBundle[]> => {
  const tenants = counts.map((count, tenant) => {
    let prevHash = CHAIN_START.hash;
    return Array.from({ length: count }, (_, index) => {
      const draft = {
        id: factId(`0190a000-0000-7000-8000-${String(index).padStart(12, '0')}`),
        type: 'receipts.ReceiptRecorded',
        schemaVersion: 3,
        stream: index % 2 === 0 ? streamName('receipts', `r-${index}`) : undefined,
        occurredAt: (AT - 5_000 * index) as Instant,
        actor: 'zoë 🙂',
        ...(index % 3 !== 0 && { opId: 'op-2', opParentId: 'op-1', region: 'eu' }),
        payload: `{"n":${index},"text":"für Ä"}`,
      };
      const link = {
        tenant: tenantId(`tenant-${tenant}`),
        seq: (index + 1) as Seq,
        prevHash,
        recordedAt: AT,
      };
      const fact = seal(draft, link);
      prevHash = fact.hash;
      return fact;
    });
  });
  const hashes = tenants.map((facts) => facts.map(({ hash }) => hash));
  const batch = buildBatch({ ledgerId: LEDGER, signedAt: AT, tenants: hashes });
  const signed = await signBatch(batch.statement, signer);
  return tenants.flatMap((facts, tenantIndex) =>
    facts.map((fact, factIndex) => receiptBundle(fact, batch.proof({ tenantIndex, factIndex }, signed))),
  );
};

const p256Signer = () => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { kty, crv, x, y } = createPublicKey(privateKey).export({ format: 'jwk' });
  const key = keyFromJwk({ kty, crv, x, y });
  const signed = async (bytes: Uint8Array) =>
    toLowS(sign('sha256', bytes, { key: privateKey, dsaEncoding: 'ieee-p1363' }));
  return {
    signer: { kid: key.kid, algorithm: key.algorithm, publicJwk: key.publicJwk, sign: signed },
    keys: [key],
  };
};

const agree = async (bundle: unknown, keys: unknown): Promise<boolean> => {
  const here = verifyReceipt(bundle, keys);
  expect(await inBrowser(bundle, keys)).to.deep.equal(here);
  return here.ok;
};

/** Every place of a document, as a way to change what stands there. */
const placesOf = (value: unknown, path: readonly string[] = []): readonly (readonly string[])[] =>
  typeof value === 'object' && value !== null
    ? [
        ...(path.length > 0 ? [path] : []),
        ...Object.entries(value).flatMap(([name, of]) => placesOf(of, [...path, name])),
      ]
    : [path];

const changed = (document: unknown, path: readonly string[], put: unknown): unknown => {
  const copy = structuredClone(document) as Record<string, unknown>;
  let at = copy;
  for (const name of path.slice(0, -1)) at = at[name] as Record<string, unknown>;
  const last = path.at(-1) as string;
  if (put === undefined) delete at[last];
  else at[last] = put;
  return copy;
};

describe('gateway/sdk/verify', () => {
  const ed25519 = testSigner();
  const p256 = p256Signer();
  const keys = jwks([...ed25519.keys, ...p256.keys]);
  let sound: readonly ReceiptBundle[];

  before(async () => {
    sound = [
      ...(await bundlesOf(ed25519.signer, [5, 1, 8])),
      ...(await bundlesOf(p256.signer, [3, 2])),
      ...(await bundlesOf(ed25519.signer, [1])),
    ];
  });

  it('finds every sound receipt sound, as text, bytes and value', async () => {
    for (const bundle of sound) {
      const text = JSON.stringify(bundle);
      for (const form of [text, new TextEncoder().encode(text), bundle, JSON.stringify(bundle, undefined, 2)])
        expect(await agree(form, keys)).to.equal(true);
    }
  });

  it('says the same as the ledger’s own of every change of every member', async () => {
    const [bundle, other] = [sound[3], sound[9]] as [ReceiptBundle, ReceiptBundle];
    let forgeries = 0;
    for (const path of placesOf(bundle)) {
      const swapped = path.reduce<unknown>(
        (at, name) => (at as Record<string, unknown> | undefined)?.[name],
        other,
      );
      for (const put of [
        undefined,
        null,
        '',
        0,
        -1,
        2 ** 32,
        2 ** 53,
        'x',
        '0'.repeat(64),
        [],
        {},
        swapped,
      ]) {
        const forged = changed(bundle, path, put);
        if (JSON.stringify(forged) === JSON.stringify(bundle)) continue;
        expect(await agree(forged, keys), path.join('/')).to.equal(false);
        forgeries += 1;
      }
    }
    expect(forgeries).to.be.greaterThan(300);
  });

  it('says the same of any change of any character', async () => {
    const text = JSON.stringify(sound[5]);
    const edit = fc.tuple(fc.nat(text.length - 1), fc.string({ maxLength: 2, unit: 'binary' }));
    await fc.assert(
      fc.asyncProperty(edit, async ([at, put]) => {
        await agree(text.slice(0, at) + put + text.slice(at + 1), keys);
      }),
      { numRuns: 400 },
    );
  });

  it('says the same of bytes that are no UTF-8, and of values that are no JSON', async () => {
    const bytes = new TextEncoder().encode(JSON.stringify(sound[0]));
    for (const at of [0, 30, bytes.length - 1])
      expect(await agree(bytes.with(at, 0xff), keys)).to.equal(false);
    const bom = Uint8Array.of(0xef, 0xbb, 0xbf, ...bytes);
    for (const each of [
      bom,
      Buffer.from([0xff]),
      '',
      '[]',
      'null',
      undefined,
      null,
      7n,
      () => 1,
      new Date(),
      { toJSON: () => sound[0] },
    ])
      expect(await agree(each, keys)).to.equal(false);
  });

  it('says the same of keys that are not to be used', async () => {
    const [first, second] = [...keys.keys] as unknown as [Record<string, unknown>, Record<string, unknown>];
    const sets: unknown[] = [
      undefined,
      null,
      {},
      { keys: [] },
      { keys: {} },
      'keys',
      { keys: [null] },
      { keys: [{ kty: 'oct', k: 'AAAA' }] },
      jwks(p256.keys),
      ...['alg', 'use', 'kid', 'x', 'crv', 'kty', 'd'].flatMap((name) => [
        { keys: [{ ...first, [name]: 'ES256' }, second] },
        { keys: [{ ...first, [name]: name === 'kid' ? second['kid'] : 'A'.repeat(43) }, second] },
      ]),
      { keys: [{ ...second, y: 'A'.repeat(43) }] },
      { keys: [{ kty: 'OKP', crv: 'Ed25519', x: 'AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA' }] },
    ];
    for (const set of sets) expect(await agree(sound[0], set), JSON.stringify(set)).to.equal(false);
  });

  it('takes no second spelling of a signature, and no high s', async () => {
    const bundle = sound.at(-3) as ReceiptBundle;
    const { signature } = bundle.proof;
    const bytes = Buffer.from(signature, 'base64url');
    const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
    const s = (order - BigInt(`0x${bytes.subarray(32).toString('hex')}`)).toString(16).padStart(64, '0');
    const high = Buffer.concat([bytes.subarray(0, 32), Buffer.from(s, 'hex')]).toString('base64url');
    for (const other of [
      high,
      `${signature}==`,
      `${signature} `,
      'A'.repeat(86),
      signature.replaceAll('-', '+'),
    ]) {
      if (other === signature) continue;
      expect(await agree(changed(bundle, ['proof', 'signature'], other), keys), other).to.equal(false);
    }
    expect(bundle.proof.kid).to.equal(p256.signer.kid);
  });
});
