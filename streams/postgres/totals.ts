// How much there is, whoever recorded it: services, imports, a restore.
import { type Instant, instantText, type TenantId } from '#schemas/ids.ts';
import { type LedgerDatabases, onEach } from './databases.ts';
import { READABLE } from './reader.ts';

export interface LedgerTotals {
  readonly tenants: number;
  readonly facts: number;
}

/** One question over the heads, a row each tenant. Throws `StreamError`. */
export const ledgerTotals = async ({ all }: LedgerDatabases): Promise<LedgerTotals> => {
  const each = await onEach(all, async ({ pool }) => {
    const { rows } = await pool.query<LedgerTotals>(
      `SELECT count(*) AS tenants, coalesce(sum(h.seq), 0)::bigint AS facts FROM ledger.heads h WHERE ${READABLE}`,
    );
    return rows[0] ?? { tenants: 0, facts: 0 };
  });
  return {
    tenants: each.reduce((sum, { tenants }) => sum + tenants, 0),
    facts: each.reduce((sum, { facts }) => sum + facts, 0),
  };
};

export interface TypeTotal {
  readonly tenant: TenantId;
  readonly type: string;
  readonly facts: number;
}

/** Facts recorded from one moment (inclusive) to another, by tenant and type: one pass over the ledger. Throws `StreamError`. */
export const typeTotals = async (
  { all }: LedgerDatabases,
  from: Instant,
  to: Instant,
): Promise<readonly TypeTotal[]> => {
  const each = await onEach(all, async ({ pool }) => {
    const { rows } = await pool.query<TypeTotal>(
      `SELECT h.tenant, g.type, g.facts FROM
         (SELECT tenant_no, type, count(*)::bigint AS facts FROM ledger.facts
          WHERE recorded_at >= $1 AND recorded_at < $2 GROUP BY tenant_no, type) g
       JOIN ledger.heads h USING (tenant_no) WHERE ${READABLE} ORDER BY h.tenant, g.type`,
      [instantText(from), instantText(to)],
    );
    return rows;
  });
  return each.flat();
};
