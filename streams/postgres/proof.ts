// The signatures over stored facts, worked out again from their batches: the facts' hashes of the tenant's share, and
// the roots of all shares. Facts of one batch share the work.
import { type BatchProof, shareProofs } from '#proofs/checkpoint.ts';
import type { Instant, Seq, Sha256 } from '#schemas/ids.ts';
import { StreamError } from '#streams/errors.ts';
import { type BatchShare, decodeLayout } from './batch-rows.ts';
import type { Client } from './connect.ts';
import type { StoredHead } from './reader.ts';

export interface ProofRequest {
  readonly ledgerId: string;
  readonly head: Pick<StoredHead, 'tenant' | 'tenantNo'>;
  readonly seqs: readonly Seq[];
}

interface BatchRow {
  /** The one of the wanted facts that names the batch first. */
  readonly seq: Seq;
  readonly kid: string;
  readonly signed_ms: Instant;
  readonly signature: Buffer;
  readonly layout: Buffer;
}

const BATCHES = `SELECT f.seq, b.kid, (extract(epoch FROM b.signed_at) * 1000)::bigint AS signed_ms, b.signature, b.layout
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
    const shares = decodeLayout(row.layout);
    const tenantIndex = shares.findIndex(
      (share) => share.tenantNo === head.tenantNo && holds(share, row.seq),
    );
    const share = shares[tenantIndex];
    if (!share)
      throw new StreamError('corrupt', `${head.tenant}/${row.seq}: its commit batch does not cover it`);
    const hashes = await shareHashes(client, head.tenantNo, share);
    const proofAt = shareProofs(
      { ledgerId, signedAt: row.signed_ms, kid: row.kid, signature: row.signature, shares },
      { tenantIndex, hashes },
    );
    for (const seq of seqs) if (holds(share, seq)) proofs.set(seq, proofAt(seq - share.firstSeq));
  }
  return proofs;
};

const holds = ({ firstSeq, count }: BatchShare, seq: Seq): boolean =>
  seq >= firstSeq && seq < firstSeq + count;

const shareHashes = async (
  client: Client,
  tenantNo: number,
  { firstSeq, count }: BatchShare,
): Promise<readonly Sha256[]> => {
  const { rows } = await client.query<{ hash: Sha256 }>({
    name: 'share_hashes',
    text: `SELECT encode(hash, 'hex') AS hash FROM ledger.facts WHERE tenant_no = $1 AND seq >= $2 AND seq < $3 ORDER BY seq`,
    values: [tenantNo, firstSeq, firstSeq + count],
  });
  return rows.map((row) => row.hash);
};
