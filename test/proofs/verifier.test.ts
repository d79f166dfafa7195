import { expect } from 'chai';
import fc from 'fast-check';
import { type ReceiptBundle, receiptBundle } from '#proofs/bundle.ts';
import { MalformedBundle, parseBundle } from '#proofs/bundle-reader.ts';
import { CHAIN_START, seal } from '#proofs/chain.ts';
import { buildBatch, signBatch } from '#proofs/checkpoint.ts';
import { jwks } from '#proofs/keys/public-key.ts';
import { type CheckName, verifyReceipt } from '#proofs/verifier.ts';
import type { Recorded } from '#schemas/event.ts';
import { factId, type Instant, type Seq, streamName, tenantId } from '#schemas/ids.ts';
import { type TestSigner, testSigner } from '#test/support/test-signer.ts';

const LEDGER = '0190a000-0000-7000-8000-0000000000aa';
const AT = Date.UTC(2026, 10, 21, 9) as Instant;

/** `counts[n]` facts of tenant n in one commit, each with its bundle. */
const commit = async (
  { signer }: TestSigner,
  counts: readonly number[],
  text = 'x',
): Promise<readonly (readonly ReceiptBundle[])[]> => {
  const tenants = counts.map((count, at) => chain(`tenant-${at}`, count, text));
  const batch = buildBatch({
    ledgerId: LEDGER,
    signedAt: AT,
    tenants: tenants.map((facts) => facts.map((fact) => fact.hash)),
  });
  const signed = await signBatch(batch.statement, signer);
  return tenants.map((facts, tenantIndex) =>
    facts.map((fact, factIndex) => receiptBundle(fact, batch.proof({ tenantIndex, factIndex }, signed))),
  );
};

const chain = (tenant: string, count: number, text: string): readonly Recorded[] => {
  const facts: Recorded[] = [];
  let prevHash = CHAIN_START.hash;
  for (let seq = 1; seq <= count; seq += 1) {
    const id = factId(`0190a000-0000-7000-8000-${String(seq).padStart(12, '0')}`);
    const stream = seq % 2 === 0 ? streamName('receipts', `r-${seq}`) : undefined;
    const draft = {
      id,
      type: 'receipts.ReceiptRecorded',
      schemaVersion: 3,
      stream,
      occurredAt: (AT - 5_000) as Instant,
      actor: 'alice',
      opId: 'op-2',
      opParentId: 'op-1',
      region: 'eu',
      payload: `{"n":${seq},"text":"${text}"}`,
    };
    const fact = seal(draft, { tenant: tenantId(tenant), seq: seq as Seq, prevHash, recordedAt: AT });
    facts.push(fact);
    prevHash = fact.hash;
  }
  return facts;
};

type Json = { [name: string]: Json } & (string | number);
const edited = (bundle: ReceiptBundle, edit: (copy: Json) => void): unknown => {
  const copy = structuredClone(bundle) as unknown as Json;
  edit(copy);
  return copy;
};

const failed = (bundle: unknown, keys: unknown): readonly CheckName[] => {
  const { ok, checks } = verifyReceipt(bundle, keys);
  const names = checks.filter((check) => !check.ok).map((check) => check.name);
  expect(ok).to.equal(names.length === 0);
  for (const { detail } of checks) expect(detail).to.match(/\S/);
  return names;
};

describe('proofs/verifier', () => {
  const one = testSigner();
  const two = testSigner();
  const keys = jwks(one.keys);
  let bundles: readonly (readonly ReceiptBundle[])[];
  let bundle: ReceiptBundle;

  before(async () => {
    bundles = await commit(one, [5, 1, 8]);
    bundle = bundles[0]?.[3] as ReceiptBundle;
  });

  it('finds every fact of a batch sound, as text, as bytes and as a value', () => {
    for (const each of bundles.flat()) {
      const text = JSON.stringify(each);
      for (const form of [text, Buffer.from(text), each, JSON.stringify(each, undefined, 2)])
        expect(failed(form, keys)).to.deep.equal([]);
    }
  });

  it('reads back what was written', () => {
    for (const each of bundles.flat()) {
      const { fact, proof } = parseBundle(JSON.stringify(each));
      expect(receiptBundle(fact, proof)).to.deep.equal(each);
    }
  });

  it('times outside four-digit years and negative ones have one spelling too', async () => {
    for (const occurredAt of [-62_198_755_200_001, 253_402_300_800_000, -1]) {
      const [fact] = chain('tenant-0', 1, 'x') as [Recorded];
      const moved = seal(
        { ...fact, occurredAt: occurredAt as Instant },
        { tenant: fact.tenant, seq: fact.seq, prevHash: fact.prevHash, recordedAt: AT },
      );
      const batch = buildBatch({ ledgerId: LEDGER, signedAt: AT, tenants: [[moved.hash]] });
      const proof = batch.proof(
        { tenantIndex: 0, factIndex: 0 },
        await signBatch(batch.statement, one.signer),
      );
      expect(failed(JSON.stringify(receiptBundle(moved, proof)), keys)).to.deep.equal([]);
    }
  });

  it('says which check each changed member fails', () => {
    const changes: readonly (readonly [string, (copy: Json) => void, readonly CheckName[]])[] = [
      ['payload', ({ fact }) => void (fact!['payload'] = '{"n":9,"text":"x"}' as Json), ['fact-hash']],
      [
        'payload, respaced',
        ({ fact }) => void (fact!['payload'] = '{ "n":4,"text":"x"}' as Json),
        ['payload', 'fact-hash'],
      ],
      ['actor', ({ fact }) => void (fact!['actor'] = 'mallory' as Json), ['fact-hash']],
      [
        'recorded_at',
        ({ fact }) => void (fact!['recorded_at'] = '2026-11-21T09:00:00.001Z' as Json),
        ['fact-hash'],
      ],
      ['op_id gone', ({ fact }) => void delete fact!['op_id'], ['fact-hash']],
      ['hash', ({ fact }) => void (fact!['hash'] = '0'.repeat(64) as Json), ['fact-hash', 'batch-path']],
      ['root', ({ proof }) => void (proof!['root'] = '0'.repeat(64) as Json), ['batch-path', 'signature']],
      [
        'signed_at',
        ({ proof }) => void (proof!['signed_at'] = '2026-11-21T09:00:00.001Z' as Json),
        ['signature'],
      ],
      [
        'ledger_id',
        ({ proof }) => void (proof!['ledger_id'] = LEDGER.replace('aa', 'ab') as Json),
        ['signature'],
      ],
      ['fact_index', ({ proof }) => void (proof!['path']!['fact_index'] = 2 as Json), ['batch-path']],
      ['kid', ({ proof }) => void (proof!['kid'] = two.signer.kid as Json), ['trusted-key', 'signature']],
    ];
    for (const [title, edit, names] of changes)
      expect(failed(edited(bundle, edit), keys), title).to.deep.equal(names);
  });

  it('no byte can move between adjacent fields (pitfall 15)', () => {
    for (const [left, right] of [
      ['op_id', 'op_parent_id'],
      ['actor', 'op_id'],
      ['op_parent_id', 'region'],
    ] as const) {
      const moved = edited(bundle, ({ fact }) => {
        const [a, b] = [String(fact![left]), String(fact![right])];
        fact![left] = (a + b.charAt(0)) as Json;
        fact![right] = b.slice(1) as Json;
      });
      expect(failed(moved, keys)).to.include('fact-hash');
    }
  });

  it('an inner node is no fact, and a path has exactly the length it must have (pitfalls 15, 16)', () => {
    const shorter = edited(
      bundle,
      ({ proof }) => void (proof!['path']!['fact_path'] as unknown as string[]).pop(),
    );
    const longer = edited(
      bundle,
      ({ proof }) => void (proof!['path']!['fact_path'] as unknown as string[]).push('0'.repeat(64)),
    );
    const inner = edited(bundle, ({ fact, proof }) => {
      const path = proof!['path']!['fact_path'] as unknown as string[];
      fact!['hash'] = path.shift() as unknown as Json;
    });
    for (const each of [shorter, longer, inner]) expect(failed(each, keys)).to.include('batch-path');
  });

  it('every mix of two good bundles fails (pitfalls 17, 18)', async () => {
    const others = [
      bundles[0]?.[2],
      bundles[2]?.[3],
      (await commit(one, [5, 1, 8], 'y'))[0]?.[3],
      (await commit(one, [6, 2]))[0]?.[3],
      (await commit(two, [5, 1, 8]))[0]?.[3],
    ] as ReceiptBundle[];
    const both = jwks([...one.keys, ...two.keys]);
    let mixes = 0;
    for (const other of others) {
      expect(failed(other, both)).to.deep.equal([]);
      for (const place of places(bundle, other)) {
        const mix = edited(bundle, (copy) => put(copy, place, pick(other as unknown as Json, place)));
        if (same(mix, bundle) || same(mix, other)) continue;
        expect(verifyReceipt(mix, both).ok, place.join('.')).to.equal(false);
        mixes += 1;
      }
    }
    expect(mixes).to.be.greaterThan(40);
  });

  it('takes the key from the caller, never from the bundle or by a shorter name (pitfalls 19, 20)', () => {
    expect(failed(bundle, jwks(two.keys))).to.deep.equal(['trusted-key', 'signature']);
    const carried = { ...bundle, jwks: keys };
    expect(failed(carried, jwks(two.keys))).to.include('format');
    const short = edited(bundle, ({ proof }) => void (proof!['kid'] = one.signer.kid.slice(0, 8) as Json));
    expect(failed(short, keys)).to.include('trusted-key');
    const renamed = { keys: [{ ...jwks(two.keys).keys[0], kid: one.signer.kid }] };
    expect(failed(bundle, renamed)).to.deep.equal(['trusted-key', 'signature']);
    const named = { keys: [{ ...keys.keys[0], alg: 'ES256' }] };
    expect(failed(bundle, named)).to.deep.equal(['trusted-key', 'signature']);
    for (const none of [
      undefined,
      null,
      {},
      { keys: [] },
      { keys: {} },
      'keys',
      { keys: [null] },
      { keys: [{ kty: 'oct', k: 'AAAA' }] },
    ]) {
      expect(failed(bundle, none), JSON.stringify(none)).to.deep.equal(['trusted-key', 'signature']);
    }
  });

  it('a signature has one spelling (pitfall 20)', () => {
    const { signature } = bundle.proof;
    const last = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'.indexOf(
      signature.at(-1) as string,
    );
    const respelt = `${signature.slice(0, -1)}${'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'[last + 1]}`;
    expect(Buffer.from(respelt, 'base64url')).to.deep.equal(Buffer.from(signature, 'base64url'));
    for (const other of [respelt, `${signature}==`, `${signature} `, '', 'A'.repeat(86)]) {
      const changed = edited(bundle, ({ proof }) => void (proof!['signature'] = other as Json));
      expect(verifyReceipt(changed, keys).ok, other).to.equal(false);
    }
  });

  it('refuses documents that two readers could read differently', () => {
    const text = JSON.stringify(bundle);
    const hostile: readonly unknown[] = [
      text.replace('"fact":', '"fact":{},"fact":'),
      text.replace('"seq":4', '"seq":4,"seq":4'),
      text.replace('"seq":4', '"seq":"4"'),
      text.replace('"seq":4', '"seq":9007199254740993'),
      text.replace('"seq":4', '"seq":0'),
      text.replace('"region":"eu"', '"region":null'),
      text.replace('"region":"eu"', '"Region":"eu"'),
      text.replace('.000Z"', 'Z"'),
      text.replace('T09:00:00.000Z', 'T10:00:00.000+01:00'),
      text.replace(RegExp(`"hash":"${bundle.fact.hash}"`), `"hash":"${bundle.fact.hash.toUpperCase()}"`),
      text.replace('receipt@1', 'receipt@2'),
      `${text} `.repeat(2),
      text.slice(0, -1),
      Buffer.from([0xff]),
      '',
      '[]',
      'null',
      `{"format":"prov-ledger/receipt@1","fact":${'['.repeat(100_000)}`,
      { ...bundle, extra: 1 },
      { ...bundle, fact: [] },
      undefined,
      null,
      7n,
      () => bundle,
      new Date(),
    ];
    for (const each of hostile) {
      expect(failed(each, keys), String(each).slice(0, 60)).to.include('format');
      expect(() => parseBundle(each)).to.throw(MalformedBundle);
    }
  });

  it('never throws, whatever it is given', () => {
    const trap = new Proxy(
      {},
      {
        ownKeys: () => {
          throw new Error('trap');
        },
        get: () => {
          throw new Error('trap');
        },
      },
    );
    const cyclic: Record<string, unknown> = { ...bundle };
    cyclic['fact'] = cyclic;
    const getter = {
      ...bundle,
      get fact() {
        throw new Error('getter');
      },
    };
    for (const each of [trap, cyclic, getter, { ...bundle, fact: trap }, { toJSON: () => bundle }])
      expect(failed(each, keys)).to.include('format');
    expect(verifyReceipt(bundle, trap).ok).to.equal(false);
    fc.assert(
      fc.property(
        fc.anything({ withBigInt: true, withDate: true, withMap: true, withNullPrototype: true }),
        (value) => !verifyReceipt(value, value).ok,
      ),
    );
  });

  it('notices any change of any character', () => {
    const text = JSON.stringify(bundle);
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.string({ minLength: 0, maxLength: 2 }), (at, put) => {
        const changed = text.slice(0, at) + put + text.slice(at + 1);
        let equal = false;
        try {
          equal = same(JSON.parse(changed), bundle);
        } catch {
          // Not even JSON: it must be refused.
        }
        return verifyReceipt(changed, keys).ok === equal;
      }),
      { numRuns: 2_000 },
    );
  });
});

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

/** Every member, at every depth, that either bundle has. */
const places = (...of: readonly unknown[]): readonly (readonly string[])[] => {
  const found = new Map<string, readonly string[]>();
  const walk = (value: unknown, path: readonly string[]): void => {
    if (path.length > 0) found.set(path.join('\n'), path);
    if (typeof value !== 'object' || value === null) return;
    for (const [name, member] of Object.entries(value)) walk(member, [...path, name]);
  };
  for (const each of of) walk(each, []);
  return [...found.values()];
};

const pick = (value: Json, [first = '', ...rest]: readonly string[]): Json | undefined =>
  rest.length === 0 ? value[first] : value[first] && pick(value[first], rest);

const put = (into: Json, [first = '', ...rest]: readonly string[], value: Json | undefined): void => {
  if (rest.length > 0) {
    if (typeof into[first] === 'object') put(into[first], rest, value);
  } else if (value === undefined) delete into[first];
  else into[first] = value;
};
