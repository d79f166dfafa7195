// Where things stand in a row of a binary COPY of READ_COLUMNS, counted from the row's first column. The first seven
// columns are of fixed width, each behind its length of four bytes.
import { knownText } from '#proofs/known-texts.ts';
import type { Instant, Seq } from '#schemas/ids.ts';
import { PG_EPOCH_MS, readInt64, readTimestamp } from '../binary.ts';

export const SEQ = 4;
const BATCH_NO = 16;
export const RECORDED_AT = 28;
export const OCCURRED_AT = 40;
export const SCHEMA_VERSION = 52;
export const ID = 58;
export const HASH_LENGTH = 74;
export const HASH = 78;
export const TYPE = 110;

export const seqOf = (bytes: Buffer, at: number): Seq => readInt64(bytes, at + SEQ) as Seq;

export const batchNoOf = (bytes: Buffer, at: number): number => readInt64(bytes, at + BATCH_NO);

export const recordedAtOf = (bytes: Buffer, at: number): Instant =>
  readTimestamp(bytes, at + RECORDED_AT) as Instant;

export const typeOf = (bytes: Buffer, at: number): string =>
  knownText(bytes, at + TYPE + 4, fieldEnd(bytes, at + TYPE));

/** The payload as it is stored. */
export const payloadOf = (bytes: Buffer, at: number): Buffer => {
  const field = fieldEnd(bytes, at + TYPE);
  return bytes.subarray(field + 4, fieldEnd(bytes, field));
};

/** Behind the column whose length stands at `at`. */
export const fieldEnd = (bytes: Buffer, at: number): number => at + 4 + Math.max(0, bytes.readInt32BE(at));

/** Milliseconds, or NaN when the column holds microseconds that are no whole millisecond, or more than a double does. */
export const exactInstant = (bytes: Buffer, at: number): number => {
  const micros = readInt64(bytes, at);
  return Number.isSafeInteger(micros) && micros % 1000 === 0 ? micros / 1000 + PG_EPOCH_MS : Number.NaN;
};
