// A row of ledger.batches as what was signed. A batch that was made here names all of its tenants; one that came from
// another store names the tenant that it came for, and the way from that tenant's root to the signed one.
import { type BatchStatement, statementOf } from '#proofs/checkpoint.ts';
import { type ShareWay, type SignedShare, shareOfBatch, statementOver } from '#proofs/share.ts';
import type { Instant, Seq } from '#schemas/ids.ts';
import { type BatchShare, decodeLayout } from './batch-rows.ts';

export interface StoredBatchRow {
  readonly batch_no: number;
  readonly kid: string;
  readonly signed_ms: Instant;
  readonly root: Buffer;
  readonly signature: Buffer;
  readonly layout: Buffer;
  readonly way: Buffer | null;
}

/** Of `ledger.batches b`. */
export const BATCH_COLUMNS =
  'b.batch_no, b.kid, (extract(epoch FROM b.signed_at) * 1000)::bigint AS signed_ms, b.root, b.signature, b.layout, b.way';

export const encodeWay = ({ tenantCount, batchFactCount, tenantIndex, tenantPath }: ShareWay): Buffer => {
  const fixed = Buffer.alloc(12);
  fixed.writeUInt32BE(tenantCount, 0);
  fixed.writeUInt32BE(batchFactCount, 4);
  fixed.writeUInt32BE(tenantIndex, 8);
  return Buffer.concat([fixed, Buffer.from(tenantPath.join(''), 'hex')]);
};

const decodeWay = (way: Buffer): ShareWay => ({
  tenantCount: way.readUInt32BE(0),
  batchFactCount: way.readUInt32BE(4),
  tenantIndex: way.readUInt32BE(8),
  tenantPath: Array.from({ length: (way.length - 12) / 32 }, (_, index) =>
    way.toString('hex', 12 + index * 32, 44 + index * 32),
  ),
});

/** What the row's signature must be over; `undefined` where its way leads nowhere. */
export const statementOfRow = (ledgerId: string, row: StoredBatchRow): BatchStatement | undefined => {
  const shares = decodeLayout(row.layout);
  const of = { ledgerId, signedAt: row.signed_ms };
  const [only] = shares;
  return row.way ? only && statementOver(of, only, decodeWay(row.way)) : statementOf(of, shares);
};

const holds = ({ firstSeq, count }: BatchShare, seq: Seq): boolean =>
  seq >= firstSeq && seq < firstSeq + count;

/** The share that holds a tenant's fact; `undefined` where the batch has none. */
export const shareOfRow = (
  ledgerId: string,
  row: StoredBatchRow,
  { tenantNo, seq }: { readonly tenantNo: number; readonly seq: Seq },
): SignedShare | undefined => {
  const shares = decodeLayout(row.layout);
  const index = shares.findIndex((share) => share.tenantNo === tenantNo && holds(share, seq));
  const share = shares[index];
  if (!share) return undefined;
  const { kid, signature, signed_ms: signedAt } = row;
  if (!row.way) return shareOfBatch({ ledgerId, signedAt, kid, signature, shares }, index);
  const way = decodeWay(row.way);
  const statement = statementOver({ ledgerId, signedAt }, share, way);
  if (!statement) return undefined;
  const { tenantIndex, tenantPath } = way;
  return {
    first: share.firstSeq,
    count: share.count,
    proof: { ...statement, kid, signature: signature.toString('base64url'), tenantIndex, tenantPath },
  };
};
