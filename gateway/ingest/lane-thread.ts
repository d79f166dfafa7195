// One worker thread of the importer, asked one question at a time.
import { Worker } from 'node:worker_threads';
import type { FromWorker, ToWorker, WorkerSettings } from './worker.ts';

// A heap that may grow far keeps its garbage long.
const MEMORY = { maxOldGenerationSizeMb: 192, maxYoungGenerationSizeMb: 64 } as const;

export interface Thread {
  tell(message: ToWorker, transfer: readonly ArrayBuffer[]): void;
  /** The worker's answer. One question at a time. Throws what the worker threw. */
  ask<Answer extends FromWorker>(message: ToWorker, transfer?: readonly ArrayBuffer[]): Promise<Answer>;
  end(): Promise<unknown>;
}

export const startThread = (settings: WorkerSettings): Thread => {
  const worker = new Worker(new URL('./worker.ts', import.meta.url), {
    workerData: settings,
    resourceLimits: MEMORY,
  });
  const ended = Promise.withResolvers<never>();
  ended.promise.catch(() => undefined);
  let answer: ((message: FromWorker) => void) | undefined;
  worker.on('message', (message: FromWorker) => answer?.(message));
  worker.on('error', ended.reject);
  worker.on('exit', () => ended.reject(new Error("one of the importer's worker threads has ended")));
  return {
    tell: (message, transfer) => worker.postMessage(message, transfer),
    ask: async <Answer extends FromWorker>(message: ToWorker, transfer: readonly ArrayBuffer[] = []) => {
      const { promise, resolve } = Promise.withResolvers<FromWorker>();
      answer = resolve;
      worker.postMessage(message, transfer);
      return (await Promise.race([promise, ended.promise])) as Answer;
    },
    end: () => worker.terminate(),
  };
};
