// The timers whose moment has come, of all tenants, from views.timers.
import type { Instant, TenantId } from '#schemas/ids.ts';
import { type Pool, streamError } from '#streams/postgres/connect.ts';

export interface DueTimer {
  readonly tenant: TenantId;
  readonly timerId: string;
}

/** The longest overdue first, `most` at most. Rejects with `StreamError`. */
export type DueTimers = (at: Instant, most: number) => Promise<readonly DueTimer[]>;

export const dueTimers =
  (pool: Pool): DueTimers =>
  async (at, most) => {
    try {
      const { rows } = await pool.query<DueTimer>(
        `SELECT tenant, timer_id AS "timerId" FROM views.timers WHERE due_at <= $1
         ORDER BY due_at, tenant, timer_id LIMIT $2`,
        [new Date(at), most],
      );
      return rows;
    } catch (error) {
      throw streamError(error);
    }
  };
