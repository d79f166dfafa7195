// The digest of a read model: the same rows give the same digest, wherever they are and in whatever order they come.
//
//   line     the row as a JSON array, the tenant and then the columns in the projector's order, in the text that
//            PostgreSQL gives a jsonb: `["acme", "r-1", 5, null, {"a": 1}]`. Times are milliseconds since 1970, dates
//            `YYYY-MM-DD`, bytea lower-case hexadecimal.
//   row hash SHA-256 of the line's UTF-8 bytes, as 64 lower-case hexadecimal digits
//   digest   SHA-256 of all row hashes, each followed by a line feed, in ascending order
//
// A row's hash covers its key, so the order of the hashes is as fixed as that of the keys; but it knows no collation,
// needs 32 bytes a row instead of the whole line, and lets any number of threads hash rows. Anyone with psql, sort and
// sha256sum can compute it (projectors/postgres/digest.ts has the SQL).
import { createHash, hash } from 'node:crypto';
import { type Messages, sha256Messages } from '#proofs/sha256/messages.ts';
import type { AnyProjector } from './batch.ts';
import { copyJsonb, jsonbBytes, putJsonb, putPlain } from './jsonb-bytes.ts';
import type { Row } from './projector.ts';

/** One row of a read model, as it goes into the digest. */
export interface RowForm {
  /** The row's line. */
  readonly line: (tenant: string, row: Row) => string;
  /** `rowHash` of the line, which is not made for it. */
  readonly hash: (tenant: string, row: Row) => string;
  /** The hashes of many rows, 32 bytes each, in their order: several are computed at once. */
  readonly hashes: (tenant: string, rows: readonly Row[]) => Buffer<ArrayBuffer>;
}

export const rowForm = (projector: AnyProjector): RowForm => {
  const names = Object.keys(projector.columns);
  const put = (tenant: string, row: Row): number => {
    let at = putJsonb(putPlain(0, '['), tenant);
    for (const name of names) at = putJsonb(putPlain(at, ', '), row[name]);
    return putPlain(at, ']');
  };
  return {
    line: (tenant, row) => jsonbBytes(put(tenant, row)).toString('utf8'),
    hash: (tenant, row) => hash('sha256', jsonbBytes(put(tenant, row)), 'binary'),
    hashes: (tenant, rows) => manyHashes(rows.length, (index) => put(tenant, rows[index] as Row)),
  };
};

/** One list for the whole thread: it is full only while rows are hashed. */
let messages: Messages | undefined;

/** `put` writes a line where jsonb is written, and answers with its length. */
const manyHashes = (count: number, put: (index: number) => number): Buffer<ArrayBuffer> => {
  messages ??= sha256Messages();
  messages.clear();
  for (let index = 0; index < count; index += 1) {
    const length = put(index);
    const at = messages.begin(length);
    copyJsonb(length, messages.bytes(), at);
    messages.end(length);
  }
  messages.digest();
  const hashed = messages.bytes();
  const hashes = Buffer.from(new ArrayBuffer(count * ROW_HASH_BYTES));
  for (let index = 0, to = 0; index < count; index += 1) {
    let from = messages.digestAt(index);
    for (const end = to + ROW_HASH_BYTES; to < end; to += 1, from += 1) hashes[to] = hashed[from] as number;
  }
  return hashes;
};

/** What `value::jsonb::text` is, for any value that JSON can say. */
export const jsonbText = (value: unknown): string => jsonbBytes(putJsonb(0, value)).toString('utf8');

/** SHA-256 of a line, 32 bytes, as one character a byte: for arenas, see `ROW_HASH_BYTES`. */
export const rowHash = (line: string): string => hash('sha256', line, 'binary');

export const ROW_HASH_BYTES = 32;

/** The digest over row hashes, 32 bytes each, in whatever order. Changes the order of `hashes`. */
export const modelDigest = (hashes: Buffer): string => {
  const digest = digestOfSorted();
  digest.add(sortRowHashes(hashes));
  return digest.end();
};

/** The digest over row hashes that come in ascending order, some at a time. */
export const digestOfSorted = () => {
  const sha = createHash('sha256');
  return {
    add: (hashes: Buffer): void => {
      const digits = hashes.toString('hex');
      let text = '';
      for (let at = 0; at < digits.length; at += 64) text += `${digits.slice(at, at + 64)}\n`;
      sha.update(text, 'latin1');
    },
    end: (): string => sha.digest('hex'),
  };
};

// 32 bits of hash and 21 of place: as much as a double holds exactly.
const PREFIX = 2 ** 21;

/**
 * Row hashes, 32 bytes each, in ascending order. Sorted natively by their first four bytes beside their place: up to
 * 2^21 at a time, which is 64 MiB.
 */
export const sortRowHashes = (hashes: Buffer): Buffer => {
  const count = hashes.length / ROW_HASH_BYTES;
  if (count > PREFIX) throw new RangeError(`${count} row hashes at once: sort them in parts`);
  const keys = new Float64Array(count);
  for (let index = 0; index < count; index += 1)
    keys[index] = hashes.readUInt32BE(index * ROW_HASH_BYTES) * PREFIX + index;
  keys.sort();
  const places = Array.from(keys, (key) => key % PREFIX);
  settleTies(hashes, keys, places);
  const sorted = Buffer.allocUnsafe(hashes.length);
  places.forEach((place, index) => {
    hashes.copy(sorted, index * ROW_HASH_BYTES, place * ROW_HASH_BYTES, (place + 1) * ROW_HASH_BYTES);
  });
  return sorted;
};

/** Hashes that share their first four bytes stand in the order of their places: puts them in that of their bytes. */
const settleTies = (hashes: Buffer, keys: Float64Array, places: number[]): void => {
  const prefixAt = (index: number): number => Math.floor((keys[index] as number) / PREFIX);
  const at = (place: number): Buffer => hashes.subarray(place * ROW_HASH_BYTES, (place + 1) * ROW_HASH_BYTES);
  for (let from = 0; from < places.length; ) {
    let to = from + 1;
    while (to < places.length && prefixAt(to) === prefixAt(from)) to += 1;
    if (to - from > 1) {
      const tied = places.slice(from, to).sort((a, b) => Buffer.compare(at(a), at(b)));
      for (const [offset, place] of tied.entries()) places[from + offset] = place;
    }
    from = to;
  }
};
