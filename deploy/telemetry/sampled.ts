// A figure that must be asked for, kept for whoever scrapes: the page is answered at once, also when the database is
// away, and no number of scrapers asks the database more often. What could not be asked is unknown, not the last value.
import { setTimeout as pause } from 'node:timers/promises';

export interface Sampled<T> extends AsyncDisposable {
  readonly latest: () => T | undefined;
}

export const sampled = <T>(ask: () => Promise<T>, everyMs: number): Sampled<T> => {
  const ending = new AbortController();
  let latest: T | undefined;
  const loop = async (): Promise<void> => {
    while (!ending.signal.aborted) {
      latest = await ask().catch(() => undefined);
      await pause(everyMs, undefined, { signal: ending.signal, ref: false }).catch(() => undefined);
    }
  };
  const looping = loop();
  return {
    latest: () => latest,
    [Symbol.asyncDispose]: async () => {
      ending.abort();
      await looping;
    },
  };
};
