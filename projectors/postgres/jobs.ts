// The register of jobs: who works on which read model, how far that is, and what it came to, as every process sees it.
// One job of a read model at a time, by an index and not by a look before. A job is its process's for as long as that one
// says that it is alive; of one that fell silent, the job is interrupted, and the next may begin.
import type { Instant, TenantId } from '#schemas/ids.ts';
import { type Pool, streamError, transaction } from '#streams/postgres/connect.ts';
import type { DroppedBuild } from './rebuild/drop.ts';
import type { Unequal } from './rebuild/prove.ts';

export const JOB_KINDS = ['rebuild', 'verification', 'rollback', 'drop-old'] as const;
export type JobKind = (typeof JOB_KINDS)[number];

export interface JobProgress {
  readonly phase: string;
  /** Facts gone through in this phase, of so many; 0 of 0 while that is not known. */
  readonly facts: number;
  readonly total: number;
}

export interface NewJob {
  /** A UUID. */
  readonly id: string;
  readonly projection: string;
  readonly kind: JobKind;
  readonly tenant?: TenantId | undefined;
  /** Who asked for it. */
  readonly actor: string;
  /** The process that runs it. */
  readonly runner: string;
}

export interface JobResult {
  readonly facts?: number;
  readonly rows?: number;
  readonly tenants?: number;
  readonly version?: number;
  /** The table that is in use now. */
  readonly build?: number;
  /** Tenants whose rows are not what the history says. */
  readonly unequal?: readonly Unequal[];
  /** Of a rollback: false when the rows are shown as they were left, since another source made them. */
  readonly current?: boolean;
  readonly dropped?: readonly DroppedBuild[];
}

export interface JobFailure {
  readonly code: string;
  readonly message: string;
}

export type JobEnding =
  | { readonly state: 'done'; readonly result: JobResult }
  | { readonly state: 'failed'; readonly failure: JobFailure }
  | { readonly state: 'cancelled' | 'interrupted' };

export interface Job extends NewJob, JobProgress {
  /** `interrupted`: its process ended or fell silent before the work did. */
  readonly state: 'running' | JobEnding['state'];
  readonly startedAt: Instant;
  /** Of an interrupted one: until when its process was heard of. */
  readonly finishedAt?: Instant;
  /** Who asked for its end. */
  readonly cancelledBy?: string;
  readonly result?: JobResult;
  readonly failure?: JobFailure;
}

/** All throw `StreamError`. */
export interface JobRegister {
  /** The new job, or the one of that read model that is under way. */
  readonly begin: (wanted: NewJob) => Promise<{ readonly begun: boolean; readonly job: Job }>;
  /** Says how far it is and that its process is alive. `lost`: it is not this process's job any more. */
  readonly beat: (id: string, progress: JobProgress) => Promise<'goes-on' | 'cancelled' | 'lost'>;
  /** Changes nothing of a job that has ended. */
  readonly end: (id: string, ending: JobEnding) => Promise<void>;
  /** Asks for its end and answers with the job as it is then; `undefined` when the read model has no such job. */
  readonly cancel: (projection: string, id: string, by: string) => Promise<Job | undefined>;
  readonly find: (projection: string, id: string) => Promise<Job | undefined>;
  /** The last ones, newest first. */
  readonly list: (projection: string) => Promise<readonly Job[]>;
}

/** Jobs of each read model that are kept; older ones go when one is begun. */
export const JOBS_KEPT = 50;
const LEASE_MS = 10_000;

export interface JobRegisterOptions {
  readonly pool: Pool;
  /** How long a process may be silent; 10,000 unless told. */
  readonly leaseMs?: number;
}

export const jobRegister = ({ pool, leaseMs = LEASE_MS }: JobRegisterOptions): JobRegister => ({
  begin: (wanted) => asking(() => begin(pool, wanted, leaseMs)),
  beat: (id, { phase, facts, total }) =>
    asking(async () => {
      const { rows } = await pool.query<{ cancelled: boolean }>(
        `UPDATE projections.jobs SET phase = $2, facts = $3, total = $4, lease_until = clock_timestamp() + $5 * interval '1 millisecond'
         WHERE job = $1 AND state = 'running' RETURNING cancelled_by IS NOT NULL AS cancelled`,
        [id, phase, facts, total, leaseMs],
      );
      const [row] = rows;
      if (!row) return 'lost';
      return row.cancelled ? 'cancelled' : 'goes-on';
    }),
  end: (id, ending) =>
    asking(async () => {
      await pool.query(
        `UPDATE projections.jobs SET state = $2, finished_at = clock_timestamp(), result = $3, failure = $4
         WHERE job = $1 AND state = 'running'`,
        [
          id,
          ending.state,
          ending.state === 'done' ? JSON.stringify(ending.result) : null,
          ending.state === 'failed' ? JSON.stringify(ending.failure) : null,
        ],
      );
    }),
  cancel: (projection, id, by) =>
    asking(async () => {
      await pool.query(
        `UPDATE projections.jobs SET cancelled_by = coalesce(cancelled_by, $3)
         WHERE projection = $1 AND job = $2 AND state = 'running' AND lease_until >= clock_timestamp()`,
        [projection, id, by],
      );
      return (await jobsOf(pool, projection, id))[0];
    }),
  find: (projection, id) => asking(async () => (await jobsOf(pool, projection, id))[0]),
  list: (projection) => asking(() => jobsOf(pool, projection)),
});

const asking = async <T>(work: () => Promise<T>): Promise<T> => {
  try {
    return await work();
  } catch (error) {
    throw streamError(error);
  }
};

const begin = async (
  pool: Pool,
  wanted: NewJob,
  leaseMs: number,
): Promise<{ readonly begun: boolean; readonly job: Job }> => {
  const { id, projection, kind, tenant, actor, runner } = wanted;
  for (;;) {
    const begun = await transaction(pool, async (client) => {
      await client.query(
        `UPDATE projections.jobs SET state = 'interrupted', finished_at = lease_until
         WHERE projection = $1 AND state = 'running' AND lease_until < clock_timestamp()`,
        [projection],
      );
      const { rowCount } = await client.query(
        `INSERT INTO projections.jobs (job, projection, kind, tenant, actor, runner, started_at, lease_until)
         VALUES ($1, $2, $3, $4, $5, $6, clock_timestamp(), clock_timestamp() + $7 * interval '1 millisecond')
         ON CONFLICT (projection) WHERE state = 'running' DO NOTHING`,
        [id, projection, kind, tenant ?? null, actor, runner, leaseMs],
      );
      if (rowCount === 1)
        await client.query(
          `DELETE FROM projections.jobs WHERE job IN
             (SELECT job FROM projections.jobs WHERE projection = $1 ORDER BY started_at DESC OFFSET $2)`,
          [projection, JOBS_KEPT],
        );
      return rowCount === 1;
    });
    const jobs = await jobsOf(pool, projection);
    const job = jobs.find((each) => (begun ? each.id === id : each.state === 'running'));
    // The one in the way may have ended between the two questions.
    if (job) return { begun, job };
  }
};

interface JobRow extends JobProgress {
  readonly job: string;
  readonly projection: string;
  readonly kind: JobKind;
  readonly tenant: TenantId | null;
  readonly actor: string;
  readonly runner: string;
  readonly state: Job['state'];
  readonly started_ms: Instant;
  readonly finished_ms: Instant | null;
  readonly cancelled_by: string | null;
  readonly result: JobResult | null;
  readonly failure: JobFailure | null;
}

/** Newest first; with an id that one at most. A job whose process fell silent is told as interrupted. */
const jobsOf = async (pool: Pool, projection: string, id?: string): Promise<readonly Job[]> => {
  const { rows } = await pool.query<JobRow>(
    `SELECT job, projection, kind, tenant, actor, runner, phase, facts, total, cancelled_by, result, failure,
       CASE WHEN silent THEN 'interrupted' ELSE state END AS state,
       floor(extract(epoch FROM started_at) * 1000)::bigint AS started_ms,
       floor(extract(epoch FROM CASE WHEN silent THEN lease_until ELSE finished_at END) * 1000)::bigint AS finished_ms
     FROM (SELECT *, state = 'running' AND lease_until < clock_timestamp() AS silent FROM projections.jobs
           WHERE projection = $1 AND ($2::uuid IS NULL OR job = $2)) j
     ORDER BY started_at DESC LIMIT $3`,
    [projection, id ?? null, JOBS_KEPT],
  );
  return rows.map(jobOf);
};

const jobOf = (row: JobRow): Job => ({
  id: row.job,
  projection: row.projection,
  kind: row.kind,
  ...(row.tenant !== null && { tenant: row.tenant }),
  actor: row.actor,
  runner: row.runner,
  state: row.state,
  phase: row.phase,
  facts: row.facts,
  total: row.total,
  startedAt: row.started_ms,
  ...(row.finished_ms !== null && { finishedAt: row.finished_ms }),
  ...(row.cancelled_by !== null && { cancelledBy: row.cancelled_by }),
  ...(row.result !== null && { result: row.result }),
  ...(row.failure !== null && { failure: row.failure }),
});
