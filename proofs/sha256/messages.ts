// SHA-256 of many messages at once. Law: every digest is the one that node:crypto gives for the same bytes. For the many
// short texts of a chain's verification and of Merkle trees; one message alone is better off with the one-shot hash.
import { putU32 } from '../bytes.ts';
import { ARENA, growTo, type Kernel, sha256Kernel } from './kernel.ts';

/** A list of messages: cleared, filled, hashed, and read before it is cleared again. */
export interface Messages {
  clear(): void;
  /** Room behind the last message for one of at most so many bytes: where it stands in `bytes()`. */
  begin(most: number): number;
  /** The message begun last is so many bytes long. */
  end(length: number): void;
  /** What messages are written into; another one after a `begin` that had to make room. */
  bytes(): Uint8Array;
  /** Bytes taken so far. */
  size(): number;
  /** Hashes them all. The digest of the message begun first, second and so on stands in `bytes()` at `digestAt(index)`. */
  digest(): void;
  digestAt(index: number): number;
}

const BLOCK = 64;
const DIGEST = 32;
const LANES = 4;
/** What follows a message in its last block at the least: one bit, and the length in bits as u64. */
const TRAILER = 9;

export const sha256Messages = (): Messages => {
  const kernel = sha256Kernel();
  const { memory } = kernel;
  let bytes = new Uint8Array(memory.buffer);
  const list: List = {
    places: new Uint32Array(256),
    blocks: new Uint32Array(256),
    digests: new Uint32Array(256),
    count: 0,
  };
  let free = ARENA;

  const makeRoom = (upTo: number): void => {
    if (upTo <= bytes.length) return;
    growTo(memory, Math.max(upTo, bytes.length * 2));
    bytes = new Uint8Array(memory.buffer);
  };

  return {
    clear: () => {
      list.count = 0;
      free = ARENA;
    },
    begin: (most) => {
      makeRoom(free + most + BLOCK + TRAILER);
      return free;
    },
    end: (length) => {
      const blocks = Math.ceil((length + TRAILER) / BLOCK);
      pad(bytes, free, { length, blocks });
      add(list, free, blocks);
      free += blocks * BLOCK;
    },
    bytes: () => bytes,
    size: () => free - ARENA,
    digest: () => {
      makeRoom(free + (list.count + LANES * 2) * DIGEST);
      digestInto(kernel, list, free);
    },
    digestAt: (index) => list.digests[index] as number,
  };
};

/** Section 5.1.1 of FIPS 180-4: one bit, zeros, and the length in bits. */
const pad = (
  bytes: Uint8Array,
  at: number,
  { length, blocks }: { readonly length: number; readonly blocks: number },
): void => {
  const behind = at + blocks * BLOCK;
  for (let index = at + length + 1; index < behind - 4; index += 1) bytes[index] = 0;
  bytes[at + length] = 0x80;
  putU32(bytes, behind - 4, length * 8);
  if (length >= 2 ** 29) putU32(bytes, behind - 8, Math.floor(length / 2 ** 29));
};

interface List {
  places: Uint32Array<ArrayBuffer>;
  blocks: Uint32Array<ArrayBuffer>;
  digests: Uint32Array<ArrayBuffer>;
  count: number;
}

const add = (list: List, place: number, blocks: number): void => {
  if (list.count === list.places.length) {
    list.places = twice(list.places);
    list.blocks = twice(list.blocks);
    list.digests = twice(list.digests);
  }
  list.places[list.count] = place;
  list.blocks[list.count] = blocks;
  list.count += 1;
};

const twice = (array: Uint32Array): Uint32Array<ArrayBuffer> => {
  const larger = new Uint32Array(array.length * 2);
  larger.set(array);
  return larger;
};

/** Four at a time of those that are equally many blocks long; what is missing to four is filled up with the last. */
const digestInto = ({ digest }: Kernel, { places, blocks, digests, count }: List, at: number): void => {
  const waiting = new Map<number, number[]>();
  let into = at;
  const run = (group: readonly number[], length: number): void => {
    const [a = 0, b = a, c = b, d = c] = group;
    digest(places[a] as number, places[b] as number, places[c] as number, places[d] as number, length, into);
    for (const index of group) {
      digests[index] = into;
      into += DIGEST;
    }
  };
  for (let index = 0; index < count; index += 1) {
    const length = blocks[index] as number;
    const group = waiting.get(length);
    if (group === undefined) waiting.set(length, [index]);
    else if (group.push(index) === LANES) {
      run(group, length);
      group.length = 0;
    }
  }
  for (const [length, group] of waiting) if (group.length > 0) run(group, length);
};
