// Stored rows checked as they come out of COPY, without making facts of them, and many at once: a chunk's payloads are
// hashed together, and so are the bytes that the chain covers, each behind the hash that the row before it holds.
//
// The short way is taken only where its answer cannot differ from that of `linkFault` over the decoded row. Wherever it
// is not sure, and wherever it finds a fault, the row goes that long way, whose verdict counts.
import { isUtf8 } from 'node:buffer';
import { type ChainFault, type ChainPosition, linkFault } from '#proofs/chain.ts';
import { type Messages, sha256Messages } from '#proofs/sha256/messages.ts';
import type { Instant, Sha256, TenantId } from '#schemas/ids.ts';
import { PG_EPOCH_MS, readInt64 } from '../binary.ts';
import type { RawRows } from '../reader.ts';
import { readCopyRow } from '../rows.ts';
import { exactInstant, HASH, HASH_LENGTH, OCCURRED_AT, payloadOf, RECORDED_AT, seqOf } from './row-layout.ts';
import { type Place, type Preimage, preimageOf } from './row-preimage.ts';

export interface RowCheck {
  /** Hashes the rows of a chunk of a binary COPY of READ_COLUMNS, which are then checked one by one. */
  take(chunk: RawRows): void;
  /** Checks the chunk's next row, behind the row before it; `undefined` when it is sound. */
  next(): ChainFault | undefined;
  /** The last row that was sound. */
  position(): ChainPosition;
  /** Its 32 bytes; valid until the next check. */
  readonly hash: Uint8Array;
}

export const rowCheck = (tenant: TenantId, start: ChainPosition): RowCheck => {
  const hashes = rowHashes(preimageOf(tenant));
  const before = Buffer.from(start.hash, 'hex');
  let { seq, recordedAt } = start;
  let chunk: RawRows = { bytes: Buffer.alloc(0), rows: [] };
  let sound: Uint8Array = new Uint8Array(0);
  let index = 0;
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
    take: (rows) => {
      chunk = rows;
      index = 0;
      sound = hashes(rows, { bytes: before, at: 0 });
    },
    next: () => {
      const { bytes, rows } = chunk;
      const at = rows[index] as number;
      const next = seqOf(bytes, at);
      const recorded = exactInstant(bytes, at + RECORDED_AT);
      const sure = sound[index] === 1 && next === seq + 1 && recorded >= recordedAt;
      if (!sure) {
        const fault = slowly(bytes, at);
        if (fault) return fault;
      }
      index += 1;
      seq = next;
      recordedAt = (
        sure ? recorded : Math.round(readInt64(bytes, at + RECORDED_AT) / 1000) + PG_EPOCH_MS
      ) as Instant;
      for (let byte = 0; byte < 32; byte += 1) before[byte] = bytes[at + HASH + byte] as number;
      return undefined;
    },
  };
};

/** For each row 1 where its hash is that of its bytes behind the hash before it, 0 where it is not or that is unsure. */
type RowHashes = (chunk: RawRows, before: Place) => Uint8Array;

/** One list for all checks of a thread: it is full only while a chunk is taken. */
let messages: Messages | undefined;

const rowHashes = (preimage: Preimage): RowHashes => {
  let digests = new Uint8Array(0);
  let sound = new Uint8Array(0);
  return ({ bytes, rows }, first) => {
    messages ??= sha256Messages();
    if (sound.length < rows.length) {
      sound = new Uint8Array(rows.length * 2);
      digests = new Uint8Array(rows.length * 64);
    }
    const payloads = putPayloadDigests(messages, { bytes, rows }, digests);
    messages.clear();
    preimage.take(bytes);
    let before = first;
    for (let index = 0; index < rows.length; index += 1) {
      const at = rows[index] as number;
      const begin = messages.begin(preimage.most({ bytes, at }));
      const to = { bytes: messages.bytes(), at: begin };
      const payload = { bytes: digests, at: index * 32 };
      const whole = isHash(bytes, at) && preimage.put({ bytes, at }, { before, payload }, to);
      messages.end(whole ? to.at - begin : 0);
      sound[index] = whole && isUtf8(payloads[index] as Buffer) ? 1 : 0;
      before = { bytes, at: at + HASH };
    }
    messages.digest();
    const hashed = messages.bytes();
    for (let index = 0; index < rows.length; index += 1)
      if (!isSame(hashed, messages.digestAt(index), { bytes, at: (rows[index] as number) + HASH }))
        sound[index] = 0;
    return sound;
  };
};

const NOTHING = Buffer.alloc(0);

/** Writes the digest of each row's payload, and answers with the payloads. */
const putPayloadDigests = (
  list: Messages,
  { bytes, rows }: RawRows,
  digests: Uint8Array,
): readonly Buffer[] => {
  list.clear();
  const payloads: Buffer[] = [];
  for (const at of rows) {
    // Behind a hash of another length nothing stands where it should.
    const payload = isHash(bytes, at) ? payloadOf(bytes, at) : NOTHING;
    const to = list.begin(payload.length);
    payload.copy(list.bytes(), to);
    list.end(payload.length);
    payloads.push(payload);
  }
  list.digest();
  const from = list.bytes();
  for (let index = 0; index < rows.length; index += 1) {
    const at = list.digestAt(index);
    for (let byte = 0; byte < 32; byte += 1) digests[index * 32 + byte] = from[at + byte] as number;
  }
  return payloads;
};

const isSame = (digest: Uint8Array, at: number, stored: Place): boolean => {
  for (let byte = 0; byte < 32; byte += 1)
    if (digest[at + byte] !== stored.bytes[stored.at + byte]) return false;
  return true;
};

const isHash = (bytes: Buffer, at: number): boolean => bytes.readInt32BE(at + HASH_LENGTH) === 32;

const isWholeMillisecond = (bytes: Buffer, at: number): boolean => bytes.readBigInt64BE(at) % 1000n === 0n;
