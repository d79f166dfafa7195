// How fresh the read models are, and what an operator does about one that has halted.
import type { Seq, TenantId } from '#schemas/ids.ts';
import { type Pool, streamError, transaction } from '#streams/postgres/connect.ts';
import { type SourceDigests, versionKey } from './builds.ts';

/** One read model of one tenant, as in `views.projection_status`. */
export interface ProjectionStatus {
  readonly tenant: TenantId;
  readonly projection: string;
  readonly version: number;
  readonly asOfSeq: Seq;
  readonly headSeq: Seq;
  /** Below 0 when the ledger was restored to an older state than the read model has seen. */
  readonly lagFacts: number;
  /** Ledger time that is not yet in the read model; absent while nothing was read. */
  readonly lagSeconds?: number;
  readonly state: 'current' | 'behind' | 'paused' | 'halted' | 'ahead of ledger';
  /** The table in use, and whether the view shows this version. */
  readonly build: number;
  readonly shown: boolean;
  readonly fault?: { readonly seq: Seq; readonly id: string; readonly message: string };
}

interface StatusRow {
  readonly tenant: TenantId;
  readonly projection: string;
  readonly version: number;
  readonly as_of_seq: Seq;
  readonly head_seq: Seq;
  readonly lag_facts: number;
  readonly lag_seconds: number | null;
  readonly state: ProjectionStatus['state'];
  readonly build: number;
  readonly shown: boolean;
  readonly fault_seq: Seq | null;
  readonly fault_id: string;
  readonly fault_message: string;
}

/** Of all tenants, or of one; ordered by tenant and read model. Throws `StreamError`. */
export const projectionStatus = async (
  pool: Pool,
  tenant?: TenantId,
): Promise<readonly ProjectionStatus[]> => {
  try {
    const { rows } = await pool.query<StatusRow>(
      `SELECT tenant, projection, version, as_of_seq, head_seq, lag_facts, lag_seconds::float8 AS lag_seconds, state, build, shown, fault_seq, fault_id, fault_message
       FROM views.projection_status WHERE $1::text IS NULL OR tenant = $1 ORDER BY tenant, projection, version`,
      [tenant ?? null],
    );
    return rows.map(statusOf);
  } catch (error) {
    throw streamError(error);
  }
};

const statusOf = (row: StatusRow): ProjectionStatus => ({
  tenant: row.tenant,
  projection: row.projection,
  version: row.version,
  asOfSeq: row.as_of_seq,
  headSeq: row.head_seq,
  lagFacts: row.lag_facts,
  ...(row.lag_seconds !== null && { lagSeconds: row.lag_seconds }),
  state: row.state,
  build: row.build,
  shown: row.shown,
  ...(row.fault_seq !== null && {
    fault: { seq: row.fault_seq, id: row.fault_id, message: row.fault_message },
  }),
});

/**
 * Lets a halted read model try the same fact again, after its cause was put right; no fact is ever skipped. Running
 * processes notice by themselves. False when it had not halted. Throws `StreamError`.
 */
export const resumeHalted = async (pool: Pool, projection: string, tenant: TenantId): Promise<boolean> => {
  try {
    const { rowCount } = await pool.query(
      `UPDATE projections.checkpoints
       SET status = 'running', fault_seq = NULL, fault_id = NULL, fault_message = NULL, fault_at = NULL, updated_at = now()
       WHERE projection = $1 AND tenant = $2 AND status = 'halted'`,
      [projection, tenant],
    );
    return (rowCount ?? 0) > 0;
  } catch (error) {
    throw streamError(error);
  }
};

/**
 * Nobody takes the read model further until it is resumed: running processes stop with the step they are in. All
 * versions, all tenants. False when it was paused before, or there is none. Throws `StreamError`.
 */
export const pauseReadModel = async (pool: Pool, projection: string, reason: string): Promise<boolean> => {
  try {
    return await transaction(pool, async (client) => {
      const { rowCount } = await client.query(
        'UPDATE projections.read_models SET paused_at = now(), pause_reason = $2 WHERE projection = $1 AND paused_at IS NULL',
        [projection, reason],
      );
      if ((rowCount ?? 0) === 0) return false;
      // Whoever writes now names the epoch before, and finds itself overtaken.
      for (const table of ['builds', 'checkpoints'])
        await client.query(
          `UPDATE projections.${table} t SET epoch = epoch + 1 FROM projections.read_models m
           WHERE m.projection = $1 AND t.projection = m.projection AND t.version = m.version AND t.build = m.live_build`,
          [projection],
        );
      return true;
    });
  } catch (error) {
    throw streamError(error);
  }
};

/** Lets a paused read model go on; running processes notice by themselves. False when it was not paused. */
export const resumeReadModel = async (pool: Pool, projection: string): Promise<boolean> => {
  try {
    const { rowCount } = await pool.query(
      'UPDATE projections.read_models SET paused_at = NULL, pause_reason = NULL WHERE projection = $1 AND paused_at IS NOT NULL',
      [projection],
    );
    return (rowCount ?? 0) > 0;
  } catch (error) {
    throw streamError(error);
  }
};

/** One table of one version of a read model. */
export interface BuildLine {
  readonly projection: string;
  readonly version: number;
  readonly build: number;
  readonly state: 'building' | 'proved' | 'live' | 'kept';
  /** Whether the view shows it. */
  readonly shown: boolean;
  readonly pauseReason?: string;
  /** This program's projector of that version has another source: it leaves the rows alone. */
  readonly madeByOther: boolean;
}

interface BuildRow {
  readonly projection: string;
  readonly version: number;
  readonly build: number;
  readonly state: BuildLine['state'];
  readonly shown: boolean;
  readonly pause_reason: string | null;
  readonly source_digest: string | null;
}

/** Ordered by read model, version and build. Throws `StreamError`. */
export const listBuilds = async (pool: Pool, sources: SourceDigests): Promise<readonly BuildLine[]> => {
  try {
    const { rows } = await pool.query<BuildRow>(
      `SELECT b.projection, b.version, b.build, b.state, m.shown AND m.live_build = b.build AS shown, m.pause_reason, b.source_digest
       FROM projections.builds b JOIN projections.read_models m USING (projection, version) ORDER BY 1, 2, 3`,
    );
    return rows.map(({ projection, version, build, state, shown, pause_reason, source_digest }) => {
      const own = sources.get(versionKey({ name: projection, version }));
      return {
        projection,
        version,
        build,
        state,
        shown,
        ...(pause_reason !== null && { pauseReason: pause_reason }),
        madeByOther: own !== undefined && source_digest !== null && own !== source_digest,
      };
    });
  } catch (error) {
    throw streamError(error);
  }
};
