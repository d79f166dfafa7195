// A thread of the replay: reads chunks as they come, and folds each when it is told where the one before it ended.
import { setImmediate } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { projectors as all } from '#projectors/index.ts';
import type { Seq, TenantId } from '#schemas/ids.ts';
import type { LaneChunk } from './arrivals.ts';
import type { LaneTask, SkippedFacts, StoredSource } from './feed.ts';
import { lane, linesChunk } from './lane.ts';
import { type ChunkFolded, type ChunkRead, type FoldOrder } from './lane-messages.ts';
import { type StoredReader, storedReader } from './stored-range.ts';

export interface LaneSettings {
  /** Names of the read models, in the order that `model` counts them. */
  readonly models: readonly string[];
  readonly batchSize: number;
  readonly showRows: boolean;
  readonly followed: readonly string[];
  readonly skipped: readonly SkippedFacts[];
  readonly starts: ReadonlyMap<TenantId, Seq>;
  readonly stored?: StoredSource | undefined;
}

export type ToLane =
  | { readonly kind: 'read'; readonly task: LaneTask }
  | { readonly kind: 'fold'; readonly order: FoldOrder }
  | { readonly kind: 'end' };

export type FromLane =
  | { readonly kind: 'read'; readonly read: ChunkRead }
  | { readonly kind: 'folded'; readonly folded: ChunkFolded }
  | { readonly kind: 'failed'; readonly error: unknown };

const port = parentPort;
if (!port) throw new Error('replay-harness/worker.ts runs in a worker thread only');
const { models, batchSize, showRows, followed, skipped, starts, stored } = workerData as LaneSettings;
const mine = lane({
  projectors: models.map((name) => {
    const projector = all.find((each) => each.name === name);
    if (!projector) throw new Error(`there is no read model ${name}`);
    return projector;
  }),
  batchSize,
  showRows,
  followed,
  skipped,
  starts,
});
const source: StoredReader | undefined = stored && storedReader(stored);

const send = (message: FromLane, transfer: ArrayBuffer[] = []): void => port.postMessage(message, transfer);

const chunkOf = async (task: LaneTask): Promise<LaneChunk> => {
  if (task.kind === 'lines') return linesChunk(task.bytes, task.firstLine);
  if (!source) throw new Error('the thread was not told where the ledger is');
  return await source.chunk(task);
};

// A range of a store is on its way while the chunk before it is worked on; chunks are read in their order.
let last: Promise<void> = Promise.resolve();

const read = (task: LaneTask): void => {
  const coming = chunkOf(task);
  coming.catch(() => undefined);
  last = last.then(async () => {
    try {
      const chunk = await coming;
      // Folds that were ordered meanwhile go first: the whole replay waits for them.
      await setImmediate();
      const done = mine.read(chunk);
      const transfer = [
        ...done.segments.map(({ digests }) => digests.buffer),
        ...done.inserted.map(({ hashes }) => hashes.buffer),
      ];
      send({ kind: 'read', read: done }, transfer);
    } catch (error) {
      send({ kind: 'failed', error });
    }
  });
};

port.on('message', (message: ToLane) => {
  switch (message.kind) {
    case 'read':
      read(message.task);
      break;
    case 'fold':
      try {
        send({ kind: 'folded', folded: mine.fold(message.order) });
      } catch (error) {
        send({ kind: 'failed', error });
      }
      break;
    case 'end':
      void last.then(() => source?.end()).finally(() => port.close());
      break;
    default:
      message satisfies never;
  }
});
