// The flags of tenants, from views.flags.
import type { Instant, Seq, TenantId } from '#schemas/ids.ts';
import { type Pool, streamError } from '#streams/postgres/connect.ts';

/** One flag as the read model has it. */
export interface ListedFlag {
  readonly feature: string;
  readonly status: 'set' | 'frozen' | 'retired';
  /** In a hundred subjects, how many get the feature. */
  readonly pct: number;
  readonly description: string | null;
  readonly reason: string;
  readonly freezeCause: string | null;
  readonly rampId: string | null;
  readonly dryRun: boolean | null;
  readonly movedBy: string;
  readonly movedAt: Instant;
  /** The fact that it is what it is by. */
  readonly movedSeq: Seq;
}

/** Of one tenant, by name; those that were retired too. Rejects with `StreamError`. */
export type ListFlags = (tenant: TenantId) => Promise<readonly ListedFlag[]>;

type ListedRow = Omit<ListedFlag, 'movedAt'> & { readonly movedAt: Date };

export const flagList =
  (pool: Pool): ListFlags =>
  async (tenant) => {
    try {
      const { rows } = await pool.query<ListedRow>(
        `SELECT feature, status, pct, description, reason, freeze_cause AS "freezeCause", ramp_id AS "rampId",
                dry_run AS "dryRun", moved_by AS "movedBy", moved_at AS "movedAt", moved_seq AS "movedSeq"
         FROM views.flags WHERE tenant = $1 ORDER BY feature`,
        [tenant],
      );
      return rows.map((row) => ({ ...row, movedAt: row.movedAt.getTime() as Instant }));
    } catch (error) {
      throw streamError(error);
    }
  };

export interface FlagShare {
  readonly tenant: TenantId;
  readonly feature: string;
  readonly pct: number;
}

/** Those that moved last, of all tenants, and at most so many: for figures. Throws `StreamError`. */
export const flagShares = async (pool: Pool, most: number): Promise<readonly FlagShare[]> => {
  try {
    const { rows } = await pool.query<FlagShare>(
      `SELECT tenant, feature, pct FROM views.flags WHERE status <> 'retired'
       ORDER BY moved_at DESC, tenant, feature LIMIT $1`,
      [most],
    );
    return rows;
  } catch (error) {
    throw streamError(error);
  }
};
