// A signed commit batch as rows: one row of ledger.batches says which tenants it covers, from which seq on, how many
// facts of each, and the Merkle root of those facts. The path of any fact can be worked out again from that and from
// the facts' own hashes, so no path is stored.
import type { BatchStatement, Share, SignedStatement } from '#proofs/checkpoint.ts';
import type { Seq, Sha256 } from '#schemas/ids.ts';
import { binaryArray, OID, readInt64 } from './binary.ts';
import type { Client } from './connect.ts';
import type { Plan, PlannedTenant } from './plan.ts';
import { factArrays } from './rows.ts';

/** What one batch holds of one tenant. */
export interface BatchShare extends Share {
  readonly tenantNo: number;
  readonly firstSeq: Seq;
}

const SHARE_BYTES = 4 + 8 + 4 + 32;

export const encodeLayout = (shares: readonly BatchShare[]): Buffer => {
  const layout = Buffer.alloc(shares.length * SHARE_BYTES);
  for (const [index, share] of shares.entries()) {
    const at = index * SHARE_BYTES;
    layout.writeInt32BE(share.tenantNo, at);
    layout.writeBigInt64BE(BigInt(share.firstSeq), at + 4);
    layout.writeInt32BE(share.count, at + 12);
    layout.write(share.root, at + 16, 32, 'hex');
  }
  return layout;
};

export const decodeLayout = (layout: Buffer): readonly BatchShare[] =>
  Array.from({ length: layout.length / SHARE_BYTES }, (_, index) => {
    const at = index * SHARE_BYTES;
    return {
      tenantNo: layout.readInt32BE(at),
      firstSeq: readInt64(layout, at + 4) as Seq,
      count: layout.readInt32BE(at + 12),
      root: layout.toString('hex', at + 16, at + SHARE_BYTES) as Sha256,
    };
  });

/** Numbers for batches, taken from the database 256 at a time; a gap means that a process stopped, nothing more. */
export const batchNumbers = (): { next(client: Pick<Client, 'query'>): Promise<number> } => {
  let next = 0;
  let end = 0;
  return {
    next: async (client) => {
      if (next === end) {
        const { rows } = await client.query<{ first: number }>("SELECT nextval('ledger.batch_no') AS first");
        next = (rows[0] as { first: number }).first;
        end = next + 256;
      }
      return next++;
    },
  };
};

export interface SignedBatch {
  readonly batchNo: number;
  readonly statement: BatchStatement;
  readonly signed: SignedStatement;
  readonly shares: readonly BatchShare[];
}

/** The six array parameters of ledger.move_heads. */
export const headArrays = (tenants: readonly PlannedTenant[]): readonly Buffer[] => {
  const tips = tenants.map(({ facts }) => facts[facts.length - 1] as PlannedTenant['facts'][number]);
  return [
    binaryArray(OID.int4, tenants, (w, { head }) => w.int4(head.tenantNo)),
    binaryArray(OID.int8, tenants, (w, { head }) => w.int8(head.seq)),
    binaryArray(OID.bytea, tenants, (w, { head }) => w.hex(head.hash, 32)),
    binaryArray(OID.int8, tips, (w, tip) => w.int8(tip.seq)),
    binaryArray(OID.bytea, tips, (w, tip) => w.hex(tip.hash, 32)),
    binaryArray(OID.timestamptz, tips, (w, tip) => w.timestamptz(tip.recordedAt)),
  ];
};

/** The six scalar parameters that describe the signed batch. */
export const batchValues = ({ batchNo, statement, signed, shares }: SignedBatch): readonly unknown[] => [
  batchNo,
  signed.kid,
  new Date(statement.signedAt),
  Buffer.from(statement.root, 'hex'),
  signed.signature,
  encodeLayout(shares),
];

export const sharesOf = (tenants: readonly PlannedTenant[], shares: readonly Share[]): readonly BatchShare[] =>
  shares.map((share, index) => {
    const { head } = tenants[index] as PlannedTenant;
    return { ...share, tenantNo: head.tenantNo, firstSeq: (head.seq + 1) as Seq };
  });

const APPEND = `SELECT ledger.append_batch(${Array.from({ length: 28 }, (_, index) => `$${index + 1}`).join(', ')})`;

/** Stores a batch in one statement: heads, signature, facts. Fails as a whole with PL001 when a head has moved. */
export const storeBatch = async (client: Client, batch: SignedBatch, { tenants, rows }: Pick<Plan<unknown>, 'tenants' | 'rows'>): Promise<void> => {
  await client.query({
    name: 'append_batch',
    text: APPEND,
    values: [...headArrays(tenants), ...batchValues(batch), ...factArrays(rows)],
  });
};
