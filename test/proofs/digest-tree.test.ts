import { randomBytes } from 'node:crypto';
import { expect } from 'chai';
import fc from 'fast-check';
import { rootOfDigests, treeOfDigests } from '#proofs/digest-tree.ts';
import { EMPTY_ROOT, leafHash, merkleRoot, merkleTree } from '#proofs/merkle.ts';

const leavesOf = (digests: Uint8Array): readonly string[] =>
  Array.from({ length: digests.length / 32 }, (_, index) =>
    leafHash(digests.subarray(index * 32, index * 32 + 32)),
  );

/** The root of the same leaves, hash by hash. */
const oneByOne = (digests: Uint8Array): string => merkleRoot(leavesOf(digests));

describe('proofs/digest-tree', () => {
  it('has the root of the tree without leaves', () => {
    expect(rootOfDigests(new Uint8Array(0))).to.equal(EMPTY_ROOT);
  });

  it('gives the root that hashing one by one gives, for every number of leaves up to 260', () => {
    const digests = randomBytes(260 * 32);
    for (let count = 1; count <= 260; count += 1) {
      const some = digests.subarray(0, count * 32);
      expect(rootOfDigests(some), `${count} leaves`).to.equal(oneByOne(some));
    }
  });

  it('gives it for large trees, and for small ones after them', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 9_000 }), { minLength: 2, maxLength: 4 }), (counts) => {
        for (const count of counts) {
          const digests = randomBytes(count * 32);
          expect(rootOfDigests(digests), `${count} leaves`).to.equal(oneByOne(digests));
        }
      }),
      { numRuns: 6 },
    );
  });

  it('keeps a tree whose proofs are those of the tree that is hashed one by one', () => {
    for (const count of [0, 1, 2, 3, 5, 8, 13, 64, 65, 100]) {
      const digests = randomBytes(count * 32);
      const [kept, other] = [treeOfDigests(digests), merkleTree(leavesOf(digests))];
      expect(kept.root).to.equal(other.root);
      for (let index = 0; index < count; index += 1)
        expect(kept.proof(index), `${index} of ${count}`).to.deep.equal(other.proof(index));
      for (const none of [-1, count, 0.5]) expect(() => kept.proof(none)).to.throw(RangeError);
    }
  });

  it('reads digests that stand anywhere in a larger array, and changes none of them', () => {
    const all = randomBytes(7 * 32 + 5);
    const before = Buffer.from(all);
    expect(rootOfDigests(all.subarray(5))).to.equal(oneByOne(before.subarray(5)));
    expect(all.equals(before)).to.equal(true);
  });

  it('gives another root when any bit of any leaf is another', () => {
    const digests = randomBytes(11 * 32);
    const root = rootOfDigests(digests);
    for (let at = 0; at < digests.length; at += 1) {
      const changed = Buffer.from(digests);
      changed[at] = (changed[at] as number) ^ (1 << (at % 8));
      expect(rootOfDigests(changed), `byte ${at}`).not.to.equal(root);
    }
  });
});
