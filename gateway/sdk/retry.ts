// When to try again: full jitter (each client waits a random part of a doubling time, so that clients which failed
// together do not come back together), never before the service asked for, never after the deadline.

export interface RetryOptions {
  /** From the call of `record` to its last word, in milliseconds: 30,000 unless given. */
  readonly deadlineMs?: number;
  /** The first wait is up to this: 100 unless given. */
  readonly baseMs?: number;
  /** No wait by itself is longer: 5,000 unless given. Retry-After may ask for more. */
  readonly capMs?: number;
}

/** How long to wait behind try `attempt`, which counts from 1. `random` is from 0 to below 1. */
export const waitMs = (
  attempt: number,
  { baseMs = 100, capMs = 5_000 }: RetryOptions,
  { afterMs, random }: { readonly afterMs: number; readonly random: number },
): number => Math.ceil(afterMs + random * Math.min(capMs, baseMs * 2 ** Math.min(attempt - 1, 30)));

/** Resolves after `ms`, or as soon as the signal fires. */
export const pause = (ms: number, signal?: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener('abort', done);
  });
