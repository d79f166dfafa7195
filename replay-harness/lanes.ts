// The threads of a replay, or none: with 0 workers the work is done where the replay runs, step by step.
import { Worker } from 'node:worker_threads';
import type { AnyProjector } from '#projectors/batch.ts';
import type { Seq, TenantId } from '#schemas/ids.ts';
import type { LaneTask, SkippedFacts, StoredSource } from './feed.ts';
import { type Lane, lane, linesChunk } from './lane.ts';
import { type ChunkFolded, type ChunkRead, type FoldOrder } from './lane-messages.ts';
import { storedReader } from './stored-range.ts';
import type { FromLane, LaneSettings, ToLane } from './worker.ts';

export interface LaneThread {
  /** Each is answered in the order of asking. Throws what the thread threw. */
  read(task: LaneTask): Promise<ChunkRead>;
  fold(order: FoldOrder): Promise<ChunkFolded>;
  end(): Promise<void>;
}

export interface LanesOptions {
  readonly workers: number;
  readonly projectors: readonly AnyProjector[];
  readonly batchSize: number;
  readonly showRows: boolean;
  readonly followed: readonly string[];
  readonly skipped: readonly SkippedFacts[];
  readonly starts: ReadonlyMap<TenantId, Seq>;
  readonly stored?: StoredSource | undefined;
}

export const startLanes = ({ workers, ...options }: LanesOptions): readonly LaneThread[] =>
  workers === 0 ? [hereLane(options)] : Array.from({ length: workers }, () => threadLane(options));

// A heap that may grow far keeps its garbage long.
const MEMORY = { maxOldGenerationSizeMb: 192, maxYoungGenerationSizeMb: 48 } as const;

const threadLane = ({ projectors, ...rest }: Omit<LanesOptions, 'workers'>): LaneThread => {
  const settings: LaneSettings = { models: projectors.map(({ name }) => name), ...rest };
  const worker = new Worker(new URL('./worker.ts', import.meta.url), {
    workerData: settings,
    resourceLimits: MEMORY,
  });
  type Waiting = PromiseWithResolvers<never>;
  const waiting: { readonly [Kind in 'read' | 'folded']: Waiting[] } = { read: [], folded: [] };
  let failure: Error | undefined;
  const fail = (error: unknown): void => {
    failure ??= error instanceof Error ? error : new Error(String(error));
    for (const each of [...waiting.read.splice(0), ...waiting.folded.splice(0)]) each.reject(failure);
  };
  worker.on('message', (message: FromLane) => {
    if (message.kind === 'failed') fail(message.error);
    else if (message.kind === 'read') waiting.read.shift()?.resolve(message.read as never);
    else waiting.folded.shift()?.resolve(message.folded as never);
  });
  worker.on('error', fail);
  const exited = new Promise<void>((resolve) => {
    worker.on('exit', () => {
      fail(new Error('a thread of the replay has ended'));
      resolve();
    });
  });
  const ask = async (kind: 'read' | 'folded', message: ToLane, transfer: ArrayBuffer[] = []) => {
    if (failure) throw failure;
    const answer = Promise.withResolvers<never>();
    answer.promise.catch(() => undefined);
    waiting[kind].push(answer);
    worker.postMessage(message, transfer);
    return await answer.promise;
  };
  return {
    read: (task) => ask('read', { kind: 'read', task }, task.kind === 'lines' ? [task.bytes] : []),
    fold: (order) => ask('folded', { kind: 'fold', order }),
    end: async () => {
      if (!failure) worker.postMessage({ kind: 'end' } satisfies ToLane);
      else await worker.terminate();
      await exited;
    },
  };
};

const hereLane = ({ stored, ...options }: Omit<LanesOptions, 'workers'>): LaneThread => {
  const mine: Lane = lane(options);
  const source = stored && storedReader(stored);
  return {
    read: async (task) => {
      if (task.kind === 'lines') return mine.read(linesChunk(task.bytes, task.firstLine));
      if (!source) throw new Error('the replay was not told where the ledger is');
      return mine.read(await source.chunk(task));
    },
    fold: async (order) => mine.fold(order),
    end: async () => {
      await source?.end();
    },
  };
};
