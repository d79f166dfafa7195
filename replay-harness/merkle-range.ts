// The Merkle tree of RFC 6962 over a chain, taken in parts: each range of leaves becomes the roots of the largest full
// subtrees in it, which threads can work out side by side; the subtrees, in their order, become the tree. What is kept is
// the roots of full subtrees only, so memory grows with the logarithm of the number of leaves.
import { hash } from 'node:crypto';
import { rootOfDigests } from '#proofs/digest-tree.ts';
import { EMPTY_ROOT } from '#proofs/merkle.ts';
import type { Sha256 } from '#schemas/ids.ts';

/** The root of a full subtree over 2^height leaves. */
export interface Subtree {
  readonly height: number;
  readonly root: string;
}

const DIGEST_BYTES = 32;

/** The subtrees over facts' hashes, 32 bytes each, of which the first is leaf number `index` of the tree. */
export const subtrees = (index: number, digests: Uint8Array): readonly Subtree[] => {
  const found: Subtree[] = [];
  const end = index + digests.length / DIGEST_BYTES;
  for (let at = index; at < end; ) {
    let height = 0;
    let size = 1;
    // As large as its place allows, and as the leaves that are left.
    while (at % (size * 2) === 0 && at + size * 2 <= end) {
      size *= 2;
      height += 1;
    }
    const from = (at - index) * DIGEST_BYTES;
    found.push({ height, root: rootOfDigests(digests.subarray(from, from + size * DIGEST_BYTES)) });
    at += size;
  }
  return found;
};

export interface RangeTree {
  /** The subtrees that follow on those added before. */
  add(following: readonly Subtree[]): void;
  root(): Sha256;
  /** To go on elsewhere. */
  state(): readonly Subtree[];
}

export const rangeTree = (from: readonly Subtree[] = []): RangeTree => {
  const nodes: Subtree[] = [...from];
  const push = (node: Subtree): void => {
    const last = nodes.at(-1);
    if (last === undefined || last.height > node.height) nodes.push(node);
    else if (last.height < node.height)
      throw new RangeError('a subtree cannot stand behind smaller ones: leaves are missing before it');
    else {
      nodes.pop();
      push({ height: node.height + 1, root: parent(last.root, node.root) });
    }
  };
  return {
    add: (following) => following.forEach(push),
    root: () => {
      const roots = nodes.map(({ root }) => root);
      return (
        roots.length === 0 ? EMPTY_ROOT : roots.reduceRight((right, left) => parent(left, right))
      ) as Sha256;
    },
    state: () => [...nodes],
  };
};

/** RFC 6962 section 2.1: an inner node is hashed behind 0x01. */
const parent = (left: string, right: string): string =>
  hash('sha256', Buffer.from(`01${left}${right}`, 'hex'), 'hex');
