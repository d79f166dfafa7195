// The row hashes of one tenant's rows, as they come: parted by first byte, so that each part is sorted by itself.
import type { AnyProjector } from '#projectors/batch.ts';
import { digestOfSorted, ROW_HASH_BYTES, rowForm, sortRowHashes } from '#projectors/digest.ts';
import type { Row } from '#projectors/projector.ts';

const PARTS = 256;
const FIRST_BYTES = 4 * ROW_HASH_BYTES;

/** The hashes of a tenant's rows that come one by one, several computed at once. */
export interface HashedRows {
  readonly add: (row: Row) => void;
  /** Of all rows so far. */
  readonly hashes: () => HashSet;
}

/** Rows that wait to be hashed together. */
const TOGETHER = 256;

export const hashedRows = (projector: AnyProjector, tenant: string): HashedRows => {
  const form = rowForm(projector);
  const set = hashSet();
  let waiting: Row[] = [];
  const hashAll = (): void => {
    const hashes = form.hashes(tenant, waiting);
    waiting = [];
    for (let at = 0; at < hashes.length; at += ROW_HASH_BYTES)
      set.add(hashes.subarray(at, at + ROW_HASH_BYTES));
  };
  return {
    add: (row) => {
      if (waiting.push(row) === TOGETHER) hashAll();
    },
    hashes: () => {
      hashAll();
      return set;
    },
  };
};

export interface HashSet {
  /** 32 bytes, as one character a byte or as they are. */
  add(hash: string | Uint8Array): void;
  count(): number;
  /** As in `projectors/digest.ts`. */
  digest(): string;
  /** All hashes in ascending order, a part at a time. */
  sorted(): Generator<Buffer>;
}

interface Part {
  bytes: Buffer;
  end: number;
}

export const hashSet = (): HashSet => {
  const parts: Part[] = Array.from({ length: PARTS }, () => ({ bytes: Buffer.alloc(0), end: 0 }));
  const add = (hash: string | Uint8Array): void => {
    const text = typeof hash === 'string';
    const part = parts[text ? hash.charCodeAt(0) : (hash[0] as number)] as Part;
    if (part.end === part.bytes.length)
      part.bytes = Buffer.concat([part.bytes], Math.max(FIRST_BYTES, part.bytes.length * 2));
    if (text) part.bytes.write(hash, part.end, 'latin1');
    else part.bytes.set(hash, part.end);
    part.end += ROW_HASH_BYTES;
  };
  const sorted = function* (): Generator<Buffer> {
    for (const { bytes, end } of parts) if (end > 0) yield sortRowHashes(bytes.subarray(0, end));
  };
  return {
    add,
    count: () => parts.reduce((sum, { end }) => sum + end, 0) / ROW_HASH_BYTES,
    digest: () => {
      const digest = digestOfSorted();
      for (const part of sorted()) digest.add(part);
      return digest.end();
    },
    sorted,
  };
};

export interface HashDifference {
  /** In hexadecimal. */
  readonly onlyLeft: readonly string[];
  readonly onlyRight: readonly string[];
  /** How many there are, also beyond those named. */
  readonly left: number;
  readonly right: number;
}

/** What one holds and the other does not, each hash as often as it is there more often; `most` of each side at most. */
export const hashDifference = (left: HashSet, right: HashSet, most: number): HashDifference => {
  const [ours, theirs] = [walk(left), walk(right)];
  const onlyLeft: string[] = [];
  const onlyRight: string[] = [];
  let [leftCount, rightCount] = [0, 0];
  let [a, b] = [ours.next().value, theirs.next().value];
  while (a ?? b) {
    const order = a && b ? Buffer.compare(a, b) : a ? -1 : 1;
    if (order < 0 && onlyLeft.length < most) onlyLeft.push((a as Buffer).toString('hex'));
    if (order > 0 && onlyRight.length < most) onlyRight.push((b as Buffer).toString('hex'));
    if (order < 0) leftCount += 1;
    if (order > 0) rightCount += 1;
    if (order <= 0) a = ours.next().value;
    if (order >= 0) b = theirs.next().value;
  }
  return { onlyLeft, onlyRight, left: leftCount, right: rightCount };
};

const walk = function* (set: HashSet): Generator<Buffer, undefined> {
  for (const part of set.sorted())
    for (let at = 0; at < part.length; at += ROW_HASH_BYTES) yield part.subarray(at, at + ROW_HASH_BYTES);
  return undefined;
};
