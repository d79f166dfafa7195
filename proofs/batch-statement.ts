/**
 * The statement that one group commit signs: small and of fixed size, so that every key store can sign it whole.
 *
 *   "prov-ledger/commit-batch/v1\n" (28) · ledger id (16) · signedAt ms u64 · tenants u32 · facts u32 · root (32)
 *
 * 92 bytes, integers big-endian. The form is frozen: receipts signed over it must verify for ever.
 */

/** What is signed. `signedAt` in ms since 1970; `factCount` of all tenants; `root` in hex. */
export type BatchStatement = {
  readonly ledgerId: string;
  readonly signedAt: number;
  readonly tenantCount: number;
  readonly factCount: number;
  readonly root: string;
};

const TAG = 'prov-ledger/commit-batch/v1\n';
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const HASH = /^[0-9a-f]{64}$/;

/** The signed bytes; throws TypeError on a field out of its range. */
export function encodeStatement(statement: BatchStatement): Buffer {
  const bytes = statementBytes(statement);
  if (bytes === undefined) {
    throw new TypeError('a commit batch has a lower-case ledger UUID, a time, at least one fact, and a root');
  }
  return bytes;
}

/** The signed bytes, or undefined when a field is missing or out of its range. Never throws. */
export function statementBytes(statement: BatchStatement): Buffer | undefined {
  if (typeof statement !== 'object' || statement === null) return undefined;
  const { ledgerId, signedAt, tenantCount, factCount, root } = statement;
  if (typeof ledgerId !== 'string' || !UUID.test(ledgerId)) return undefined;
  if (typeof root !== 'string' || !HASH.test(root)) return undefined;
  if (!Number.isSafeInteger(signedAt) || signedAt < 0 || !isU32(tenantCount) || !isU32(factCount))
    return undefined;
  if (tenantCount === 0 || factCount < tenantCount) return undefined;
  const bytes = Buffer.alloc(TAG.length + 64);
  let at = bytes.write(TAG, 'latin1');
  at += bytes.write(ledgerId.replaceAll('-', ''), at, 'hex');
  at = bytes.writeBigUInt64BE(BigInt(signedAt), at);
  at = bytes.writeUInt32BE(tenantCount, at);
  at = bytes.writeUInt32BE(factCount, at);
  bytes.write(root, at, 'hex');
  return bytes;
}

export function isU32(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < 2 ** 32;
}
