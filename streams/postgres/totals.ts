// How much there is, whoever recorded it: services, imports, a restore.
import { type Pool, streamError } from './connect.ts';

export interface LedgerTotals {
  readonly tenants: number;
  readonly facts: number;
}

/** One question over the heads, a row each tenant. Throws `StreamError`. */
export const ledgerTotals = async (pool: Pool): Promise<LedgerTotals> => {
  try {
    const { rows } = await pool.query<LedgerTotals>(
      'SELECT count(*) AS tenants, coalesce(sum(seq), 0)::bigint AS facts FROM ledger.heads',
    );
    return rows[0] ?? { tenants: 0, facts: 0 };
  } catch (error) {
    throw streamError(error);
  }
};
