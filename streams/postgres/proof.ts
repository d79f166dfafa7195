// The signature over one stored fact, worked out again from its batch: the facts' hashes of its tenant's share, and
// the roots of all shares.
import { type BatchProof, storedProof } from '#proofs/checkpoint.ts';
import type { Instant, Seq, Sha256 } from '#schemas/ids.ts';
import { StreamError } from '#streams/errors.ts';
import { decodeLayout } from './batch-rows.ts';
import type { Client } from './connect.ts';
import type { StoredHead } from './reader.ts';

export interface ProofRequest {
  readonly ledgerId: string;
  readonly head: Pick<StoredHead, 'tenant' | 'tenantNo'>;
  readonly seq: Seq;
}

interface BatchRow {
  readonly kid: string;
  readonly signed_ms: Instant;
  readonly signature: Buffer;
  readonly layout: Buffer;
}

export const proofAt = async (client: Client, { ledgerId, head, seq }: ProofRequest): Promise<BatchProof | undefined> => {
  const found = await client.query<BatchRow>({
    name: 'batch_of',
    text: `SELECT b.kid, (extract(epoch FROM b.signed_at) * 1000)::bigint AS signed_ms, b.signature, b.layout
      FROM ledger.facts f JOIN ledger.batches b USING (batch_no) WHERE f.tenant_no = $1 AND f.seq = $2`,
    values: [head.tenantNo, seq],
  });
  const [batch] = found.rows;
  if (!batch) return undefined;
  const shares = decodeLayout(batch.layout);
  const tenantIndex = shares.findIndex((share) => share.tenantNo === head.tenantNo && seq >= share.firstSeq && seq < share.firstSeq + share.count);
  const share = shares[tenantIndex];
  if (!share) throw new StreamError('corrupt', `${head.tenant}/${seq}: its commit batch does not cover it`);
  const { rows } = await client.query<{ hash: Sha256 }>({
    name: 'share_hashes',
    text: `SELECT encode(hash, 'hex') AS hash FROM ledger.facts WHERE tenant_no = $1 AND seq >= $2 AND seq < $3 ORDER BY seq`,
    values: [head.tenantNo, share.firstSeq, share.firstSeq + share.count],
  });
  return storedProof(
    { ledgerId, signedAt: batch.signed_ms, kid: batch.kid, signature: batch.signature, shares },
    { tenantIndex, factIndex: seq - share.firstSeq, hashes: rows.map((row) => row.hash) },
  );
};
