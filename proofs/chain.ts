// The hash chain: each fact's hash covers its place, its authorship, its payload and the hash of the fact before,
// so a changed, moved, added or missing fact breaks every hash after it.
//
// The hashed bytes are, in this order (integers big-endian; a text is its length in bytes as u32, then its UTF-8
// bytes; an absent text is the length 0xFFFFFFFF alone; the two never collide, and no byte can move from one
// field to the next without changing a length):
//
//   "prov-ledger/fact/v1\n" (20 bytes)
//   tenant text · seq u64 · prevHash 32 bytes · id 16 bytes · type text · schemaVersion u32 · stream text?
//   occurredAt i64 ms · recordedAt i64 ms · actor text · opId text? · opParentId text? · region text?
//   SHA-256(payload) 32 bytes
//
// The form is frozen: test/proofs/golden/chain.json holds vectors, and forgeries that must fail.
import { hash as digest } from 'node:crypto';
import type { Draft, Recorded } from '#schemas/event.ts';
import { type Instant, isUuid, type Seq, type Sha256, type TenantId } from '#schemas/ids.ts';

/** The prevHash of a tenant's first fact. */
export const GENESIS_HASH = '0'.repeat(64) as Sha256;

const TAG = 'prov-ledger/fact/v1\n';
const ABSENT = 0xffff_ffff;
const TWO_32 = 0x1_0000_0000;

// One arena for the whole thread: a preimage is written, hashed and forgotten before the next one starts.
let arena = Buffer.allocUnsafe(16_384);
let at = 0;

const reserve = (bytes: number): void => {
  if (at + bytes > arena.length) arena = Buffer.concat([arena.subarray(0, at)], Math.max(arena.length * 2, at + bytes));
};

const putU32 = (value: number): void => {
  arena[at] = value >>> 24;
  arena[at + 1] = value >>> 16;
  arena[at + 2] = value >>> 8;
  arena[at + 3] = value;
  at += 4;
};

const putI64 = (value: number): void => {
  putU32(Math.floor(value / TWO_32) >>> 0);
  putU32(value >>> 0);
};

// A loop beats Buffer's own writers for the short texts of an envelope: no call leaves JavaScript.
const putAscii = (text: string): void => {
  for (let index = 0; index < text.length; index += 1) arena[at + index] = text.charCodeAt(index);
  at += text.length;
};

const putText = (text: string | undefined): void => {
  if (text === undefined) {
    reserve(4);
    putU32(ABSENT);
    return;
  }
  const bytes = Buffer.byteLength(text);
  reserve(bytes + 4);
  putU32(bytes);
  if (bytes === text.length) putAscii(text);
  else at += arena.write(text, at, bytes, 'utf8');
};

// Value of a hexadecimal digit by its character code. Every hash and id here is lower-case by its brand.
const NIBBLE = Uint8Array.from({ length: 128 }, (_, code) => Math.max(0, '0123456789abcdef'.indexOf(String.fromCharCode(code))));

const putHex = (hex: string, from: number, to: number): void => {
  for (let index = from; index < to; index += 2) {
    arena[at] = ((NIBBLE[hex.charCodeAt(index)] as number) << 4) | (NIBBLE[hex.charCodeAt(index + 1)] as number);
    at += 1;
  }
};

const putHash = (hash: string): void => putHex(hash, 0, 64);

const putUuid = (id: string): void => {
  putHex(id, 0, 8);
  putHex(id, 9, 13);
  putHex(id, 14, 18);
  putHex(id, 19, 23);
  putHex(id, 24, 36);
};

/** SHA-256 of a fact's payload text, as UTF-8. */
export const payloadHash = (payload: string): Sha256 => digest('sha256', payload, 'hex') as Sha256;

export interface ChainLink {
  readonly tenant: TenantId;
  readonly seq: Seq;
  readonly prevHash: Sha256;
  readonly recordedAt: Instant;
}

/** The hash of a draft put at one place of a chain. `payloadDigest` saves hashing the payload again. */
export const factHash = (draft: Draft, link: ChainLink, payloadDigest = payloadHash(draft.payload)): Sha256 => {
  at = arena.write(TAG, 0, TAG.length, 'latin1');
  putText(link.tenant);
  reserve(128);
  putI64(link.seq);
  putHash(link.prevHash);
  putUuid(draft.id);
  putText(draft.type);
  reserve(64);
  putU32(draft.schemaVersion);
  putText(draft.stream);
  reserve(64);
  putI64(draft.occurredAt);
  putI64(link.recordedAt);
  putText(draft.actor);
  putText(draft.opId);
  putText(draft.opParentId);
  putText(draft.region);
  reserve(32);
  putHash(payloadDigest);
  return digest('sha256', arena.subarray(0, at), 'hex') as Sha256;
};

/** Puts a draft at its place. */
export const seal = (draft: Draft, link: ChainLink, payloadDigest?: Sha256): Recorded => ({
  tenant: link.tenant,
  seq: link.seq,
  id: draft.id,
  type: draft.type,
  schemaVersion: draft.schemaVersion,
  stream: draft.stream,
  occurredAt: draft.occurredAt,
  recordedAt: link.recordedAt,
  actor: draft.actor,
  opId: draft.opId,
  opParentId: draft.opParentId,
  traceparent: draft.traceparent,
  region: draft.region,
  payload: draft.payload,
  parsed: draft.parsed,
  prevHash: link.prevHash,
  hash: factHash(draft, link, payloadDigest),
});

/** Where a chain was last known to be sound. */
export interface ChainPosition {
  readonly seq: Seq;
  readonly hash: Sha256;
  readonly recordedAt: Instant;
}

export type ChainFault =
  | 'wrong-tenant'
  /** A fact is missing, repeated or out of order. */
  | 'seq-gap'
  /** The fact does not name the hash of the fact before it. */
  | 'broken-link'
  /** The fact's own bytes are not those that were hashed. */
  | 'hash-mismatch'
  | 'time-went-back';

// The hashed bytes stand for one value only among those that parsers make. A file may hold others: an id in capitals,
// half of a surrogate pair (which UTF-8 turns into U+FFFD), a version 2^32 too large. Their hash would be right.
const hasOneForm = (fact: Recorded): boolean =>
  isUuid(fact.id) &&
  fact.schemaVersion >>> 0 === fact.schemaVersion &&
  Number.isSafeInteger(fact.occurredAt) &&
  Number.isSafeInteger(fact.recordedAt) &&
  fact.type.isWellFormed() &&
  fact.actor.isWellFormed() &&
  fact.payload.isWellFormed() &&
  fact.stream?.isWellFormed() !== false &&
  fact.opId?.isWellFormed() !== false &&
  fact.opParentId?.isWellFormed() !== false &&
  fact.region?.isWellFormed() !== false;

/** Checks one fact against the position before it; `undefined` when it is sound. */
export const linkFault = (fact: Recorded, tenant: TenantId, before: ChainPosition): ChainFault | undefined => {
  if (fact.tenant !== tenant) return 'wrong-tenant';
  if (fact.seq !== before.seq + 1) return 'seq-gap';
  if (fact.prevHash !== before.hash) return 'broken-link';
  if (fact.recordedAt < before.recordedAt) return 'time-went-back';
  if (factHash(fact, fact) !== fact.hash || !hasOneForm(fact)) return 'hash-mismatch';
  return undefined;
};

export const CHAIN_START: ChainPosition = Object.freeze({
  seq: 0 as Seq,
  hash: GENESIS_HASH,
  recordedAt: Number.MIN_SAFE_INTEGER as Instant,
});
