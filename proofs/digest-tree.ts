// The Merkle tree of RFC 6962 over many digests at once, level by level, where `merkle.ts` takes hash by hash: what an
// import signs for each chunk, what verification holds against it, and what a replay of a history ends in.
import { putHex } from './bytes.ts';
import { auditPath, EMPTY_ROOT, type MerkleTree } from './merkle.ts';
import { ARENA, growTo, type Kernel, sha256Kernel } from './sha256/kernel.ts';

const DIGEST = 32;
const BLOCK = 64;
const LANES = 4;
const WORD = 4;

/** A kind of node: its blocks stand ready with prefix and padding, and only what is hashed is written into them. */
interface Form {
  readonly prefix: 0x00 | 0x01;
  /** Digests under one hash. */
  readonly digests: 1 | 2;
  /** Where the first of four stands: one byte before a word, since the prefix comes first. */
  readonly at: number;
  readonly blocks: 1 | 2;
}

const LEAF: Form = { prefix: 0x00, digests: 1, at: ARENA + WORD - 1, blocks: 1 };
const NODE: Form = { prefix: 0x01, digests: 2, at: ARENA + LANES * BLOCK + WORD - 1, blocks: 2 };
/** Where the level is, which becomes the one above in place. */
const LEVEL = ARENA + LANES * BLOCK * 3 + BLOCK;

/**
 * The root of the tree whose leaves' data are the consecutive 32-byte digests of `digests`: what `merkleRoot` gives
 * for their `leafHash`es.
 */
export const rootOfDigests = (digests: Uint8Array): string => {
  let root = EMPTY_ROOT;
  raised(digests, (level) => {
    root = hexOf(level, 0);
  });
  return root;
};

/** The whole tree over them, kept for many proofs: what `merkleTree` gives for their `leafHash`es. */
export const treeOfDigests = (digests: Uint8Array): MerkleTree => {
  const levels: Uint8Array[] = [];
  raised(digests, (level) => levels.push(level.slice()));
  const top = levels.at(-1);
  return {
    root: top ? hexOf(top, 0) : EMPTY_ROOT,
    proof: (index) => auditPath(index, digests.length / DIGEST, (depth, at) => siblingOf(levels[depth], at)),
  };
};

/** Hashes of 64 hexadecimal digits as bytes, one behind the other. */
export const digestsOf = (hashes: readonly string[]): Uint8Array => {
  const digests = new Uint8Array(hashes.length * DIGEST);
  let at = 0;
  for (const hash of hashes) at = putHex(digests, at, hash);
  return digests;
};

const siblingOf = (level: Uint8Array | undefined, at: number): string | undefined =>
  level && at * DIGEST < level.length ? hexOf(level, at) : undefined;

const hexOf = (level: Uint8Array, index: number): string =>
  Buffer.from(level.buffer, level.byteOffset + index * DIGEST, DIGEST).toString('hex');

/** Shows every level from the leaves to the root; each is void after the next one. */
const raised = (digests: Uint8Array, show: (level: Uint8Array) => void): void => {
  if (digests.length === 0) return;
  kernel ??= readyKernel();
  growTo(kernel.memory, LEVEL + digests.length + LANES * DIGEST);
  const words = new Uint32Array(kernel.memory.buffer);
  new Uint8Array(kernel.memory.buffer).set(digests, LEVEL);
  let count = digests.length / DIGEST;
  raise(kernel, words, LEAF, count);
  show(new Uint8Array(kernel.memory.buffer, LEVEL, count * DIGEST));
  while (count > 1) {
    const last = (LEVEL + (count - 1) * DIGEST) / WORD;
    const odd = count % 2 === 1 ? words.slice(last, last + DIGEST / WORD) : undefined;
    count = Math.floor(count / 2);
    raise(kernel, words, NODE, count);
    // An odd node moves up alone.
    if (odd) {
      words.set(odd, (LEVEL + count * DIGEST) / WORD);
      count += 1;
    }
    show(new Uint8Array(kernel.memory.buffer, LEVEL, count * DIGEST));
  }
};

let kernel: Kernel | undefined;

const readyKernel = (): Kernel => {
  const made = sha256Kernel();
  const bytes = new DataView(made.memory.buffer);
  for (const { prefix, digests, at, blocks } of [LEAF, NODE]) {
    for (let lane = 0; lane < LANES; lane += 1) {
      const start = at + lane * blocks * BLOCK;
      bytes.setUint8(start, prefix);
      bytes.setUint8(start + 1 + digests * DIGEST, 0x80);
      bytes.setUint32(start + blocks * BLOCK - 4, (1 + digests * DIGEST) * 8);
    }
  }
  return made;
};

/** Hashes `count` nodes out of the level, four at a time, and puts them where the level begins. */
const raise = (
  { digest }: Kernel,
  words: Uint32Array,
  { digests, at, blocks }: Form,
  count: number,
): void => {
  const its = (digests * DIGEST) / WORD;
  const step = (blocks * BLOCK) / WORD;
  for (let index = 0; index < count; index += LANES) {
    let from = LEVEL / WORD + index * its;
    for (let lane = 0, to = (at + 1) / WORD; lane < LANES; lane += 1, to += step)
      for (let word = 0; word < its; word += 1, from += 1) words[to + word] = words[from] as number;
    const places = [at, at + step * WORD, at + step * WORD * 2, at + step * WORD * 3] as const;
    digest(...places, blocks, LEVEL + index * DIGEST);
  }
};
