// The importer's worker threads. Chunks take the lanes in turn; each is read as soon as it has a lane, and sealed when
// the chunk before it is: what comes out is one chain, in the order of the chunks.
import type { Row } from '#projectors/projector.ts';
import type { ChainPosition } from '#proofs/chain.ts';
import type { Instant } from '#schemas/ids.ts';
import type { LineChunk } from './chunks.ts';
import { startThread, type Thread } from './lane-thread.ts';
import type {
  ClaimsMessage,
  ModelRows,
  ReadMessage,
  SealedMessage,
  SealMessage,
  WorkerSettings,
} from './worker.ts';

/** Behind what a chunk is sealed, and with which read models kept. */
export interface SealStart {
  readonly before: ChainPosition;
  readonly models: readonly ModelRows[];
}

export interface Job {
  readonly chunk: LineChunk;
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
  /** Number of the last job whose rows this lane knows; -1 before the first. */
  known: number;
}

interface Sealed {
  readonly position: ChainPosition;
  readonly names: readonly string[];
}

export const startLanes = (settings: WorkerSettings, count: number): Lanes => {
  const lanes: Lane[] = Array.from({ length: count }, () => ({ thread: startThread(settings), known: -1 }));
  const news = modelNews(lanes);
  let jobs = 0;
  let last: Promise<Sealed> = Promise.reject(new Error('the lanes were not told where to begin'));
  last.catch(() => undefined);
  return {
    count,
    restart: ({ before, models }) => {
      news.restart(jobs, models);
      last = Promise.resolve({ position: before, names: models.map((model) => model.name) });
    },
    start: (request) => {
      const job = jobs++;
      const previous = last;
      const started = startJob(lanes[job % count] as Lane, { job, request, previous, news });
      last = started.sealed.then(({ sealed: { after, inline } }) => ({
        position: after,
        names: inline.map((each) => each.name),
      }));
      last.catch(() => undefined);
      return started;
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all(lanes.map(({ thread }) => thread.end()));
    },
  };
};

interface Starting {
  readonly job: number;
  readonly request: JobRequest;
  /** Where the chunk before it ends. */
  readonly previous: Promise<Sealed>;
  readonly news: ModelNews;
}

const startJob = (lane: Lane, { job, request, previous, news }: Starting): Job => {
  const { chunk, at, batchNo, skip } = request;
  const { bytes, firstLine } = chunk;
  const message: ReadMessage = { kind: 'read', bytes, firstLine, at, claims: skip !== undefined };
  const claims = skip && lane.thread.ask<ClaimsMessage>(message, [bytes]);
  if (!claims) lane.thread.tell(message, [bytes]);
  const seal = async (): Promise<SealedMessage> => {
    const { position, names } = await previous;
    const stored = claims && (await skip?.(await claims));
    const models = news.unknownTo(lane, names);
    const answer = lane.thread.ask<SealedMessage>({
      kind: 'seal',
      before: position,
      batchNo,
      at,
      skip: stored,
      ...models,
    });
    lane.known = job;
    const message = await answer;
    news.add(job, message);
    return message;
  };
  const sealed = seal();
  // Whoever waits for the job hears of its failure; when nobody does, the import has failed already.
  sealed.catch(() => undefined);
  claims?.catch(() => undefined);
  return { chunk, sealed };
};

/** The rows of the read models, as each lane must learn them: each folds on from where another one stopped. */
interface ModelNews {
  /** From job number `first` on, these are all rows there are. */
  restart(first: number, rows: readonly ModelRows[]): void;
  /** What a job changed. */
  add(job: number, message: SealedMessage): void;
  /** What a lane has not been told yet of the read models named. */
  unknownTo(lane: Lane, names: readonly string[]): Pick<SealMessage, 'models' | 'anew'>;
}

const modelNews = (lanes: readonly Lane[]): ModelNews => {
  let first = 0;
  let rows: readonly ModelRows[] = [];
  let changes: { readonly job: number; readonly rows: readonly ModelRows[] }[] = [];
  return {
    restart: (from, all) => {
      first = from;
      rows = all;
      changes = [];
    },
    add: (job, { sealed }) => {
      const changed = sealed.inline.map(({ name, changes: made }) => ({ name, rows: made.upserts }));
      changes.push({ job, rows: changed });
      const slowest = Math.min(...lanes.map((lane) => lane.known));
      // A lane that has had no job since the restart still needs every change.
      changes = changes.filter((change) => change.job > slowest || slowest < first);
    },
    unknownTo: ({ known }, names) => {
      const anew = known < first;
      const news = changes.filter((change) => change.job > known).flatMap((change) => change.rows);
      const models = names.map((name) => {
        const merged = new Map<string, Row>(anew ? rows.find((model) => model.name === name)?.rows : []);
        for (const model of news) {
          if (model.name === name) for (const [key, row] of model.rows) merged.set(key, row);
        }
        return { name, rows: merged };
      });
      return { models, anew };
    },
  };
};
