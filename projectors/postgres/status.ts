// How fresh the read models are, and what an operator does about one that has halted.
import type { Seq, TenantId } from '#schemas/ids.ts';
import { type Pool, streamError, transaction } from '#streams/postgres/connect.ts';
import { headsElsewhere, type LedgerDatabases } from '#streams/postgres/databases.ts';
import type { Head } from '#streams/stream.ts';
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
  /** `elsewhere`: the tenant is on a server that does not answer for it here, and its head is not known. */
  readonly state: 'current' | 'behind' | 'paused' | 'halted' | 'ahead of ledger' | 'elsewhere';
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
  readonly as_of_ms: number | null;
  readonly head_seq: Seq | null;
  readonly lag_facts: number | null;
  readonly lag_seconds: number | null;
  readonly state: ProjectionStatus['state'];
  readonly paused: boolean;
  readonly build: number;
  readonly shown: boolean;
  readonly fault_seq: Seq | null;
  readonly fault_id: string;
  readonly fault_message: string;
}

/** Of all tenants, or of one; ordered by tenant and read model. Throws `StreamError`. */
export const projectionStatus = async (
  databases: LedgerDatabases,
  tenant?: TenantId,
): Promise<readonly ProjectionStatus[]> => {
  try {
    const { rows } = await databases.home.pool.query<StatusRow>(
      `SELECT tenant, projection, version, as_of_seq, (extract(epoch FROM as_of) * 1000)::bigint AS as_of_ms, head_seq, lag_facts,
         lag_seconds::float8 AS lag_seconds, state, paused_at IS NOT NULL AS paused, s.build, s.shown, fault_seq, fault_id, fault_message
       FROM views.projection_status s JOIN projections.read_models USING (projection, version)
       WHERE $1::text IS NULL OR tenant = $1 ORDER BY tenant, projection, version`,
      [tenant ?? null],
    );
    const heads = new Map((await headsElsewhere(databases)).map((head) => [head.tenant, head]));
    return rows.map((row) => statusOf(behindElsewhere(row, heads)));
  } catch (error) {
    throw streamError(error);
  }
};

/** A tenant that moved away, from its head as its own server has it; as `views.projection_status` says it of one that is here. */
const behindElsewhere = (row: StatusRow, heads: ReadonlyMap<TenantId, Head>): StatusRow => {
  const head = row.head_seq === null ? heads.get(row.tenant) : undefined;
  if (!head) return row;
  const { as_of_seq: seq, as_of_ms: asOf } = row;
  const lag_seconds = head.seq <= seq ? 0 : asOf === null ? null : (head.recordedAt - asOf) / 1_000;
  return { ...row, head_seq: head.seq, lag_facts: head.seq - seq, lag_seconds, state: stateOf(row, head) };
};

const stateOf = ({ state, as_of_seq: seq, paused }: StatusRow, head: Head): ProjectionStatus['state'] => {
  if (state === 'halted') return state;
  if (head.seq < seq) return 'ahead of ledger';
  if (paused) return 'paused';
  return head.seq === seq ? 'current' : 'behind';
};

const statusOf = (row: StatusRow): ProjectionStatus => ({
  tenant: row.tenant,
  projection: row.projection,
  version: row.version,
  asOfSeq: row.as_of_seq,
  headSeq: row.head_seq ?? row.as_of_seq,
  lagFacts: row.lag_facts ?? 0,
  ...(row.lag_seconds !== null && { lagSeconds: row.lag_seconds }),
  state: row.state,
  build: row.build,
  shown: row.shown,
  ...(row.fault_seq !== null && {
    fault: { seq: row.fault_seq, id: row.fault_id, message: row.fault_message },
  }),
});

/** A fact that a read model has halted at. */
export interface ParkedFact {
  readonly tenant: TenantId;
  readonly projection: string;
  readonly version: number;
  readonly seq: Seq;
  readonly id: string;
  readonly message: string;
}

export interface ParkedQuestion {
  readonly projection?: string | undefined;
  readonly tenant?: TenantId | undefined;
  /** All unless told. */
  readonly limit?: number | undefined;
}

/** Ordered by tenant and read model. Throws `StreamError`. */
export const parkedFacts = async (
  pool: Pool,
  { projection, tenant, limit }: ParkedQuestion = {},
): Promise<readonly ParkedFact[]> => {
  try {
    const { rows } = await pool.query<ParkedFact>(
      `SELECT c.tenant, c.projection, c.version, c.fault_seq AS seq, c.fault_id AS id, c.fault_message AS message
       FROM projections.checkpoints c JOIN projections.read_models m
         ON m.projection = c.projection AND m.version = c.version AND m.live_build = c.build
       WHERE c.status = 'halted' AND ($1::text IS NULL OR c.projection = $1) AND ($2::text IS NULL OR c.tenant = $2)
       ORDER BY 1, 2, 3 LIMIT $3`,
      [projection ?? null, tenant ?? null, limit ?? null],
    );
    return rows;
  } catch (error) {
    throw streamError(error);
  }
};

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
