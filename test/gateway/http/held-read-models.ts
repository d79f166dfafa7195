// Read models that are not there: what is done about them is held in memory, and work on them ends when the test says so.
import type { ReadModels, WorkRequest } from '#gateway/projections/read-models.ts';
import { projectors } from '#projectors/index.ts';
import type { Rebuilt } from '#projectors/postgres/rebuild/rebuild.ts';
import type { Verified } from '#projectors/postgres/rebuild/verify.ts';

export interface HeldReadModels extends ReadModels {
  /** Work that was begun and has not been settled. */
  readonly work: { readonly request: WorkRequest; readonly settle: (result: Error | object) => void }[];
  readonly paused: Map<string, string>;
  /** `projection tenant`. */
  readonly halted: Set<string>;
}

export const heldReadModels = (): HeldReadModels => {
  const names = projectors.map(({ name }) => name);
  const paused = new Map<string, string>();
  const halted = new Set<string>();
  const work: HeldReadModels['work'] = [];
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
        ...(halted.has(`${projection} ${tenant}`) && {
          fault: { seq: 6 as never, id: 'f', message: 'no such thing' },
        }),
      })),
    pause: async (projection, reason) => {
      const first = !paused.has(projection);
      if (first) paused.set(projection, reason);
      return first;
    },
    resume: async (projection) => paused.delete(projection),
    retry: async (projection, tenant) => halted.delete(`${projection} ${tenant}`),
    rebuild: (request): Promise<Rebuilt> => begun(request),
    verify: (request): Promise<Verified> => begun(request),
  };
};
