// How far the read models are behind, over all tenants, in one question that stays cheap while few are.
import type { Checkpoint } from '#projectors/sink.ts';
import { type Pool, streamError } from '#streams/postgres/connect.ts';

export interface ProjectionLag {
  readonly projection: string;
  /** Facts taken, of all tenants: the sum of the checkpoints. */
  readonly takenFacts: number;
  /** Facts recorded and not yet in the read model, of all tenants. */
  readonly lagFacts: number;
  /** Since the oldest of them was recorded, of the worst tenant; 0 when there are none. */
  readonly lagSecondsMax: number;
  readonly haltedTenants: number;
}

interface LagRow {
  readonly projection: string;
  readonly taken: number;
  readonly lag_facts: number;
  readonly lag_seconds: number;
  readonly halted: number;
}

/** Throws `StreamError`. */
export const projectionLag = async (
  pool: Pool,
  projectors: readonly { readonly name: string; readonly version: number }[],
): Promise<readonly ProjectionLag[]> => {
  try {
    const { rows } = await pool.query<LagRow>(LAG, [
      projectors.map(({ name }) => name),
      projectors.map(({ version }) => version),
    ]);
    return rows.map((row) => ({
      projection: row.projection,
      takenFacts: row.taken,
      lagFacts: row.lag_facts,
      lagSecondsMax: row.lag_seconds,
      haltedTenants: row.halted,
    }));
  } catch (error) {
    throw streamError(error);
  }
};

// A quiet tenant's last fact may be a day old: what counts is the age of the first fact that was not taken.
const LAG = `
SELECT p.projection,
       coalesce(sum(c.seq), 0)::float8 AS taken,
       coalesce(sum(greatest(h.seq - coalesce(c.seq, 0), 0)), 0)::float8 AS lag_facts,
       coalesce(max(greatest(extract(epoch FROM clock_timestamp() - f.recorded_at), 0)), 0)::float8 AS lag_seconds,
       count(*) FILTER (WHERE c.status = 'halted')::float8 AS halted
FROM unnest($1::text[], $2::int[]) AS p (projection, version)
JOIN projections.read_models m ON m.projection = p.projection AND m.version = p.version
CROSS JOIN ledger.heads h
LEFT JOIN projections.checkpoints c
  ON c.projection = p.projection AND c.version = p.version AND c.build = m.live_build AND c.tenant = h.tenant
LEFT JOIN ledger.facts f ON h.seq > coalesce(c.seq, 0) AND f.tenant_no = h.tenant_no AND f.seq = coalesce(c.seq, 0) + 1
GROUP BY p.projection`;

/** The same for a read model that is kept elsewhere, from its checkpoints as they are known here. Throws `StreamError`. */
export const lagBehind = async (
  pool: Pool,
  projection: string,
  checkpoints: readonly Pick<Checkpoint, 'tenant' | 'seq' | 'fault'>[],
): Promise<ProjectionLag> => {
  try {
    const { rows } = await pool.query<Omit<LagRow, 'projection' | 'halted'>>(LAG_BEHIND, [
      checkpoints.map(({ tenant }) => tenant),
      checkpoints.map(({ seq }) => seq),
    ]);
    return {
      projection,
      takenFacts: checkpoints.reduce((sum, { seq }) => sum + seq, 0),
      lagFacts: rows[0]?.lag_facts ?? 0,
      lagSecondsMax: rows[0]?.lag_seconds ?? 0,
      haltedTenants: checkpoints.filter(({ fault }) => fault !== undefined).length,
    };
  } catch (error) {
    throw streamError(error);
  }
};

const LAG_BEHIND = `
SELECT coalesce(sum(greatest(h.seq - coalesce(c.seq, 0), 0)), 0)::float8 AS lag_facts,
       coalesce(max(greatest(extract(epoch FROM clock_timestamp() - f.recorded_at), 0)), 0)::float8 AS lag_seconds
FROM ledger.heads h
LEFT JOIN unnest($1::text[], $2::bigint[]) AS c (tenant, seq) ON c.tenant = h.tenant
LEFT JOIN ledger.facts f ON h.seq > coalesce(c.seq, 0) AND f.tenant_no = h.tenant_no AND f.seq = coalesce(c.seq, 0) + 1`;
