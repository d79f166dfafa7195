// Rebuilds and verifications that somebody asked this process for and does not wait for: one of a read model at a time, and
// of each the last one. What a job does outlives its process: a rebuild that ended on the way is gone on with by the next.
import { RebuildError } from '#projectors/rebuild/errors.ts';
import type { Instant, TenantId } from '#schemas/ids.ts';
import { StreamError } from '#streams/errors.ts';
import type { ReadModels, WorkRequest } from './read-models.ts';

export type JobKind = 'rebuild' | 'verification';

export interface Job {
  readonly projection: string;
  readonly kind: JobKind;
  readonly tenant?: TenantId | undefined;
  readonly actor: string;
  readonly startedAt: Instant;
  readonly state: 'running' | 'done' | 'failed';
  readonly phase: string;
  /** Facts gone through in this phase, of so many. */
  readonly facts: number;
  readonly total: number;
  readonly finishedAt?: Instant;
  readonly result?: JobResult;
  readonly failure?: { readonly code: string; readonly message: string };
}

export interface JobResult {
  readonly facts: number;
  readonly rows: number;
  readonly tenants: number;
  /** The table that is in use now. */
  readonly build: number;
  /** Tenants whose rows are not what the history says. */
  readonly unequal: readonly { readonly tenant: TenantId; readonly seq: number; readonly message: string }[];
}

export interface Jobs {
  readonly of: (projection: string) => Job | undefined;
  /** The job that is under way already, or `undefined` when this one was begun. */
  readonly begin: (request: JobRequest) => Job | undefined;
}

export interface JobRequest extends Pick<WorkRequest, 'projection' | 'tenant' | 'actor'> {
  readonly kind: JobKind;
}

export interface JobsOptions {
  readonly readModels: ReadModels;
  readonly clock: () => Instant;
  /** Ends what is under way. */
  readonly ending: AbortSignal;
  /** Told of what failed for no reason that its caller could know of. */
  readonly onFault: (error: unknown) => void;
}

export const projectionJobs = ({ readModels, clock, ending, onFault }: JobsOptions): Jobs => {
  const jobs = new Map<string, Job>();
  const begin = ({ kind, ...request }: JobRequest): Job | undefined => {
    const { projection } = request;
    const before = jobs.get(projection);
    if (before?.state === 'running') return before;
    let job: Job = {
      ...request,
      kind,
      startedAt: clock(),
      state: 'running',
      phase: 'waiting',
      facts: 0,
      total: 0,
    };
    const now = (change: Partial<Job>): void => {
      job = { ...job, ...change };
      jobs.set(projection, job);
    };
    now({});
    const work = { ...request, signal: ending, onProgress: now };
    const done = kind === 'rebuild' ? rebuilt(readModels, work) : verified(readModels, work);
    done.then(
      (result) => now({ state: 'done', finishedAt: clock(), result }),
      (error: unknown) => {
        if (!(error instanceof RebuildError)) onFault(error);
        now({ state: 'failed', finishedAt: clock(), failure: failureOf(error) });
      },
    );
    return undefined;
  };
  return { of: (projection) => jobs.get(projection), begin };
};

const rebuilt = async (models: ReadModels, work: WorkRequest): Promise<JobResult> => {
  const { facts, rows, tenants, build } = await models.rebuild(work);
  return { facts, rows, tenants, build, unequal: [] };
};

const verified = async (models: ReadModels, work: WorkRequest): Promise<JobResult> => {
  const { equal, unequal, build } = await models.verify(work);
  return {
    facts: [...equal, ...unequal].reduce((sum, { seq }) => sum + seq, 0),
    rows: equal.reduce((sum, { rows }) => sum + rows, 0),
    tenants: equal.length + unequal.length,
    build,
    unequal,
  };
};

/** What is no business of the caller's is told to the operator of the process, and named here only. */
const failureOf = (error: unknown): NonNullable<Job['failure']> =>
  error instanceof RebuildError || error instanceof StreamError
    ? { code: error.code, message: error.message }
    : { code: 'internal-error', message: 'it failed in a way that the log of the service tells about' };
