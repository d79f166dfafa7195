// Read models that are not there: what is done about them is held in memory, and work on them ends when the test says so.
import { type Jobs, projectionJobs } from '#gateway/projections/jobs.ts';
import type { Skip } from '#gateway/projections/parked.ts';
import type { ReadModels, WorkRequest } from '#gateway/projections/read-models.ts';
import { projectors } from '#projectors/index.ts';
import type { Seq, TenantId } from '#schemas/ids.ts';
import { heldRegister } from '../projections/held-register.ts';

export interface HeldReadModels extends ReadModels {
  /** Work that was begun and has not been settled. */
  readonly work: { readonly request: WorkRequest; readonly settle: (result: Error | object) => void }[];
  readonly paused: Map<string, string>;
  /** `projection tenant`. */
  readonly halted: Set<string>;
  readonly skipped: Skip[];
}

const FAULT = { seq: 6 as Seq, id: 'f', message: 'no such thing' };

export const heldReadModels = (): HeldReadModels => {
  const names = projectors.map(({ name }) => name);
  const paused = new Map<string, string>();
  const halted = new Set<string>();
  const work: HeldReadModels['work'] = [];
  const skipped: Skip[] = [];
  const begun = (request: WorkRequest): Promise<never> =>
    new Promise((resolve, reject) => {
      const settle = (result: Error | object): void =>
        result instanceof Error ? reject(result) : resolve(result as never);
      request.signal.addEventListener('abort', () => settle(new Error('ended')));
      work.push({ request, settle });
    });
  return {
    names,
    work,
    paused,
    halted,
    skipped,
    lag: async () =>
      names.map((projection) => ({
        projection,
        takenFacts: 7,
        lagFacts: 2,
        lagSecondsMax: 1.5,
        haltedTenants: [...halted].filter((each) => each.startsWith(`${projection} `)).length,
      })),
    status: async (tenant) =>
      names.map((projection) => ({
        tenant,
        projection,
        version: 1,
        asOfSeq: 5 as never,
        headSeq: 7 as never,
        lagFacts: 2,
        state: halted.has(`${projection} ${tenant}`) ? 'halted' : 'behind',
        build: 1,
        shown: true,
        ...(halted.has(`${projection} ${tenant}`) && { fault: FAULT }),
      })),
    pause: async (projection, reason) => {
      const first = !paused.has(projection);
      if (first) paused.set(projection, reason);
      return first;
    },
    resume: async (projection) => paused.delete(projection),
    retry: async (projection, tenant) => halted.delete(`${projection} ${tenant}`),
    parked: async (projection, limit) =>
      [...halted]
        .map((each) => each.split(' ') as [string, TenantId])
        .filter(([name]) => name === projection)
        .slice(0, limit)
        .map(([, tenant]) => ({ tenant, projection, version: 1, ...FAULT })),
    skip: async (skip) => {
      if (!halted.has(`${skip.projection} ${skip.tenant}`)) return { kind: 'not-halted' };
      if (skip.seq !== FAULT.seq) return { kind: 'halted-elsewhere', at: FAULT.seq };
      halted.delete(`${skip.projection} ${skip.tenant}`);
      skipped.push(skip);
      return { kind: 'skipped' };
    },
    rebuild: begun,
    verify: begun,
    rollback: (request) => begun(request as WorkRequest),
    dropOld: async () => [{ version: 1, build: 1 }],
  };
};

export interface HeldProjections {
  readonly readModels: ReadModels;
  readonly jobs: Jobs;
}

/** With the jobs of one process, which says every 5 ms how far they are. */
export const heldProjections = (
  clock: () => number,
  onFault: (error: unknown) => void,
  readModels: ReadModels = heldReadModels(),
): HeldProjections => {
  const register = heldRegister(clock);
  return { readModels, jobs: projectionJobs({ readModels, register, runner: 'here/1', onFault, beatMs: 5 }) };
};
