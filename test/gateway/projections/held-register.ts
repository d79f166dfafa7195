// The register of jobs in memory: what several processes on one database see, for processes that have none.
import { JOBS_KEPT, type Job, type JobRegister } from '#projectors/postgres/jobs.ts';
import type { Instant } from '#schemas/ids.ts';

export interface HeldRegister extends JobRegister {
  /** Newest first. */
  readonly jobs: Job[];
  /** The process of a job falls silent for longer than it may. */
  readonly silence: (id: string) => void;
}

export const heldRegister = (clock: () => number): HeldRegister => {
  const jobs: Job[] = [];
  const at = (): Instant => clock() as Instant;
  const change = (id: string, next: (job: Job) => Partial<Job>): Job | undefined => {
    const index = jobs.findIndex((job) => job.id === id && job.state === 'running');
    const job = jobs[index];
    if (!job) return undefined;
    jobs[index] = { ...job, ...next(job) };
    return jobs[index];
  };
  const find = (projection: string, id: string): Job | undefined =>
    jobs.find((job) => job.projection === projection && job.id === id);
  return {
    jobs,
    silence: (id) => void change(id, () => ({ state: 'interrupted', finishedAt: at() })),
    begin: async (wanted) => {
      const other = jobs.find(
        ({ projection, state }) => projection === wanted.projection && state === 'running',
      );
      if (other) return { begun: false, job: other };
      const job: Job = { ...wanted, state: 'running', phase: 'waiting', facts: 0, total: 0, startedAt: at() };
      jobs.unshift(job);
      return { begun: true, job };
    },
    beat: async (id, { phase, facts, total }) => {
      const job = change(id, () => ({ phase, facts, total }));
      if (!job) return 'lost';
      return job.cancelledBy === undefined ? 'goes-on' : 'cancelled';
    },
    end: async (id, ending) => void change(id, () => ({ ...ending, finishedAt: at() })),
    cancel: async (projection, id, by) => {
      change(id, ({ cancelledBy = by }) => ({ cancelledBy }));
      return find(projection, id);
    },
    find: async (projection, id) => find(projection, id),
    list: async (name) => jobs.filter(({ projection }) => projection === name).slice(0, JOBS_KEPT),
  };
};
