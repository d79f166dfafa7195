import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { expect } from 'chai';
import * as fc from 'fast-check';
import {
  consistencyProof,
  EMPTY_ROOT,
  frontier,
  inclusionProof,
  leafHash,
  merkleRoot,
  verifyConsistency,
  verifyInclusion,
} from '#proofs/merkle.ts';

const VECTORS = new URL('../../../shared/vectors/merkle/', import.meta.url);

/** The definition of RFC 9162 section 2.1.1, word for word: the oracle for everything faster. */
const slowRoot = (leaves: readonly string[]): string => {
  if (leaves.length === 0) return createHash('sha256').digest('hex');
  if (leaves.length === 1) return leaves[0] as string;
  let k = 1;
  while (k * 2 < leaves.length) k *= 2;
  const children = [slowRoot(leaves.slice(0, k)), slowRoot(leaves.slice(k))];
  return createHash('sha256')
    .update(Buffer.from(`01${children.join('')}`, 'hex'))
    .digest('hex');
};

const leavesOf = (count: number): string[] =>
  Array.from({ length: count }, (_, i) => leafHash(Buffer.from(`leaf ${i}`)));
const LEAVES = leavesOf(70);
const flipped = (hash: string, bit: number): string => {
  const bytes = Buffer.from(hash, 'hex');
  bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
  return bytes.toString('hex');
};

type Vector = {
  leafIdx: bigint;
  treeSize: bigint;
  leafHash: string;
  root: string;
  size1: bigint;
  size2: bigint;
  root1: string;
  root2: string;
  proof: string[] | null;
  desc: string;
  wantErr: boolean;
};

const readVector = (name: string): Vector => {
  const reviver = (_: string, value: unknown, context?: { source?: string }) =>
    typeof value === 'number' ? BigInt(context?.source ?? value) : value;
  return JSON.parse(readFileSync(new URL(name, VECTORS), 'utf8'), reviver);
};
const hexOf = (base64: string): string => Buffer.from(base64, 'base64').toString('hex');

describe('proofs/merkle', () => {
  describe('the vectors of transparency-dev', () => {
    const names = existsSync(VECTORS) ? readdirSync(VECTORS) : [];
    it('are all there', function () {
      if (names.length === 0) this.skip();
      expect(names).to.have.length.at.least(92);
    });
    for (const name of names) {
      it(name, () => {
        const vector = readVector(name);
        const proof = (vector.proof ?? []).map(hexOf);
        const verdict = name.startsWith('inclusion')
          ? verifyInclusion({
              index: vector.leafIdx,
              size: vector.treeSize,
              leaf: hexOf(vector.leafHash),
              root: hexOf(vector.root),
              proof,
            })
          : verifyConsistency({
              size1: vector.size1,
              size2: vector.size2,
              root1: hexOf(vector.root1),
              root2: hexOf(vector.root2),
              proof,
            });
        expect(verdict, vector.desc).to.equal(!vector.wantErr);
      });
    }
  });

  it('has the roots RFC 6962 implementations agree on', () => {
    expect(EMPTY_ROOT).to.equal('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
    expect(merkleRoot([])).to.equal(EMPTY_ROOT);
    expect(leafHash('')).to.equal('6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d');
    const data = [
      '',
      '00',
      '10',
      '2021',
      '3031',
      '40414243',
      '5051525354555657',
      '606162636465666768696a6b6c6d6e6f',
    ];
    expect(merkleRoot(data.map((bytes) => leafHash(bytes)))).to.equal(
      '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
    );
  });

  it('agrees with the definition for every size to 70, at once and leaf by leaf', () => {
    const growing = frontier();
    for (let size = 0; size <= 70; size += 1) {
      const leaves = LEAVES.slice(0, size);
      expect(merkleRoot(leaves), `size ${size}`).to.equal(slowRoot(leaves));
      expect(growing.root(), `frontier ${size}`).to.equal(slowRoot(leaves));
      expect(growing.size()).to.equal(size);
      const revived = frontier(JSON.parse(JSON.stringify(growing.state())));
      expect(revived.root()).to.equal(growing.root());
      if (size < 70) {
        growing.append(LEAVES[size] as string);
        revived.append(LEAVES[size] as string);
        expect(revived.state()).to.deep.equal(growing.state());
      }
    }
  });

  it('proves every leaf of every size to 70, and no other place or size', () => {
    for (let size = 1; size <= 70; size += 1) {
      const leaves = LEAVES.slice(0, size);
      const root = merkleRoot(leaves);
      for (let index = 0; index < size; index += 1) {
        const claim = {
          index,
          size,
          leaf: leaves[index] as string,
          root,
          proof: inclusionProof(leaves, index),
        };
        expect(verifyInclusion(claim), `${index} of ${size}`).to.equal(true);
        expect(
          verifyInclusion({ ...claim, index: (index + 1) % (size + 1) }),
          `${index} of ${size}`,
        ).to.equal(false);
        expect(verifyInclusion({ ...claim, leaf: leafHash('ff') })).to.equal(false);
        expect(verifyInclusion({ ...claim, proof: [...claim.proof, root] })).to.equal(false);
        expect(verifyInclusion({ ...claim, proof: [root, ...claim.proof] })).to.equal(false);
        if (size > 1) expect(verifyInclusion({ ...claim, proof: claim.proof.slice(1) })).to.equal(false);
        if (size > 1) expect(verifyInclusion({ ...claim, proof: claim.proof.slice(0, -1) })).to.equal(false);
      }
    }
  });

  it('proves every pair of sizes to 70, and no other pair', () => {
    const roots = Array.from({ length: 71 }, (_, size) => merkleRoot(LEAVES.slice(0, size)));
    for (let size2 = 1; size2 <= 70; size2 += 1) {
      const leaves = LEAVES.slice(0, size2);
      for (let size1 = 1; size1 <= size2; size1 += 1) {
        const proof = consistencyProof(leaves, size1);
        const claim = { size1, size2, root1: roots[size1] as string, root2: roots[size2] as string, proof };
        expect(verifyConsistency(claim), `${size1} to ${size2}`).to.equal(true);
        expect(verifyConsistency({ ...claim, root1: leafHash('ff') })).to.equal(false);
        expect(verifyConsistency({ ...claim, root2: leafHash('ff') })).to.equal(false);
        expect(verifyConsistency({ ...claim, proof: [...proof, claim.root1] })).to.equal(false);
        expect(verifyConsistency({ ...claim, size1: 0 })).to.equal(false);
        if (size1 < size2) {
          expect(verifyConsistency({ ...claim, proof: proof.slice(0, -1) })).to.equal(false);
          expect(verifyConsistency({ ...claim, proof: proof.slice(1) })).to.equal(false);
          expect(verifyConsistency({ ...claim, proof: [] })).to.equal(false);
          expect(verifyConsistency({ ...claim, size1: size2, size2: size1 })).to.equal(false);
        }
      }
    }
  });

  it('turns false for every single flipped bit', () => {
    for (const size of [1, 2, 3, 7, 8, 13]) {
      const leaves = LEAVES.slice(0, size);
      const index = size >> 1;
      const claim = {
        index,
        size,
        leaf: leaves[index] as string,
        root: merkleRoot(leaves),
        proof: inclusionProof(leaves, index),
      };
      const size1 = (size >> 1) + 1;
      const grown = {
        size1,
        size2: size,
        root1: merkleRoot(LEAVES.slice(0, size1)),
        root2: claim.root,
        proof: consistencyProof(leaves, size1),
      };
      for (let bit = 0; bit < 256; bit += 1) {
        expect(verifyInclusion({ ...claim, leaf: flipped(claim.leaf, bit) })).to.equal(false);
        expect(verifyInclusion({ ...claim, root: flipped(claim.root, bit) })).to.equal(false);
        expect(verifyConsistency({ ...grown, root1: flipped(grown.root1, bit) })).to.equal(false);
        expect(verifyConsistency({ ...grown, root2: flipped(grown.root2, bit) })).to.equal(false);
        for (let at = 0; at < claim.proof.length; at += 1) {
          const proof = claim.proof.with(at, flipped(claim.proof[at] as string, bit));
          expect(verifyInclusion({ ...claim, proof })).to.equal(false);
        }
        for (let at = 0; at < grown.proof.length; at += 1) {
          const proof = grown.proof.with(at, flipped(grown.proof[at] as string, bit));
          expect(verifyConsistency({ ...grown, proof })).to.equal(false);
        }
      }
    }
  });

  it('holds for random sizes', () => {
    const leaves = leavesOf(3000);
    const pair = fc
      .integer({ min: 1, max: 3000 })
      .chain((size) => fc.tuple(fc.constant(size), fc.integer({ min: 1, max: size })));
    fc.assert(
      fc.property(pair, ([size, upTo]) => {
        const tree = leaves.slice(0, size);
        const root = merkleRoot(tree);
        const index = upTo - 1;
        const proof = inclusionProof(tree, index);
        expect(verifyInclusion({ index, size, leaf: tree[index] as string, root, proof })).to.equal(true);
        expect(
          verifyInclusion({
            index: BigInt(index),
            size: BigInt(size),
            leaf: tree[index] as string,
            root,
            proof,
          }),
        ).to.equal(true);
        const root1 = merkleRoot(tree.slice(0, upTo));
        expect(
          verifyConsistency({
            size1: upTo,
            size2: size,
            root1,
            root2: root,
            proof: consistencyProof(tree, upTo),
          }),
        ).to.equal(true);
      }),
      { numRuns: 40 },
    );
  });

  it('does not take an inner node for a leaf (pitfall 15)', () => {
    const leaves = LEAVES.slice(0, 4);
    const inner = merkleRoot(leaves.slice(0, 2));
    const root = merkleRoot(leaves);
    // The forger shows the tree of four as one of two, whose "leaf" is the concatenation of two leaf hashes.
    const forgedData = Buffer.from(`${leaves[0]}${leaves[1]}`, 'hex');
    const proof = [merkleRoot(leaves.slice(2))];
    expect(verifyInclusion({ index: 0, size: 2, leaf: leafHash(forgedData), root, proof })).to.equal(false);
    expect(leafHash(forgedData)).not.to.equal(inner);
    // A hash already known to be inner is refused by the size the signed statement gives.
    expect(verifyInclusion({ index: 0, size: 4, leaf: inner, root, proof })).to.equal(false);
  });

  it('does not take [A,B,C] for [A,B,C,C] (pitfall 16)', () => {
    const [a, b, c] = LEAVES.slice(0, 3) as [string, string, string];
    expect(merkleRoot([a, b, c])).not.to.equal(merkleRoot([a, b, c, c]));
    const proof = inclusionProof([a, b, c], 2);
    expect(proof).to.have.length(1);
    expect(
      verifyInclusion({ index: 3, size: 4, leaf: c, root: merkleRoot([a, b, c]), proof: [c, ...proof] }),
    ).to.equal(false);
    expect(
      verifyInclusion({ index: 2, size: 3, leaf: c, root: merkleRoot([a, b, c]), proof: [c, ...proof] }),
    ).to.equal(false);
  });

  it('answers false, without throwing, to anything malformed', () => {
    const leaves = LEAVES.slice(0, 5);
    const good = {
      index: 1,
      size: 5,
      leaf: leaves[1] as string,
      root: merkleRoot(leaves),
      proof: inclusionProof(leaves, 1),
    };
    const junk = [
      undefined,
      null,
      -1,
      1.5,
      Number.NaN,
      2 ** 53,
      -1n,
      1n << 64n,
      '1',
      '',
      'AB',
      {},
      [],
      [1],
      [undefined],
      'ff'.repeat(31),
    ];
    for (const bad of junk) {
      for (const field of ['index', 'size', 'leaf', 'root', 'proof'] as const) {
        expect(verifyInclusion({ ...good, [field]: bad } as never), `${field} ${String(bad)}`).to.equal(
          false,
        );
      }
      expect(verifyInclusion(bad as never)).to.equal(false);
      expect(verifyConsistency(bad as never)).to.equal(false);
    }
    const grown = {
      size1: 2,
      size2: 5,
      root1: merkleRoot(leaves.slice(0, 2)),
      root2: good.root,
      proof: consistencyProof(leaves, 2),
    };
    expect(verifyConsistency(grown)).to.equal(true);
    for (const bad of junk) {
      for (const field of ['size1', 'size2', 'root1', 'root2', 'proof'] as const) {
        expect(verifyConsistency({ ...grown, [field]: bad } as never), `${field} ${String(bad)}`).to.equal(
          false,
        );
      }
    }
    expect(verifyInclusion({ ...good, root: good.root.toUpperCase() })).to.equal(false);
    expect(verifyInclusion({ ...good, index: 2n ** 64n - 1n, size: 1 })).to.equal(false);
    expect(verifyInclusion({ ...good, index: 2n ** 64n - 2n, size: 2n ** 64n - 1n })).to.equal(false);
  });

  it('refuses to build from what is not a hash or not in the tree', () => {
    expect(() => merkleRoot(['abc'])).to.throw('64 lowercase hexadecimal digits');
    expect(() => leafHash('hello')).to.throw('lowercase hex');
    expect(() => inclusionProof(LEAVES, 70)).to.throw('no leaf 70');
    expect(() => consistencyProof(LEAVES, 71)).to.throw('no earlier tree of 71');
    expect(() => frontier({ size: 3, nodes: [LEAVES[0] as string] })).to.throw('does not have 1 nodes');
    expect(consistencyProof(LEAVES, 0)).to.deep.equal([]);
  });
});
