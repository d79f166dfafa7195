// Work that a process exists for, and its end: told to stop, it finishes what is under way, and what it stands on is
// closed after it.
import type { Log } from '../../telemetry/logs.ts';

export interface Drainable {
  /** Settles with the failure when the work ends by itself. */
  readonly failed: Promise<unknown>;
  readonly drain: () => Promise<void>;
}

export interface WorkUnderWay {
  readonly work: Promise<unknown>;
  /** Ends the work. */
  readonly ending: AbortController;
  readonly open: AsyncDisposable;
  readonly log: Log;
}

export const drainable = ({ work, ending, open, log }: WorkUnderWay): Drainable => {
  const failed = Promise.withResolvers<unknown>();
  work.catch((error: unknown) => failed.resolve(error));
  return {
    failed: failed.promise,
    drain: async () => {
      ending.abort();
      await work.catch(() => undefined);
      await open[Symbol.asyncDispose]();
      log('info', 'drained');
    },
  };
};
