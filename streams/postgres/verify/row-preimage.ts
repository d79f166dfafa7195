// The bytes that a stored row's hash covers, put together from the row's own bytes: a text column and a text of the
// preimage are the same bytes (length, then UTF-8). Their form is that of `proofs/chain.ts`.
import { putI64, putU32 } from '#proofs/bytes.ts';
import { CHAIN_TAG } from '#proofs/chain.ts';
import type { TenantId } from '#schemas/ids.ts';
import {
  exactInstant,
  fieldEnd,
  ID,
  OCCURRED_AT,
  RECORDED_AT,
  SCHEMA_VERSION,
  SEQ,
  TYPE,
} from './row-layout.ts';
import { type RowTexts, rowTexts } from './row-texts.ts';

/** Bytes that stand somewhere: a row from its first column on, or a digest. */
export interface Place {
  readonly bytes: Uint8Array;
  readonly at: number;
}

export interface Row extends Place {
  readonly bytes: Buffer;
}

/** Where something is written; `at` moves on. */
export interface Target {
  readonly bytes: Uint8Array;
  at: number;
}

export interface Preimage {
  /** The rows put next stand in these bytes, in the order in which they are put. */
  take(bytes: Buffer): void;
  /** No preimage of the row is longer. */
  most(row: Row): number;
  /**
   * Writes what is hashed, given the digests of the fact before and of the payload. False, with a part written, when
   * that cannot be done for sure without parsing.
   */
  put(row: Row, digests: { readonly before: Place; readonly payload: Place }, to: Target): boolean;
}

const ABSENT = 0xffff_ffff;

/** The columns that are NULL where the payload says the same, in the order of the preimage. */
const ELIDED = ['actor', 'op_id', 'op_parent_id', 'region'];

export const preimageOf = (tenant: TenantId): Preimage => {
  const name = Buffer.from(tenant);
  const head = Buffer.concat([Buffer.from(CHAIN_TAG), Buffer.alloc(4), name]);
  head.writeUInt32BE(name.length, CHAIN_TAG.length);
  const texts = rowTexts(ELIDED);
  return {
    take: texts.take,
    // Each text of it is one of the row's, and stands in it once.
    most: ({ bytes, at }) => head.length + bytes.length - at + 256,
    put: (row, { before, payload }, to) => {
      const { bytes, at } = row;
      const occurredAt = exactInstant(bytes, at + OCCURRED_AT);
      const recordedAt = exactInstant(bytes, at + RECORDED_AT);
      const version = bytes.readInt16BE(at + SCHEMA_VERSION);
      if (Number.isNaN(occurredAt) || Number.isNaN(recordedAt) || version < 0) return false;
      const typeEnd = fieldEnd(bytes, at + TYPE);
      const payloadEnd = fieldEnd(bytes, typeEnd);
      const streamEnd = fieldEnd(bytes, payloadEnd);
      copy(head, 0, head.length, to);
      copy(bytes, at + SEQ, 8, to);
      copy(before.bytes, before.at, 32, to);
      copy(bytes, at + ID, 16, to);
      copy(bytes, at + TYPE, typeEnd - at - TYPE, to);
      to.at = putU32(to.bytes, to.at, version);
      copy(bytes, payloadEnd, streamEnd - payloadEnd, to);
      to.at = putI64(to.bytes, putI64(to.bytes, to.at, occurredAt), recordedAt);
      texts.payload(typeEnd + 4, payloadEnd);
      if (!putElided(texts, { bytes, at: streamEnd }, to)) return false;
      copy(payload.bytes, payload.at, 32, to);
      return true;
    },
  };
};

const copy = (from: Uint8Array, at: number, length: number, to: Target): void => {
  // A loop over so few bytes beats a call out of JavaScript.
  if (length > 64) to.bytes.set(from.subarray(at, at + length), to.at);
  else for (let index = 0; index < length; index += 1) to.bytes[to.at + index] = from[at + index] as number;
  to.at += length;
};

/** The four texts whose columns stand from `from` on, or in the payload that `texts` is at. */
const putElided = (texts: RowTexts, { bytes, at }: Row, to: Target): boolean => {
  let from = at;
  for (let member = 0; member < ELIDED.length; member += 1) {
    const end = fieldEnd(bytes, from);
    const length = bytes.readInt32BE(from);
    if (length > 0) copy(bytes, from, end - from, to);
    else if (length === 0) to.at = putU32(to.bytes, to.at, ABSENT);
    else {
      if (!texts.find(member)) return false;
      const { found } = texts;
      const size = found.end - found.start;
      to.at = putU32(to.bytes, to.at, size === 0 ? ABSENT : size);
      copy(bytes, found.start, size, to);
    }
    from = end;
  }
  return true;
};
