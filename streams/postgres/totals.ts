// How much there is, whoever recorded it: services, imports, a restore.
import { type Instant, instantText, type TenantId } from '#schemas/ids.ts';
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

export interface TypeTotal {
  readonly tenant: TenantId;
  readonly type: string;
  readonly facts: number;
}

/** Facts recorded from one moment (inclusive) to another, by tenant and type: one pass over the ledger. Throws `StreamError`. */
export const typeTotals = async (pool: Pool, from: Instant, to: Instant): Promise<readonly TypeTotal[]> => {
  try {
    const { rows } = await pool.query<TypeTotal>(
      `SELECT h.tenant, g.type, g.facts FROM
         (SELECT tenant_no, type, count(*)::bigint AS facts FROM ledger.facts
          WHERE recorded_at >= $1 AND recorded_at < $2 GROUP BY tenant_no, type) g
       JOIN ledger.heads h USING (tenant_no) ORDER BY h.tenant, g.type`,
      [instantText(from), instantText(to)],
    );
    return rows;
  } catch (error) {
    throw streamError(error);
  }
};
