import { createHash } from 'node:crypto';
import { expect } from 'chai';
import fc from 'fast-check';
import { EMPTY_ROOT, leafHash, merkleRoot } from '#proofs/merkle.ts';
import { rangeTree, subtrees } from '#replay-harness/merkle-range.ts';

const digest = (index: number): Buffer => createHash('sha256').update(String(index)).digest();

describe('replay-harness/merkle-range', () => {
  it('ranges of any length, in their order, come to the root over all leaves', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 8 }), (lengths) => {
        const tree = rangeTree();
        let size = 0;
        for (const length of lengths) {
          tree.add(subtrees(size, Buffer.concat(Array.from({ length }, (_, at) => digest(size + at)))));
          size += length;
        }
        const leaves = Array.from({ length: size }, (_, at) => leafHash(digest(at)));
        expect(tree.root()).to.equal(merkleRoot(leaves));
        expect(rangeTree(tree.state()).root()).to.equal(tree.root());
        expect(tree.state().length).to.be.lessThan(12);
      }),
      { numRuns: 60 },
    );
  });

  it('has the empty root before anything is added, and refuses a range behind a gap', () => {
    const tree = rangeTree();
    expect(tree.root()).to.equal(EMPTY_ROOT);
    tree.add(subtrees(0, digest(0)));
    expect(() => tree.add(subtrees(2, Buffer.concat([digest(2), digest(3)])))).to.throw(RangeError);
  });
});
