// Stored rows checked as they come out of COPY, without making facts of them: the chain's preimage is put together from
// the row's own bytes, since a text column and a text of the preimage are the same bytes (length, then UTF-8).
//
// The short way is taken only where its answer cannot differ from that of `linkFault` over the decoded row. Wherever it
// is not sure, and wherever it finds a fault, the row goes that long way, whose verdict counts.
import { isUtf8 } from 'node:buffer';
import { hash } from 'node:crypto';
import { putHex, putI64, putU32 } from '#proofs/bytes.ts';
import { CHAIN_TAG, type ChainFault, type ChainPosition, linkFault } from '#proofs/chain.ts';
import type { Instant, Seq, Sha256, TenantId } from '#schemas/ids.ts';
import { PG_EPOCH_MS, readInt64 } from '../binary.ts';
import { readCopyRow } from '../rows.ts';

export interface RowCheck {
  /**
   * Checks the row of a binary COPY of READ_COLUMNS whose first column stands at `at`, behind the row before it;
   * `undefined` when it is sound.
   */
  check(bytes: Buffer, at: number): ChainFault | undefined;
  /** The last row that was sound. */
  position(): ChainPosition;
  /** Its 32 bytes; valid until the next check. */
  readonly hash: Uint8Array;
}

// READ_COLUMNS begin with seven columns of fixed width, each behind its length of four bytes.
const SEQ = 4;
const RECORDED_AT = 28;
const OCCURRED_AT = 40;
const SCHEMA_VERSION = 52;
const ID = 58;
const HASH_LENGTH = 74;
const HASH = 78;
const TYPE = 110;

/** Where batch_no stands in a row. */
const BATCH_NO = 16;
export const batchNoOf = (bytes: Buffer, at: number): number => readInt64(bytes, at + BATCH_NO);
/** Its 32 bytes, where they stand. */
export const hashOf = (bytes: Buffer, at: number): Buffer => bytes.subarray(at + HASH, at + HASH + 32);
export const seqOf = (bytes: Buffer, at: number): Seq => readInt64(bytes, at + SEQ) as Seq;

/** Milliseconds, or NaN when the column holds microseconds that are no whole millisecond, or more than a double does. */
const exactInstant = (bytes: Buffer, at: number): number => {
  const micros = readInt64(bytes, at);
  return Number.isSafeInteger(micros) && micros % 1000 === 0 ? micros / 1000 + PG_EPOCH_MS : Number.NaN;
};

export const rowCheck = (tenant: TenantId, start: ChainPosition): RowCheck => {
  const preimage = preimageOf(tenant);
  const before = Buffer.from(start.hash, 'hex');
  let { seq, recordedAt } = start;
  const hex = (): Sha256 => before.toString('hex') as Sha256;
  const slowly = (bytes: Buffer, at: number): ChainFault | undefined => {
    if (
      !isHash(bytes, at) ||
      !isWholeMillisecond(bytes, at + RECORDED_AT) ||
      !isWholeMillisecond(bytes, at + OCCURRED_AT)
    )
      return 'hash-mismatch';
    // Decoding would turn such bytes into characters that hash as if nothing had happened.
    if (!isUtf8(payloadOf(bytes, at))) return 'hash-mismatch';
    try {
      const { fact } = readCopyRow(bytes, at, tenant, hex());
      return linkFault(fact, tenant, { seq, hash: hex(), recordedAt });
    } catch {
      // A payload that is no JSON any more.
      return 'hash-mismatch';
    }
  };
  return {
    hash: before,
    position: () => ({ seq, hash: hex(), recordedAt }),
    check: (bytes, at) => {
      const next = seqOf(bytes, at);
      const recorded = exactInstant(bytes, at + RECORDED_AT);
      const sure =
        isHash(bytes, at) &&
        next === seq + 1 &&
        recorded >= recordedAt &&
        preimage.matches(bytes, at, before);
      if (!sure) {
        const fault = slowly(bytes, at);
        if (fault) return fault;
      }
      seq = next;
      recordedAt = (
        sure ? recorded : Math.round(readInt64(bytes, at + RECORDED_AT) / 1000) + PG_EPOCH_MS
      ) as Instant;
      for (let index = 0; index < 32; index += 1) before[index] = bytes[at + HASH + index] as number;
      return undefined;
    },
  };
};

const isHash = (bytes: Buffer, at: number): boolean => bytes.readInt32BE(at + HASH_LENGTH) === 32;

const isWholeMillisecond = (bytes: Buffer, at: number): boolean => bytes.readBigInt64BE(at) % 1000n === 0n;

const ABSENT = 0xffff_ffff;

/** The columns that are NULL where the payload says the same, in the order of the preimage. */
const ELIDED = ['actor', 'op_id', 'op_parent_id', 'region'].map((name) => Buffer.from(`"${name}":"`));

interface Preimage {
  /** Whether the row's hash is that of its bytes behind the hash `before`; false too when that is not sure. */
  matches(bytes: Buffer, at: number, before: Uint8Array): boolean;
}

const preimageOf = (tenant: TenantId): Preimage => {
  const name = Buffer.from(tenant);
  const head = Buffer.concat([Buffer.from(CHAIN_TAG), Buffer.alloc(4), name]);
  head.writeUInt32BE(name.length, CHAIN_TAG.length);
  let arena = Buffer.concat([head, Buffer.alloc(16_384)]);
  const copy = (into: number, bytes: Buffer, from: number, length: number): number => {
    // A loop over so few bytes beats a call out of JavaScript.
    if (length > 64) arena.set(bytes.subarray(from, from + length), into);
    else for (let index = 0; index < length; index += 1) arena[into + index] = bytes[from + index] as number;
    return into + length;
  };
  const matches = (bytes: Buffer, at: number, before: Uint8Array): boolean => {
    const occurredAt = exactInstant(bytes, at + OCCURRED_AT);
    const recordedAt = exactInstant(bytes, at + RECORDED_AT);
    const version = bytes.readInt16BE(at + SCHEMA_VERSION);
    if (Number.isNaN(occurredAt) || Number.isNaN(recordedAt) || version < 0) return false;
    const typeEnd = fieldEnd(bytes, at + TYPE);
    const payload = typeEnd + 4;
    const payloadEnd = fieldEnd(bytes, typeEnd);
    const text = bytes.subarray(payload, payloadEnd);
    if (arena.length < head.length + bytes.length) arena = Buffer.concat([arena], head.length + bytes.length);
    let to = copy(head.length, bytes, at + SEQ, 8);
    for (let index = 0; index < 32; index += 1) arena[to + index] = before[index] as number;
    to = copy(to + 32, bytes, at + ID, 16);
    to = copy(to, bytes, at + TYPE, typeEnd - at - TYPE);
    to = putU32(arena, to, version);
    let from = fieldEnd(bytes, payloadEnd);
    to = copy(to, bytes, payloadEnd, from - payloadEnd);
    to = putI64(arena, putI64(arena, to, occurredAt), recordedAt);
    const nested = nesting(text);
    let behind = 0;
    for (const member of ELIDED) {
      const end = fieldEnd(bytes, from);
      const length = bytes.readInt32BE(from);
      if (length > 0) to = copy(to, bytes, from, end - from);
      else if (length === 0) to = putU32(arena, to, ABSENT);
      else {
        const found = topLevelText(text, member, nested, behind);
        if (!found) return false;
        behind = Math.max(behind, found.end);
        if (found.end === found.start) to = putU32(arena, to, ABSENT);
        else
          to = copy(putU32(arena, to, found.end - found.start), text, found.start, found.end - found.start);
      }
      from = end;
    }
    to = putHex(arena, to, hash('sha256', text, 'hex'));
    const digest = hash('sha256', arena.subarray(0, to), 'binary');
    for (let index = 0; index < 32; index += 1)
      if (digest.charCodeAt(index) !== bytes[at + HASH + index]) return false;
    return isUtf8(text);
  };
  return { matches };
};

/** The payload as it is stored. */
export const payloadOf = (bytes: Buffer, at: number): Buffer => {
  const field = fieldEnd(bytes, at + TYPE);
  return bytes.subarray(field + 4, fieldEnd(bytes, field));
};

const fieldEnd = (bytes: Buffer, at: number): number => at + 4 + Math.max(0, bytes.readInt32BE(at));

const OPEN = 0x7b;
const CLOSE = 0x7d;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;

/** What lies before the first brace after the outermost object's own, or behind the last one before its end, is in no other. */
interface Nesting {
  readonly first: number;
  readonly last: number;
}

const nesting = (text: Buffer): Nesting => {
  const first = text.indexOf(OPEN, 1);
  return first === -1
    ? { first: text.length, last: 0 }
    : { first, last: text.lastIndexOf(CLOSE, text.length - 2) };
};

interface TextPlace {
  readonly start: number;
  readonly end: number;
}

const NONE: TextPlace = { start: 0, end: 0 };

/**
 * Where the text of a top-level member stands in canonical JSON behind the place `from`; empty when there is no such
 * text, `undefined` when that cannot be said without parsing. In canonical JSON the members stand in order, none comes
 * twice, and a name with its quotes and the quote that opens its text stands nowhere but behind a brace or comma.
 */
const topLevelText = (
  text: Buffer,
  member: Buffer,
  { first, last }: Nesting,
  from: number,
): TextPlace | undefined => {
  // Most stand behind everything nested: looked for there first.
  let at = text.indexOf(member, Math.max(from, last));
  if (at === -1 && from < last) {
    at = text.indexOf(member, from);
    if (at > first) return undefined;
  }
  if (at === -1) return NONE;
  if (text[at - 1] !== COMMA && at !== 1) return undefined;
  const start = at + member.length;
  const end = text.indexOf(QUOTE, start);
  for (let index = start; index < end; index += 1) if (text[index] === BACKSLASH) return undefined;
  return { start, end };
};
