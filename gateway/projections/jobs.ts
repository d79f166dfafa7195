// Work on read models that somebody asked for and does not wait for. This process runs what it was asked for, and writes
// into the register how far it is: every other process answers for it, and may ask for its end. What a job does outlives
// its process: a rebuild that ended on the way is gone on with by the next.
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type {
  Job,
  JobEnding,
  JobProgress,
  JobRegister,
  JobResult,
  NewJob,
} from '#projectors/postgres/jobs.ts';
import { RebuildError } from '#projectors/rebuild/errors.ts';
import { StreamError } from '#streams/errors.ts';
import type { ReadModels, WorkRequest } from './read-models.ts';

export type JobRequest = Omit<NewJob, 'id' | 'runner'>;

/** Disposing ends what this process runs, and waits until the register says so. All throw `StreamError`. */
export interface Jobs extends Pick<JobRegister, 'cancel' | 'find' | 'list'>, AsyncDisposable {
  /** The job that was begun, or the one of that read model that is under way. */
  readonly begin: (request: JobRequest) => ReturnType<JobRegister['begin']>;
}

export interface JobsOptions {
  readonly readModels: ReadModels;
  readonly register: JobRegister;
  /** This process, for whoever looks for it. */
  readonly runner: string;
  /** Told of what failed for no reason that its caller could know of. */
  readonly onFault: (error: unknown) => void;
  /** How often the register is told; 1,000 unless told. */
  readonly beatMs?: number;
}

const BEAT_MS = 1_000;
/** How often the end of a job is written again where the store does not take it: for a minute. */
const WRITE_ATTEMPTS = 60;

export const projectionJobs = (options: JobsOptions): Jobs => {
  const { register, runner } = options;
  const closing = new AbortController();
  const running = new Set<Promise<void>>();
  return {
    find: register.find,
    list: register.list,
    cancel: register.cancel,
    begin: async (request) => {
      const answer = await register.begin({ ...request, id: randomUUID(), runner });
      if (answer.begun) {
        const run = runJob(options, answer.job, closing.signal);
        running.add(run);
        void run.finally(() => running.delete(run));
      }
      return answer;
    },
    [Symbol.asyncDispose]: async () => {
      closing.abort('interrupted' satisfies Stop);
      await Promise.all(running);
    },
  };
};

/** Why a job is ended before its work is done: the reason that its signal carries. */
type Stop = 'cancelled' | 'lost' | 'interrupted';

const runJob = async (options: JobsOptions, job: Job, closing: AbortSignal): Promise<void> => {
  const stopping = new AbortController();
  const over = new AbortController();
  const signal = AbortSignal.any([closing, stopping.signal]);
  let progress: JobProgress = job;
  const onProgress = (now: JobProgress): void => {
    progress = now;
  };
  const { projection, tenant, actor, kind } = job;
  const ending = resultOf(options.readModels, kind, { projection, tenant, actor, signal, onProgress })
    .then(
      (result): JobEnding => ({ state: 'done', result }),
      (error: unknown) => endingOf(error, signal.reason as Stop | undefined, options.onFault),
    )
    .finally(() => over.abort());
  await beating(options, job, {
    progress: () => progress,
    over: over.signal,
    stop: (why) => stopping.abort(why),
  });
  await writeEnding(options, job, { progress, ending: await ending, closing });
};

interface Beating {
  readonly progress: () => JobProgress;
  readonly over: AbortSignal;
  readonly stop: (why: Stop) => void;
}

/** Until the work is over, which a job that is ended has to come to by itself. */
const beating = async (
  { register, beatMs = BEAT_MS }: JobsOptions,
  { id }: Job,
  { progress, over, stop }: Beating,
): Promise<void> => {
  for (;;) {
    await pause(beatMs, undefined, { signal: over }).catch(() => undefined);
    if (over.aborted) return;
    // A store that is away is met by the work itself, which says so.
    const heard = await register.beat(id, progress()).catch(() => 'goes-on' as const);
    if (heard !== 'goes-on') stop(heard);
  }
};

interface Ended {
  readonly progress: JobProgress;
  readonly ending: JobEnding;
  readonly closing: AbortSignal;
}

/**
 * Until the store has it: what came of an hour's work is not lost for a server that is away for a moment. A process that
 * ends does not wait for that; its silence says that the job is interrupted.
 */
const writeEnding = async (
  { register, onFault, beatMs = BEAT_MS }: JobsOptions,
  { id }: Job,
  { progress, ending, closing }: Ended,
): Promise<void> => {
  for (let attempt = 1; ; attempt += 1) {
    try {
      if ((await register.beat(id, progress)) !== 'lost') await register.end(id, ending);
      return;
    } catch (error) {
      if (closing.aborted || attempt === WRITE_ATTEMPTS) return onFault(error);
      await pause(beatMs);
    }
  }
};

const resultOf = async (models: ReadModels, kind: Job['kind'], request: WorkRequest): Promise<JobResult> => {
  switch (kind) {
    case 'rebuild': {
      const { facts, rows, tenants, version, build } = await models.rebuild(request);
      return { facts, rows, tenants, version, build, unequal: [] };
    }
    case 'verification': {
      const { equal, unequal, build } = await models.verify(request);
      return {
        facts: [...equal, ...unequal].reduce((sum, { seq }) => sum + seq, 0),
        rows: equal.reduce((sum, { rows }) => sum + rows, 0),
        tenants: equal.length + unequal.length,
        build,
        unequal,
      };
    }
    case 'rollback': {
      request.onProgress({ phase: 'catching up', facts: 0, total: 0 });
      const { to, current } = await models.rollback(request);
      return { version: to.version, build: to.build, current };
    }
    case 'drop-old':
      request.onProgress({ phase: 'dropping', facts: 0, total: 0 });
      return { dropped: await models.dropOld(request.projection) };
    default:
      return kind satisfies never;
  }
};

/** Of work that did not come to its end. What is no business of the caller's is told to the operator of the process. */
const endingOf = (error: unknown, stop: Stop | undefined, onFault: JobsOptions['onFault']): JobEnding => {
  if (stop === 'cancelled') return { state: 'cancelled' };
  if (stop !== undefined) return { state: 'interrupted' };
  if (!(error instanceof RebuildError)) onFault(error);
  if (error instanceof RebuildError || error instanceof StreamError)
    return { state: 'failed', failure: { code: error.code, message: error.message } };
  const message = 'it failed in a way that the log of the service tells about';
  return { state: 'failed', failure: { code: 'internal-error', message } };
};
