// Nobody waits for ever: a store that does not answer in time is away, as far as a request is concerned. What was asked
// of it goes on. A read that comes too late is nobody's loss; an append that does has been stored all the same, so it is
// answered as in doubt, and found when it is repeated.
import { StreamError } from '#streams/errors.ts';
import type { StreamStore } from '#streams/stream.ts';
import type { Jobs } from '../projections/jobs.ts';
import type { ReadModels } from '../projections/read-models.ts';

/** The same promise, or after so many milliseconds the failure. */
const within = <T>(ms: number, answer: Promise<T>, failure: () => StreamError): Promise<T> =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(failure()), ms);
    const inTime =
      <A>(settle: (answer: A) => void) =>
      (given: A): void => {
        clearTimeout(timer);
        settle(given);
      };
    answer.then(inTime(resolve), inTime(reject));
  });

/** For a question to the store, or to its read models. */
export const readWithin = <T>(ms: number, answer: Promise<T>): Promise<T> =>
  within(ms, answer, () => new StreamError('unavailable', `the store has not answered for ${ms / 1_000} s`));

/** The store, each of whose answers comes within so many milliseconds; of a range, each page. */
export const storeWithin = (ms: number, store: StreamStore): StreamStore => ({
  ...store,
  append: (request) =>
    within(
      ms,
      store.append(request),
      () => new StreamError('in-doubt', `the append has not been answered for ${ms / 1_000} s`),
    ),
  head: (tenant) => readWithin(ms, store.head(tenant)),
  heads: () => readWithin(ms, store.heads()),
  read: (tenant, range) => pagesWithin(ms, store.read(tenant, range)),
  readStream: (tenant, stream) => readWithin(ms, store.readStream(tenant, stream)),
  find: (tenant, id) => readWithin(ms, store.find(tenant, id)),
  proof: (tenant, seq) => readWithin(ms, store.proof(tenant, seq)),
});

/** Questions about read models; what is done to them takes as long as it takes. */
export const readModelsWithin = (ms: number, models: ReadModels): ReadModels => ({
  ...models,
  lag: () => readWithin(ms, models.lag()),
  status: (tenant) => readWithin(ms, models.status(tenant)),
  parked: (projection, limit) => readWithin(ms, models.parked(projection, limit)),
});

/** Questions about jobs. */
export const jobsWithin = (ms: number, jobs: Jobs): Jobs => ({
  ...jobs,
  find: (projection, id) => readWithin(ms, jobs.find(projection, id)),
  list: (projection) => readWithin(ms, jobs.list(projection)),
});

const pagesWithin = async function* <T>(ms: number, pages: AsyncIterable<T>): AsyncGenerator<T> {
  const iterator = pages[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await readWithin(ms, iterator.next());
      if (next.done) return;
      yield next.value;
    }
  } finally {
    // Not waited for: it may be the very page that does not come.
    iterator.return?.().catch(() => undefined);
  }
};
