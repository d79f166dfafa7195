/**
 * The Merkle tree of RFC 6962 and RFC 9162 section 2.1 over SHA-256. Law: a leaf is hashed behind 0x00 and an inner
 * node behind 0x01, so neither can be shown as the other, and an odd node moves up alone, so no two lists of
 * leaves share a root. Proofs have exactly the computed length.
 *
 * Hashes at this surface are 64 lowercase hexadecimal digits. Those computed here stay 32-character latin1 strings
 * until they leave: the one-shot hash gives them two to three times faster than a Buffer.
 */
import { hash } from 'node:crypto';

/** The root of the tree without leaves: SHA-256 of nothing (RFC 9162 section 2.1.1). */
export const EMPTY_ROOT = hash('sha256', '', 'hex');

/** Leaf count, or position of a leaf from 0: any unsigned 64-bit number. */
export type TreeSize = number | bigint;

export type InclusionClaim = {
  readonly index: TreeSize;
  readonly size: TreeSize;
  readonly leaf: string;
  readonly root: string;
  readonly proof: readonly string[];
};

export type ConsistencyClaim = {
  readonly size1: TreeSize;
  readonly size2: TreeSize;
  readonly root1: string;
  readonly root2: string;
  readonly proof: readonly string[];
};

/** What a frontier needs to go on elsewhere: the roots of its full subtrees, largest first. */
export type FrontierState = { readonly size: number; readonly nodes: readonly string[] };

export type Frontier = {
  /** Adds the next leaf hash. */
  append(leaf: string): void;
  size(): number;
  root(): string;
  state(): FrontierState;
};

export type MerkleTree = { readonly root: string; proof(index: number): string[] };

const HASH = /^[0-9a-f]{64}$/;
const node65 = Buffer.alloc(65);
node65[0] = 0x01;
const leaf33 = Buffer.alloc(33);

/** SHA-256(0x00 || data). `data` is bytes, or hexadecimal digits for bytes. */
export function leafHash(data: Uint8Array | string): string {
  if (typeof data === 'string' && HASH.test(data)) {
    leaf33.write(data, 1, 32, 'hex');
    return hash('sha256', leaf33, 'hex');
  }
  if (typeof data === 'string' && !/^(?:[0-9a-f]{2})*$/.test(data)) {
    throw new TypeError('leaf text must be lowercase hex');
  }
  const bytes = typeof data === 'string' ? Buffer.from(data, 'hex') : data;
  const prefixed = Buffer.alloc(1 + bytes.length);
  prefixed.set(bytes, 1);
  return hash('sha256', prefixed, 'hex');
}

/** The root over leaf hashes, in memory that grows with the logarithm of their number. */
export function merkleRoot(leaves: Iterable<string>): string {
  const tree = frontier();
  for (const leaf of leaves) tree.append(leaf);
  return tree.root();
}

/** The root at any moment while leaves arrive one by one; `state` of an earlier one goes on where it stopped. */
export function frontier(from: FrontierState = { size: 0, nodes: [] }): Frontier {
  let size = from.size;
  if (!Number.isSafeInteger(size) || size < 0 || from.nodes.length !== ones(BigInt(size))) {
    throw new TypeError(`a frontier of ${size} leaves does not have ${from.nodes.length} nodes`);
  }
  const nodes = from.nodes.map(checked);
  return {
    append(leaf) {
      let carried = checked(leaf);
      // Each trailing one bit of the size is a full subtree waiting for a sibling.
      for (let rest = size; rest % 2 === 1; rest = (rest - 1) / 2)
        carried = parent(nodes.pop() as string, carried);
      nodes.push(carried);
      size += 1;
    },
    size: () => size,
    root: () => (size === 0 ? EMPTY_ROOT : hex(nodes.reduceRight((right, left) => parent(left, right)))),
    state: () => ({ size, nodes: nodes.map(hex) }),
  };
}

/** The whole tree kept, for many proofs out of it: each costs a walk up and no hash. */
export function merkleTree(leaves: readonly string[]): MerkleTree {
  const levels: string[][] = [leaves.map(checked)];
  for (let level = levels[0] as string[]; level.length > 1; levels.push(level)) level = parents(level);
  return {
    root: levels.at(-1)?.[0] ?? EMPTY_ROOT,
    proof: (index) => auditPath(index, leaves.length, (depth, at) => levels[depth]?.[at]),
  };
}

/** PATH(m, D[n]) of RFC 9162 section 2.1.3.1, from the leaf upwards. Hashes the whole tree once. */
export function inclusionProof(leaves: readonly string[], index: number): string[] {
  return merkleTree(leaves).proof(index);
}

/** The siblings on the way up from a leaf; `nodeAt` has none where an odd node moves up alone. */
export function auditPath(
  index: number,
  size: number,
  nodeAt: (depth: number, at: number) => string | undefined,
): string[] {
  if (!Number.isInteger(index) || index < 0 || index >= size)
    throw new RangeError(`no leaf ${index} in a tree of ${size}`);
  const proof: string[] = [];
  for (
    let depth = 0, at = index, width = size;
    width > 1;
    depth += 1, at >>>= 1, width = Math.ceil(width / 2)
  ) {
    const sibling = nodeAt(depth, at ^ 1);
    if (sibling !== undefined) proof.push(sibling);
  }
  return proof;
}

/** PROOF(m, D[n]) of RFC 9162 section 2.1.4.1, that the first `size1` leaves are a prefix. Empty for 0 and n. */
export function consistencyProof(leaves: readonly string[], size1: number): string[] {
  if (!Number.isInteger(size1) || size1 < 0 || size1 > leaves.length) {
    throw new RangeError(`no earlier tree of ${size1} leaves in one of ${leaves.length}`);
  }
  if (size1 === 0) return [];
  const subproof = (from: number, to: number, known: boolean): string[] => {
    if (to === size1) return known ? [] : [merkleRoot(leaves.slice(from, to))];
    const middle = from + largestPowerBelow(to - from);
    return size1 <= middle
      ? [...subproof(from, middle, known), merkleRoot(leaves.slice(middle, to))]
      : [...subproof(middle, to, false), merkleRoot(leaves.slice(from, middle))];
  };
  return subproof(0, leaves.length, true);
}

/** RFC 9162 section 2.1.3.2. False for anything malformed; never throws. */
export function verifyInclusion(claim: InclusionClaim): boolean {
  const root = rootOfInclusion(claim);
  return root !== undefined && root === claim.root;
}

/** The root that a proof leads to; undefined for anything malformed. Compare it with a root that is signed. */
export function rootOfInclusion(claim: Omit<InclusionClaim, 'root'>): string | undefined {
  const index = unsigned64(claim?.index);
  const size = unsigned64(claim?.size);
  if (index === undefined || size === undefined || index >= size) return undefined;
  if (!areHashes([claim.leaf]) || !areHashes(claim.proof)) return undefined;
  const { inner, border } = pathShape(index, size);
  if (claim.proof.length !== inner + border) return undefined;
  return hex(climb(claim.leaf, claim.proof, index, inner));
}

/**
 * RFC 9162 section 2.1.4.2. False for anything malformed; never throws. Equal sizes say only that both roots are
 * the same text; from an empty tree to a larger one there is nothing to prove, so that claim is false.
 */
export function verifyConsistency(claim: ConsistencyClaim): boolean {
  const size1 = unsigned64(claim?.size1);
  const size2 = unsigned64(claim?.size2);
  if (size1 === undefined || size2 === undefined || size1 > size2 || !Array.isArray(claim.proof))
    return false;
  if (size1 === size2) {
    return claim.proof.length === 0 && typeof claim.root1 === 'string' && claim.root1 === claim.root2;
  }
  if (size1 === 0n || !areHashes([claim.root1, claim.root2]) || !areHashes(claim.proof)) return false;
  const shape = pathShape(size1 - 1n, size2);
  let shift = 0;
  while (((size1 >> BigInt(shift)) & 1n) === 0n) shift += 1;
  // When size1 is itself a full subtree its root is the seed and is left out of the proof.
  const seeded = size1 === 1n << BigInt(shift);
  const inner = shape.inner - shift;
  if (claim.proof.length !== inner + shape.border + (seeded ? 0 : 1)) return false;
  const [seed = '', ...rest] = seeded ? [claim.root1, ...claim.proof] : claim.proof;
  const position = (size1 - 1n) >> BigInt(shift);
  const earlier = rest.filter((_, level) => level >= inner || isRight(position, level));
  return (
    hex(earlier.reduce((right, left) => parent(left, right), seed)) === claim.root1 &&
    hex(climb(seed, rest, position, inner)) === claim.root2
  );
}

/** `inner` levels where the path may go either way, then `border` hashes to its left along the tree's right edge. */
function pathShape(index: bigint, size: bigint): { inner: number; border: number } {
  const apart = index ^ (size - 1n);
  const inner = apart === 0n ? 0 : apart.toString(2).length;
  return { inner, border: ones(index >> BigInt(inner)) };
}

function climb(seed: string, proof: readonly string[], index: bigint, inner: number): string {
  return proof.reduce(
    (at, sibling, level) =>
      level >= inner || isRight(index, level) ? parent(sibling, at) : parent(at, sibling),
    seed,
  );
}

function isRight(index: bigint, level: number): boolean {
  return ((index >> BigInt(level)) & 1n) === 1n;
}

function parents(level: readonly string[]): string[] {
  const above: string[] = [];
  for (let left = 0; left < level.length; left += 2) {
    const right = level[left + 1];
    above.push(right === undefined ? (level[left] as string) : parent(level[left] as string, right, 'hex'));
  }
  return above;
}

function parent(left: string, right: string, output: 'hex' | 'binary' = 'binary'): string {
  putNode(left, 1);
  putNode(right, 33);
  return hash('sha256', node65, output);
}

function putNode(value: string, at: number): void {
  if (value.length === 64) node65.write(value, at, 32, 'hex');
  // A loop over so few characters beats a call out of JavaScript.
  else for (let index = 0; index < 32; index += 1) node65[at + index] = value.charCodeAt(index);
}

function checked(digits: string): string {
  if (!HASH.test(digits)) throw new TypeError('a hash is 64 lowercase hexadecimal digits');
  return digits;
}

function hex(value: string): string {
  return value.length === 64 ? value : Buffer.from(value, 'latin1').toString('hex');
}

function areHashes(values: unknown): boolean {
  return Array.isArray(values) && values.every((value) => typeof value === 'string' && HASH.test(value));
}

function unsigned64(value: unknown): bigint | undefined {
  if (typeof value === 'number') return Number.isSafeInteger(value) && value >= 0 ? BigInt(value) : undefined;
  return typeof value === 'bigint' && value >= 0n && value < 1n << 64n ? value : undefined;
}

function ones(bits: bigint): number {
  let count = 0;
  for (let rest = bits; rest > 0n; rest &= rest - 1n) count += 1;
  return count;
}

function largestPowerBelow(size: number): number {
  let power = 1;
  while (power * 2 < size) power *= 2;
  return power;
}
