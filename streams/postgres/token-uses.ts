// When tokens were last used, in the table beside the facts (migrations/0002_token_uses.sql).
import type { Instant, TenantId } from '#schemas/ids.ts';
import { type Pool, streamError } from './connect.ts';

export interface TokenUse {
  readonly tenant: TenantId;
  readonly tokenId: string;
  readonly at: Instant;
}

/** By token id; a token that was never used, or not yet written, is not in it. */
export type LastUses = (tenant: TenantId) => Promise<ReadonlyMap<string, Instant>>;

// In the order of the key, so that two processes that write the same tokens do not wait for each other in a circle.
const WRITE = `INSERT INTO ledger.token_uses AS known (tenant_no, token_id, last_used_at)
  SELECT h.tenant_no, u.token_id, max(u.at)
  FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS u (tenant, token_id, at)
  JOIN ledger.heads h ON h.tenant = u.tenant
  GROUP BY 1, 2 ORDER BY 1, 2
  ON CONFLICT (tenant_no, token_id) DO UPDATE SET last_used_at = EXCLUDED.last_used_at
  WHERE known.last_used_at < EXCLUDED.last_used_at`;

const READ = `SELECT u.token_id, u.last_used_at FROM ledger.token_uses u JOIN ledger.heads h USING (tenant_no)
  WHERE h.tenant = $1`;

/** One statement; an older use never stands over a newer one. Throws `StreamError`. */
export const writeTokenUses = async (pool: Pool, uses: readonly TokenUse[]): Promise<void> => {
  if (uses.length === 0) return;
  const columns = [
    uses.map(({ tenant }) => tenant),
    uses.map(({ tokenId }) => tokenId),
    uses.map(({ at }) => new Date(at)),
  ];
  try {
    await pool.query(WRITE, columns);
  } catch (error) {
    throw streamError(error);
  }
};

/** Throws `StreamError`. */
export const lastTokenUses =
  (pool: Pool): LastUses =>
  async (tenant) => {
    try {
      const { rows } = await pool.query<{ token_id: string; last_used_at: Date }>(READ, [tenant]);
      return new Map(rows.map(({ token_id: id, last_used_at: at }) => [id, at.getTime() as Instant]));
    } catch (error) {
      throw streamError(error);
    }
  };
