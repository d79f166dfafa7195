// The importer's worker threads. Chunks take the lanes in turn; each is read as soon as it has a lane, and sealed when
// the chunk before it is: what comes out is one chain, in the order of the chunks.
import { Worker } from 'node:worker_threads';
import type { Row } from '#projectors/projector.ts';
import type { ChainPosition } from '#proofs/chain.ts';
import type { Instant } from '#schemas/ids.ts';
import type { LineChunk } from './chunks.ts';
import type { ClaimsMessage, FromWorker, ModelRows, ReadMessage, SealedMessage, SealMessage, ToWorker, WorkerSettings } from './worker.ts';

/** Behind what a chunk is sealed, and with which read models kept. */
export interface SealStart {
  readonly before: ChainPosition;
  readonly models: readonly ModelRows[];
}

export interface Job {
  readonly chunk: LineChunk;
  /** Only of chunks for which claims were asked. */
  readonly claims: Promise<ClaimsMessage> | undefined;
  readonly sealed: Promise<SealedMessage>;
}

export interface JobRequest {
  readonly chunk: LineChunk;
  readonly at: Instant;
  readonly batchNo: number;
  /** Looks up which receipts are stored already, before the chunk is sealed. */
  readonly skip?: (claims: ClaimsMessage) => Promise<Uint8Array>;
}

export interface Lanes extends AsyncDisposable {
  /** Chunks that can be on their way at once. */
  readonly count: number;
  /** Forgets what was sealed: the next chunk goes behind this. All jobs must have ended. */
  restart(start: SealStart): void;
  /** Starts on a chunk. Its lane must be free: at most `count` jobs may be unsealed. */
  start(request: JobRequest): Job;
}

interface Lane {
  readonly thread: Thread;
  /** Number of the last job whose rows this lane knows. */
  known: number;
}

interface Sealed {
  readonly position: ChainPosition;
  readonly names: readonly string[];
}

export const startLanes = (settings: WorkerSettings, count: number): Lanes => {
  const lanes: Lane[] = Array.from({ length: count }, () => ({ thread: startThread(settings), known: -1 }));
  let jobs = 0;
  let first = 0;
  let rows: readonly ModelRows[] = [];
  /** The rows that each job changed, until every lane knows them. */
  let changes: { readonly job: number; readonly rows: readonly ModelRows[] }[] = [];
  let last: Promise<Sealed> = Promise.reject(new Error('the lanes were not told where to begin'));
  last.catch(() => undefined);

  /** All rows that the lane must learn to seal job number `job`. */
  const unknownTo = (lane: Lane, names: readonly string[]): Pick<SealMessage, 'models' | 'anew'> => {
    const anew = lane.known < first;
    const news = changes.filter((change) => change.job > lane.known || anew).flatMap((change) => change.rows);
    const models = names.map((name) => {
      const merged = new Map<string, Row>(anew ? rows.find((model) => model.name === name)?.rows : []);
      for (const model of news) if (model.name === name) for (const [key, row] of model.rows) merged.set(key, row);
      return { name, rows: merged };
    });
    return { models, anew };
  };

  const sealIn = async (lane: Lane, job: number, { before, skip, request }: { before: Sealed; skip: Uint8Array | undefined; request: JobRequest }): Promise<SealedMessage> => {
    const message = { kind: 'seal', before: before.position, batchNo: request.batchNo, at: request.at, skip, ...unknownTo(lane, before.names) } as const;
    const answer = lane.thread.ask<SealedMessage>(message);
    lane.known = job;
    const sealed = await answer;
    changes.push({ job, rows: sealed.sealed.inline.map(({ name, changes: made }) => ({ name, rows: made.upserts as ReadonlyMap<string, Row> })) });
    const slowest = Math.min(...lanes.map((each) => each.known));
    changes = changes.filter((change) => change.job > slowest);
    return sealed;
  };

  return {
    count,
    restart: ({ before, models }) => {
      first = jobs;
      rows = models;
      changes = [];
      last = Promise.resolve({ position: before, names: models.map((model) => model.name) });
    },
    start: (request) => {
      const job = jobs++;
      const lane = lanes[job % count] as Lane;
      const { chunk, at, skip } = request;
      const message: ReadMessage = { kind: 'read', bytes: chunk.bytes, firstLine: chunk.firstLine, at, claims: skip !== undefined };
      const claims = skip ? lane.thread.ask<ClaimsMessage>(message, [chunk.bytes]) : undefined;
      if (!claims) lane.thread.tell(message, [chunk.bytes]);
      const previous = last;
      const sealed = (async () => {
        const before = await previous;
        return await sealIn(lane, job, { before, skip: claims && skip ? await skip(await claims) : undefined, request });
      })();
      // Whoever waits for the job hears of its failure; when nobody does, the import has failed already.
      sealed.catch(() => undefined);
      claims?.catch(() => undefined);
      last = sealed.then(async ({ sealed: { after, inline } }) => ({ position: after, names: inline.map((each) => each.name) }));
      last.catch(() => undefined);
      return { chunk, claims, sealed };
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all(lanes.map(({ thread }) => thread.end()));
    },
  };
};

// A heap that may grow far keeps its garbage long.
const MEMORY = { maxOldGenerationSizeMb: 192, maxYoungGenerationSizeMb: 32 } as const;

interface Thread {
  tell(message: ToWorker, transfer: readonly ArrayBuffer[]): void;
  /** The worker's answer. One question at a time. Throws what the worker threw. */
  ask<Answer extends FromWorker>(message: ToWorker, transfer?: readonly ArrayBuffer[]): Promise<Answer>;
  end(): Promise<unknown>;
}

const startThread = (settings: WorkerSettings): Thread => {
  const worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData: settings, resourceLimits: MEMORY });
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
