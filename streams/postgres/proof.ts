// The signatures over stored facts, worked out again from their batches: the facts' hashes of the tenant's share, and
// the roots of all shares. Facts of one batch share the work.
import type { BatchProof } from '#proofs/checkpoint.ts';
import { proofsOfShare, type SignedShare } from '#proofs/share.ts';
import type { Seq, Sha256 } from '#schemas/ids.ts';
import { StreamError } from '#streams/errors.ts';
import type { Client } from './connect.ts';
import type { StoredHead } from './reader.ts';
import { BATCH_COLUMNS, type StoredBatchRow, shareOfRow } from './stored-batch.ts';

export interface ProofRequest {
  readonly ledgerId: string;
  readonly head: Pick<StoredHead, 'tenant' | 'tenantNo'>;
  readonly seqs: readonly Seq[];
}

interface BatchRow extends StoredBatchRow {
  /** The one of the wanted facts that names the batch first. */
  readonly seq: Seq;
}

const BATCHES = `SELECT f.seq, ${BATCH_COLUMNS}
  FROM (SELECT min(seq) AS seq, batch_no FROM ledger.facts WHERE tenant_no = $1 AND seq = ANY ($2::bigint[]) GROUP BY batch_no) f
  JOIN ledger.batches b USING (batch_no)`;

/** The proofs of those of the facts that are stored. Throws `StreamError` when a batch does not cover its fact. */
export const proofsOf = async (
  client: Client,
  request: ProofRequest,
): Promise<ReadonlyMap<Seq, BatchProof>> => {
  const { ledgerId, head, seqs } = request;
  const proofs = new Map<Seq, BatchProof>();
  const { rows } = await client.query<BatchRow>({
    name: 'batches_of_facts',
    text: BATCHES,
    values: [head.tenantNo, seqs],
  });
  for (const row of rows) {
    const share = shareOfRow(ledgerId, row, { tenantNo: head.tenantNo, seq: row.seq });
    if (!share)
      throw new StreamError('corrupt', `${head.tenant}/${row.seq}: its commit batch does not cover it`);
    const { first, count } = share;
    const proofAt = proofsOfShare(share, await shareHashes(client, head.tenantNo, share));
    for (const seq of seqs) if (seq >= first && seq < first + count) proofs.set(seq, proofAt(seq - first));
  }
  return proofs;
};

const shareHashes = async (
  client: Client,
  tenantNo: number,
  { first, count }: SignedShare,
): Promise<readonly Sha256[]> => {
  const { rows } = await client.query<{ hash: Sha256 }>({
    name: 'share_hashes',
    text: `SELECT encode(hash, 'hex') AS hash FROM ledger.facts WHERE tenant_no = $1 AND seq >= $2 AND seq < $3 ORDER BY seq`,
    values: [tenantNo, first, first + count],
  });
  return rows.map((row) => row.hash);
};
