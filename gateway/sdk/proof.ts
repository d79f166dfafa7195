// What is hashed and what is signed, by WebCrypto: the preimage of #proofs/chain.ts, the tree of #proofs/merkle.ts
// and the statement of #proofs/checkpoint.ts, whose layouts are frozen.
import type { ParsedBundle } from '#proofs/bundle-reader.ts';
import { putHex, putI64, putU32, putUuid } from '#proofs/bytes.ts';
import { bytesHex, sha256 } from './digest.ts';

type Fact = ParsedBundle['fact'];
type Proof = ParsedBundle['proof'];
type Bytes = Uint8Array<ArrayBuffer>;

const FACT_TAG = 'prov-ledger/fact/v1\n';
const BATCH_TAG = 'prov-ledger/commit-batch/v1\n';
const ABSENT = 0xffff_ffff;
const TWO_32 = 0x1_0000_0000;

const utf8 = (text: string): Bytes => new TextEncoder().encode(text);

const joined = (parts: readonly Bytes[]): Bytes => {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
};

const fixed = (length: number, put: (into: Bytes) => unknown): Bytes => {
  const bytes = new Uint8Array(length);
  put(bytes);
  return bytes;
};

const u32 = (value: number): Bytes => fixed(4, (into) => putU32(into, 0, value));
const i64 = (value: number): Bytes => fixed(8, (into) => putI64(into, 0, value));
const hex = (digits: string): Bytes => fixed(digits.length / 2, (into) => putHex(into, 0, digits));
const uuid = (id: string): Bytes => fixed(16, (into) => putUuid(into, 0, id));

const text = (value: string | undefined): Bytes => {
  if (value === undefined) return u32(ABSENT);
  const bytes = utf8(value);
  return joined([u32(bytes.length), bytes]);
};

/** The hash that a fact with these members has, in hexadecimal. */
export const factHash = async (fact: Fact): Promise<string> =>
  bytesHex(
    await sha256(
      joined([
        utf8(FACT_TAG),
        text(fact.tenant),
        i64(fact.seq),
        hex(fact.prevHash),
        uuid(fact.id),
        text(fact.type),
        u32(fact.schemaVersion),
        text(fact.stream),
        i64(fact.occurredAt),
        i64(fact.recordedAt),
        text(fact.actor),
        text(fact.opId),
        text(fact.opParentId),
        text(fact.region),
        await sha256(utf8(fact.payload)),
      ]),
    ),
  );

const isCount = (value: number): boolean => Number.isInteger(value) && value >= 1 && value < TWO_32;

// Beyond these a field would not fit its bytes, and two statements could share them.
const isStatement = ({ signedAt, tenantCount, batchFactCount }: Proof): boolean =>
  signedAt >= 0 && isCount(tenantCount) && isCount(batchFactCount) && tenantCount <= batchFactCount;

/** The bytes that the ledger signed; `undefined` when a number in the statement is out of its range. */
export const statementBytes = (proof: Proof): Bytes | undefined =>
  isStatement(proof)
    ? joined([
        utf8(BATCH_TAG),
        uuid(proof.ledgerId),
        i64(proof.signedAt),
        u32(proof.tenantCount),
        u32(proof.batchFactCount),
        hex(proof.root),
      ])
    : undefined;

/** Whether the paths lead from the fact to the signed root, and the numbers in the proof can all be true. */
export const isUnderRoot = async (factHashHex: string, proof: Proof): Promise<boolean> => {
  const { path, tenantCount, batchFactCount } = proof;
  if (!isStatement(proof) || !isCount(path.factCount)) return false;
  // Each other tenant has at least one fact; a lone tenant has them all.
  const others = tenantCount - 1;
  const left = batchFactCount - path.factCount;
  if (left < others || (others === 0 && left !== 0)) return false;
  const share = await climb(await leaf(hex(factHashHex)), {
    index: path.factIndex,
    size: path.factCount,
    siblings: path.factPath,
  });
  if (share === undefined) return false;
  // 40 bytes, where a fact's leaf has 32: a leaf of one tree is never a leaf of the other.
  const root = await climb(await leaf(joined([i64(path.factCount), share])), {
    index: path.tenantIndex,
    size: tenantCount,
    siblings: path.tenantPath,
  });
  return root !== undefined && bytesHex(root) === proof.root;
};

const leaf = (data: Bytes): Promise<Bytes> => sha256(joined([Uint8Array.of(0), data]));
const node = (left: Bytes, right: Bytes): Promise<Bytes> => sha256(joined([Uint8Array.of(1), left, right]));

interface Path {
  readonly index: number;
  readonly size: number;
  readonly siblings: readonly string[];
}

/** RFC 9162 section 2.1.3.2, steps 2 to 5; `undefined` when the path has another length than it must have. */
const climb = async (from: Bytes, { index, size, siblings }: Path): Promise<Bytes | undefined> => {
  if (index >= size) return undefined;
  let at = from;
  let place = index;
  let last = size - 1;
  for (const sibling of siblings) {
    if (last === 0) return undefined;
    if (place % 2 === 1 || place === last) {
      at = await node(hex(sibling), at);
      while (place % 2 === 0 && place !== 0) [place, last] = [half(place), half(last)];
    } else at = await node(at, hex(sibling));
    [place, last] = [half(place), half(last)];
  }
  return last === 0 ? at : undefined;
};

const half = (value: number): number => Math.floor(value / 2);
