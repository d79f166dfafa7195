// The compression function of SHA-256 (FIPS 180-4 section 6.2.2) for four messages beside each other, as a WebAssembly
// module that is put together here: each 128-bit vector holds the same word of all four. Without SHA instructions in the
// processor that takes a quarter of what the one-shot hash takes for short messages, and half for long ones.
//
// Memory: the round constants and the first state from CONSTANTS on; what is hashed, and the digests, from ARENA on.
import { hash } from 'node:crypto';

const CONSTANTS = 0;
export const ARENA = 1_024;
const ROUNDS = 64;
const BLOCK_BYTES = 64;
const PAGE_BYTES = 65_536;

export interface LinearMemory {
  /** Another one after it has grown. */
  readonly buffer: ArrayBuffer;
  readonly grow: (pages: number) => number;
}

export interface Kernel {
  readonly memory: LinearMemory;
  /**
   * Hashes four messages that stand, padded, at four places and are equally many blocks of 64 bytes long (one or more),
   * and writes their digests to `into`, one behind the other.
   */
  readonly digest: (...placesBlocksInto: [number, number, number, number, number, number]) => void;
}

// The types of Node leave it out; those of browsers have it.
const { Module, Instance } = (
  globalThis as unknown as {
    readonly WebAssembly: {
      readonly Module: new (bytes: Uint8Array) => object;
      readonly Instance: new (module: object) => { readonly exports: unknown };
    };
  }
).WebAssembly;

let compiled: object | undefined;

/** A kernel with a memory of its own, zeros from ARENA on. Throws when the engine computes a known digest wrongly in some lane. */
export const sha256Kernel = (): Kernel => {
  compiled ??= new Module(moduleBytes());
  const kernel = new Instance(compiled).exports as Kernel;
  // FIPS 180-4 sections 4.2.2 and 5.3.3: the first 32 bits behind the point of cube and square roots of primes.
  const primes = firstPrimes(ROUNDS);
  const constants = primes.map((prime) => (Math.cbrt(prime) % 1) * 2 ** 32);
  const state = primes.slice(0, WORDS.length).map((prime) => (Math.sqrt(prime) % 1) * 2 ** 32);
  new Uint32Array(kernel.memory.buffer, CONSTANTS).set([...constants, ...state]);
  if (!isSound(kernel)) throw new Error('WebAssembly computes wrong SHA-256 digests on this machine');
  return kernel;
};

/** Proofs hang on it: it shows that it can, on the empty message in all lanes, before anyone relies on it. */
const isSound = ({ memory, digest }: Kernel): boolean => {
  const arena = Buffer.from(memory.buffer, ARENA);
  arena[0] = 0x80;
  digest(ARENA, ARENA, ARENA, ARENA, 1, ARENA + BLOCK_BYTES);
  const digests = arena.toString('hex', BLOCK_BYTES, BLOCK_BYTES + 4 * 32);
  arena.fill(0);
  return digests === hash('sha256', '').repeat(4);
};

const firstPrimes = (count: number): readonly number[] => {
  const primes: number[] = [];
  for (let candidate = 2; primes.length < count; candidate += 1)
    if (primes.every((prime) => candidate % prime !== 0)) primes.push(candidate);
  return primes;
};

type Code = readonly number[];

/** LEB128, as WebAssembly writes numbers. */
const unsigned = (value: number): Code =>
  value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)];
const signed = (value: number): Code =>
  value < 0x40 ? [value] : [(value & 0x7f) | 0x80, ...signed(value >>> 7)];

const vector = (operation: number, ...immediates: Code): Code => [
  0xfd,
  ...unsigned(operation),
  ...immediates,
];
const get = (local: number): Code => [0x20, ...unsigned(local)];
const set = (local: number): Code => [0x21, ...unsigned(local)];
const tee = (local: number): Code => [0x22, ...unsigned(local)];
const constant = (value: number): Code => [0x41, ...signed(value)];
const ADD_I32 = [0x6a];
const SUBTRACT_I32 = [0x6b];
const LOOP = [0x03, 0x40];
const BRANCH_IF = [0x0d, 0];
const END = [0x0b];
const ADD = vector(0xae);
const XOR = vector(0x51);
const OR = vector(0x50);
const SELECT = vector(0x52);
const SHIFT_LEFT = vector(0xab);
const SHIFT_RIGHT = vector(0xad);
const loadVector = (offset: number): Code => vector(0x00, 0, ...unsigned(offset));
const storeVector = (offset: number): Code => vector(0x0b, 0, ...unsigned(offset));
const loadWordToAll = (offset: number): Code => vector(0x09, 2, ...unsigned(offset));
const shuffle = (bytes: Code): Code => vector(0x0d, ...bytes);

// Parameters and locals of the function.
const PLACES = [0, 1, 2, 3] as const;
const BLOCKS = 4;
const INTO = 5;
const working = (word: number): number => 6 + (word % 8);
const schedule = (word: number): number => 14 + (word % 16);
const SCRATCH = [30, 31, 32, 33] as const;
const kept = (word: number): number => 34 + word;
const VECTORS = 36;

const WORDS = [0, 1, 2, 3, 4, 5, 6, 7] as const;

const rotated = (local: number, bits: number): Code =>
  [get(local), constant(bits), SHIFT_RIGHT, get(local), constant(32 - bits), SHIFT_LEFT, OR].flat();

/** Σ of section 4.1.2. */
const largeSigma = (local: number, [a, b, c]: readonly [number, number, number]): Code =>
  [rotated(local, a), rotated(local, b), XOR, rotated(local, c), XOR].flat();

/** σ of section 4.1.2. */
const smallSigma = (local: number, [a, b, shift]: readonly [number, number, number]): Code =>
  [rotated(local, a), rotated(local, b), XOR, get(local), constant(shift), SHIFT_RIGHT, XOR].flat();

// A transposition of four vectors of four words, which turns the bytes of each word too: the words are big-endian.
const LOWER = [3, 2, 1, 0, 19, 18, 17, 16, 7, 6, 5, 4, 23, 22, 21, 20];
const UPPER = LOWER.map((byte) => byte + 8);
const EVEN = [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23];
const ODD = EVEN.map((byte) => byte + 8);

/** The words at `index` of four vectors, as one. */
const across = (vectors: readonly number[], index: number): Code => {
  const [a, b, c, d] = vectors.map(get) as unknown as readonly [Code, Code, Code, Code];
  const half = shuffle(index < 2 ? LOWER : UPPER);
  return [...a, ...b, ...half, ...c, ...d, ...half, ...shuffle(index % 2 === 0 ? EVEN : ODD)];
};

/** Words 4q to 4q+3 of the four blocks into four vectors of the schedule. */
const loadWords = (quarter: number): Code => [
  ...PLACES.flatMap((place, lane) => [
    ...get(place),
    ...loadVector(quarter * 16),
    ...set(SCRATCH[lane] as number),
  ]),
  ...PLACES.flatMap((index) => [...across(SCRATCH, index), ...set(schedule(quarter * 4 + index))]),
];

/** Half of each of the four digests, from four vectors of the state. */
const storeDigests = (half: 0 | 1): Code =>
  PLACES.flatMap((lane) => [
    ...get(INTO),
    ...across(
      PLACES.map((word) => kept(half * 4 + word)),
      lane,
    ),
    ...storeVector(lane * 32 + half * 16),
  ]);

/** W(t) for t from 16 on. */
const extend = (t: number): Code =>
  [
    [get(schedule(t)), smallSigma(schedule(t - 15), [7, 18, 3]), ADD],
    [get(schedule(t - 7)), ADD, smallSigma(schedule(t - 2), [17, 19, 10]), ADD, set(schedule(t))],
  ].flat(2);

/** One round; the names of the working variables move instead of their values. */
const round = (t: number): Code => {
  const name = (word: number): number => working(word - t + ROUNDS);
  const [a, b, c, d, e, f, g, h] = WORDS.map(name) as unknown as readonly [
    ...[number, number, number, number],
    ...[number, number, number, number],
  ];
  const [sum] = SCRATCH;
  return [
    [get(h), get(schedule(t)), constant(0), loadWordToAll(CONSTANTS + 4 * t), ADD, ADD],
    [largeSigma(e, [6, 11, 25]), ADD],
    // Ch(e, f, g), then Maj(a, b, c): where a and b differ, c decides.
    [get(f), get(g), get(e), SELECT, ADD, tee(sum), get(d), ADD, set(d)],
    [get(sum), largeSigma(a, [2, 13, 22]), ADD],
    [get(c), get(b), get(a), get(b), XOR, SELECT, ADD, set(h)],
  ].flat(2);
};

const functionBody = (): Code => {
  const rounds = Array.from({ length: ROUNDS }, (_, t) => (t < 16 ? round(t) : [...extend(t), ...round(t)]));
  return [
    WORDS.flatMap((word) => [
      ...constant(0),
      ...loadWordToAll(CONSTANTS + 4 * (ROUNDS + word)),
      ...set(kept(word)),
    ]),
    LOOP,
    WORDS.flatMap((word) => [...get(kept(word)), ...set(working(word))]),
    PLACES.flatMap(loadWords),
    rounds.flat(),
    WORDS.flatMap((word) => [...get(kept(word)), ...get(working(word)), ...ADD, ...set(kept(word))]),
    PLACES.flatMap((place) => [...get(place), ...constant(BLOCK_BYTES), ...ADD_I32, ...set(place)]),
    [...get(BLOCKS), ...constant(1), ...SUBTRACT_I32, ...tee(BLOCKS), ...BRANCH_IF],
    END,
    storeDigests(0),
    storeDigests(1),
    END,
  ].flat();
};

const I32 = 0x7f;
const V128 = 0x7b;

const moduleBytes = (): Uint8Array<ArrayBuffer> => {
  const section = (id: number, content: Code): Code => [id, ...unsigned(content.length), ...content];
  const text = (value: string): Code => [value.length, ...Buffer.from(value)];
  const body = [1, ...unsigned(VECTORS), V128, ...functionBody()];
  const [magic, version] = ['\0asm', [1, 0, 0, 0]] as const;
  return Uint8Array.from([
    ...Buffer.from(magic),
    ...version,
    ...section(1, [1, 0x60, 6, I32, I32, I32, I32, I32, I32, 0]),
    ...section(3, [1, 0]),
    ...section(5, [1, 0, 1]),
    ...section(7, [2, ...text('memory'), 2, 0, ...text('digest'), 0, 0]),
    ...section(10, [1, ...unsigned(body.length), ...body]),
  ]);
};

/** A memory with room for so many bytes; views of it made before are void when it had to grow. */
export const growTo = (memory: LinearMemory, bytes: number): void => {
  const missing = bytes - memory.buffer.byteLength;
  if (missing > 0) memory.grow(Math.ceil(missing / PAGE_BYTES));
};
