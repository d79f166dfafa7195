// A source that is pulled, and taken as a group commit takes: while one group is on its way the next one gathers. Credits
// bound it: nothing is pulled from the source before something pulled earlier has been taken.
import { concatMap, EMPTY, lastValueFrom, merge, range, Subject, takeWhile, tap } from 'rxjs';

export interface PullOptions<T, P> {
  /** Items pulled and not yet taken, at most. */
  readonly ahead: number;
  /** Makes an item ready as soon as it is pulled, while those before it are on their way. */
  readonly prepare: (item: T) => P;
  /** Takes all that are ready, in their order; called again once its promise has settled. */
  readonly take: (items: readonly P[]) => Promise<void>;
  readonly signal: AbortSignal;
}

/**
 * `open` is given a signal that ends the source: the caller's, or a failure. Resolves when the source has ended and
 * everything is taken; rejects with the first failure of the source, `prepare` or `take`.
 */
export const pullTogether = async <T, P>(
  open: (signal: AbortSignal) => AsyncIterable<T>,
  { ahead, prepare, take, signal }: PullOptions<T, P>,
): Promise<void> => {
  const failed = new AbortController();
  const iterator = open(AbortSignal.any([signal, failed.signal]))[Symbol.asyncIterator]();
  const credits = new Subject<void>();
  const ready: P[] = [];
  const takeReady = async (): Promise<void> => {
    const group = ready.splice(0);
    await take(group);
    for (const _ of group) credits.next();
  };
  const course = merge(range(ahead), credits).pipe(
    concatMap(() => iterator.next()),
    takeWhile(({ done }) => done !== true),
    tap(({ value }) => ready.push(prepare(value as T))),
    // An item that went with the group before it finds nothing left to do.
    concatMap(() => (ready.length === 0 ? EMPTY : takeReady())),
  );
  try {
    await lastValueFrom(course, { defaultValue: undefined });
  } finally {
    failed.abort();
    await iterator.return?.();
  }
};
