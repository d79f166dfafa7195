// What facts need to be taken by another store: the shares they came in, and the hashes of requests that no payload says.
import type { SignedShare } from '#proofs/share.ts';
import type { Seq, Sha256 } from '#schemas/ids.ts';
import type { BelongingsOf } from '#streams/carry.ts';
import { StreamError } from '#streams/errors.ts';
import { type Pool, streamError, withClient } from './connect.ts';
import type { LedgerDatabases } from './databases.ts';
import { readHeads } from './reader.ts';
import { BATCH_COLUMNS, type StoredBatchRow, shareOfRow } from './stored-batch.ts';

const SHARES = `SELECT f.seq, ${BATCH_COLUMNS}
  FROM (SELECT min(seq) AS seq, batch_no FROM ledger.facts
        WHERE tenant_no = $1 AND seq BETWEEN $2 AND $3 GROUP BY batch_no) f
  JOIN ledger.batches b USING (batch_no) ORDER BY 1`;

const REQUEST_HASHES = `SELECT seq, encode(request_hash, 'hex') AS hash FROM ledger.facts
  WHERE tenant_no = $1 AND seq BETWEEN $2 AND $3 AND request_hash IS NOT NULL`;

/** Of all of a ledger: asked of the database that has the tenant. */
export const belongingsOn =
  ({ of }: LedgerDatabases, ledgerId: string): BelongingsOf =>
  async (stretch) =>
    await belongingsIn((await of(stretch.tenant)).pool, ledgerId)(stretch);

/** Throws `StreamError`, `corrupt` where a batch does not cover its fact. */
export const belongingsIn =
  (pool: Pool, ledgerId: string): BelongingsOf =>
  async ({ tenant, from, to }) => {
    try {
      return await withClient(pool, async (client) => {
        const [head] = await readHeads(client, [tenant]);
        const tenantNo = head?.tenantNo ?? -1;
        const values = [tenantNo, from, to];
        const batches = await client.query<StoredBatchRow & { readonly seq: Seq }>({
          name: 'shares_in',
          text: SHARES,
          values,
        });
        const shares = new Map<Seq, SignedShare>();
        for (const row of batches.rows) {
          const share = shareOfRow(ledgerId, row, { tenantNo, seq: row.seq });
          if (!share)
            throw new StreamError('corrupt', `${tenant}/${row.seq}: its commit batch does not cover it`);
          shares.set((share.first + share.count - 1) as Seq, share);
        }
        const { rows } = await client.query<{ seq: Seq; hash: Sha256 }>({
          name: 'request_hashes_in',
          text: REQUEST_HASHES,
          values,
        });
        return { shares, requestHashes: new Map(rows.map(({ seq, hash }) => [seq, hash])) };
      });
    } catch (error) {
      throw streamError(error);
    }
  };
