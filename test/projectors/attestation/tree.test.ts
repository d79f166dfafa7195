import { expect } from 'chai';
import fc from 'fast-check';
import {
  BUCKET_FACTS,
  bucketDigest,
  bucketOf,
  bucketsOf,
  differingBuckets,
  factsOf,
  storeRoot,
  tenantRoot,
} from '#projectors/attestation/tree.ts';

const leaves = fc.array(
  fc.record({
    seq: fc.integer({ min: 1, max: 1_000 }),
    digest: fc.stringMatching(/^[0-9a-f]{64}$/),
  }),
  { maxLength: 60 },
);

describe('projectors/attestation/tree', () => {
  it('puts facts into buckets without gap or overlap', () => {
    expect([1, BUCKET_FACTS, BUCKET_FACTS + 1].map(bucketOf)).to.deep.equal([0, 0, 1]);
    for (const bucket of [0, 1, 7]) {
      const { from, to } = factsOf(bucket);
      expect([bucketOf(from), bucketOf(to), bucketOf(to + 1)]).to.deep.equal([bucket, bucket, bucket + 1]);
    }
  });

  it('gives one root for one multiset of elements, whatever their order (property)', () => {
    fc.assert(
      fc.property(leaves, fc.infiniteStream(fc.nat()), (all, chance) => {
        const shuffled = all
          .map((leaf) => ({ leaf, at: chance.next().value as number }))
          .sort((a, b) => a.at - b.at)
          .map(({ leaf }) => leaf);
        expect(tenantRoot(bucketsOf(shuffled))).to.equal(tenantRoot(bucketsOf(all)));
      }),
    );
  });

  it('names exactly the bucket of an element that is dropped, doubled or changed (property)', () => {
    fc.assert(
      fc.property(leaves, fc.nat(), fc.constantFrom('drop', 'double', 'change'), (all, pick, how) => {
        fc.pre(all.length > 0);
        const at = pick % all.length;
        const one = all[at] as (typeof all)[number];
        const rest = all.toSpliced(at, 1);
        const changed = `${one.digest.startsWith('0') ? '1' : '0'}${one.digest.slice(1)}`;
        const other =
          how === 'drop' ? rest : how === 'double' ? [...all, one] : [...rest, { ...one, digest: changed }];
        const [left, right] = [bucketsOf(all), bucketsOf(other)];
        expect(differingBuckets(left, right)).to.deep.equal([bucketOf(one.seq)]);
        expect(tenantRoot(left)).to.not.equal(tenantRoot(right));
      }),
    );
  });

  it('lets no two equal changes cancel each other, as a sum by XOR would', () => {
    const twice = bucketDigest(['aa', 'aa']);
    expect(twice.digest).to.not.equal(bucketDigest([]).digest);
    expect(twice.digest).to.not.equal(bucketDigest(['bb', 'bb']).digest);
  });

  it('takes an empty bucket for none, and binds tenants by name', () => {
    expect(tenantRoot(new Map([[3, bucketDigest([])]]))).to.equal(tenantRoot(new Map()));
    const roots = (a: string, b: string): string =>
      storeRoot(
        new Map([
          ['acme', a],
          ['globex', b],
        ]),
      );
    expect(roots('x', 'y')).to.not.equal(roots('y', 'x'));
    expect(
      storeRoot(
        new Map([
          ['globex', 'y'],
          ['acme', 'x'],
        ]),
      ),
    ).to.equal(roots('x', 'y'));
  });
});
