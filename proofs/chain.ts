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
import { putAscii, putHex, putI64, putU32, putUuid } from './bytes.ts';

/** The prevHash of a tenant's first fact. */
export const GENESIS_HASH = '0'.repeat(64) as Sha256;

/** What the hashed bytes of a fact begin with. */
export const CHAIN_TAG = 'prov-ledger/fact/v1\n';
const ABSENT = 0xffff_ffff;

// One arena for the whole thread: a preimage is written, hashed and forgotten before the next one starts.
let arena = Buffer.allocUnsafe(16_384);

/** The arena with room for so many bytes behind `at`. */
const room = (at: number, bytes: number): Buffer => {
  if (at + bytes > arena.length)
    arena = Buffer.concat([arena.subarray(0, at)], Math.max(arena.length * 2, at + bytes));
  return arena;
};

const putText = (at: number, text: string | undefined): number => {
  if (text === undefined) return putU32(room(at, 4), at, ABSENT);
  const into = room(at, 4 + text.length * 3);
  const ascii = putAscii(into, at + 4, text);
  const end = ascii === -1 ? at + 4 + into.write(text, at + 4, 'utf8') : ascii;
  putU32(into, at, end - at - 4);
  return end;
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
export const factHash = (
  draft: Draft,
  link: ChainLink,
  payloadDigest = payloadHash(draft.payload),
): Sha256 => {
  let at = putAscii(arena, 0, CHAIN_TAG);
  at = putText(at, link.tenant);
  at = putHex(room(at, 64), putI64(arena, at, link.seq), link.prevHash);
  at = putUuid(arena, at, draft.id);
  at = putText(at, draft.type);
  at = putText(putU32(room(at, 4), at, draft.schemaVersion), draft.stream);
  at = putI64(room(at, 16), putI64(arena, at, draft.occurredAt), link.recordedAt);
  at = putText(at, draft.actor);
  at = putText(at, draft.opId);
  at = putText(at, draft.opParentId);
  at = putText(at, draft.region);
  at = putHex(room(at, 32), at, payloadDigest);
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
export const linkFault = (
  fact: Recorded,
  tenant: TenantId,
  before: ChainPosition,
): ChainFault | undefined => {
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
