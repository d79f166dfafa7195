// The end of one try: its time is up, or its caller gives up.

export interface Timeout {
  readonly signal: AbortSignal;
  /** Rejects with the reason when the signal aborts; to be raced. */
  readonly fired: Promise<never>;
  /** The timer must not outlive the try. */
  readonly clear: () => void;
}

// AbortSignal.any is not in every Node 20.
export const timeoutSignal = (ms: number, outer: AbortSignal | undefined): Timeout => {
  const controller = new AbortController();
  const fired = new Promise<never>((_, reject) => {
    controller.signal.addEventListener('abort', () => reject(controller.signal.reason as Error));
  });
  // Where it fires before the race has begun.
  fired.catch(() => undefined);
  const abort = (): void => controller.abort(outer?.reason);
  const timer = setTimeout(() => controller.abort(new Error(`no answer within ${ms} ms`)), ms);
  if (outer?.aborted) abort();
  outer?.addEventListener('abort', abort);
  return {
    signal: controller.signal,
    fired,
    clear: (): void => {
      clearTimeout(timer);
      outer?.removeEventListener('abort', abort);
    },
  };
};
