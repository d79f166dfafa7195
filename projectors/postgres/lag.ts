// How far the read models are behind, over all tenants, in one question that stays cheap while few are.
import type { Checkpoint } from '#projectors/sink.ts';
import { elsewhere, type LedgerDatabase, type LedgerDatabases, onEach } from '#streams/postgres/databases.ts';
import { READABLE } from '#streams/postgres/reader.ts';

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

type Versioned = readonly { readonly name: string; readonly version: number }[];

/** Throws `StreamError`. */
export const projectionLag = async (
  databases: LedgerDatabases,
  projectors: Versioned,
): Promise<readonly ProjectionLag[]> => {
  const { home } = databases;
  const others = elsewhere(databases);
  const named = [projectors.map(({ name }) => name), projectors.map(({ version }) => version)];
  const [lags = []] = await onEach([home], async ({ pool }) => (await pool.query<LagRow>(LAG, named)).rows);
  // The checkpoints are at home; how far a tenant is that moved away, its own server knows.
  const [moved = []] = await onEach(
    others.length > 0 ? [home] : [],
    async ({ pool }) => (await pool.query<MovedCheckpoint>(MOVED, named)).rows,
  );
  const all: ProjectionLag[] = [];
  for (const { projection, taken, lag_facts, lag_seconds, halted } of lags) {
    const its = moved.filter((each) => each.projection === projection);
    const there = await behind(others, its);
    all.push({
      projection,
      takenFacts: taken,
      lagFacts: lag_facts + there.facts,
      lagSecondsMax: Math.max(lag_seconds, there.seconds),
      haltedTenants: halted,
    });
  }
  return all;
};

// A quiet tenant's last fact may be a day old: what counts is the age of the first fact that was not taken.
const LAG = `
SELECT p.projection,
       coalesce(sum(c.seq), 0)::float8 AS taken,
       coalesce(sum(greatest(h.seq - coalesce(c.seq, 0), 0)) FILTER (WHERE ${READABLE}), 0)::float8 AS lag_facts,
       coalesce(max(greatest(extract(epoch FROM clock_timestamp() - f.recorded_at), 0)), 0)::float8 AS lag_seconds,
       count(*) FILTER (WHERE c.status = 'halted')::float8 AS halted
FROM unnest($1::text[], $2::int[]) AS p (projection, version)
JOIN projections.read_models m ON m.projection = p.projection AND m.version = p.version
CROSS JOIN ledger.heads h
LEFT JOIN projections.checkpoints c
  ON c.projection = p.projection AND c.version = p.version AND c.build = m.live_build AND c.tenant = h.tenant
LEFT JOIN ledger.facts f
  ON h.seq > coalesce(c.seq, 0) AND ${READABLE} AND f.tenant_no = h.tenant_no AND f.seq = coalesce(c.seq, 0) + 1
GROUP BY p.projection`;

interface MovedCheckpoint extends Pick<Checkpoint, 'tenant' | 'seq'> {
  readonly projection: string;
}

const MOVED = `
SELECT p.projection, c.tenant, c.seq
FROM unnest($1::text[], $2::int[]) AS p (projection, version)
JOIN projections.read_models m ON m.projection = p.projection AND m.version = p.version
JOIN projections.checkpoints c ON c.projection = p.projection AND c.version = p.version AND c.build = m.live_build
JOIN ledger.heads h ON h.tenant = c.tenant AND h.standing = 'gone'`;

/** The same for a read model that is kept elsewhere, from its checkpoints as they are known here. Throws `StreamError`. */
export const lagBehind = async (
  { all }: LedgerDatabases,
  projection: string,
  checkpoints: readonly Pick<Checkpoint, 'tenant' | 'seq' | 'fault'>[],
): Promise<ProjectionLag> => {
  const { facts, seconds } = await behind(all, checkpoints);
  return {
    projection,
    takenFacts: checkpoints.reduce((sum, { seq }) => sum + seq, 0),
    lagFacts: facts,
    lagSecondsMax: seconds,
    haltedTenants: checkpoints.filter(({ fault }) => fault !== undefined).length,
  };
};

/** What the tenants of these databases have beyond the checkpoints. */
const behind = async (
  databases: readonly LedgerDatabase[],
  checkpoints: readonly Pick<Checkpoint, 'tenant' | 'seq'>[],
): Promise<{ readonly facts: number; readonly seconds: number }> => {
  const each = await onEach(databases, async ({ pool }) => {
    const { rows } = await pool.query<Pick<LagRow, 'lag_facts' | 'lag_seconds'>>(LAG_BEHIND, [
      checkpoints.map(({ tenant }) => tenant),
      checkpoints.map(({ seq }) => seq),
    ]);
    return rows;
  });
  const rows = each.flat();
  return {
    facts: rows.reduce((sum, { lag_facts }) => sum + lag_facts, 0),
    seconds: rows.reduce((most, { lag_seconds }) => Math.max(most, lag_seconds), 0),
  };
};

const LAG_BEHIND = `
SELECT coalesce(sum(greatest(h.seq - coalesce(c.seq, 0), 0)), 0)::float8 AS lag_facts,
       coalesce(max(greatest(extract(epoch FROM clock_timestamp() - f.recorded_at), 0)), 0)::float8 AS lag_seconds
FROM ledger.heads h
LEFT JOIN unnest($1::text[], $2::bigint[]) AS c (tenant, seq) ON c.tenant = h.tenant
LEFT JOIN ledger.facts f ON h.seq > coalesce(c.seq, 0) AND f.tenant_no = h.tenant_no AND f.seq = coalesce(c.seq, 0) + 1
WHERE ${READABLE}`;
