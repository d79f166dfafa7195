// Bulk import of receipts into one tenant's chain. The main thread reads the file and talks to PostgreSQL; a worker
// parses, checks, seals and folds the next chunk meanwhile. Each chunk is one durable transaction: facts, head,
// signed batch, read models and their checkpoints.
//
// The worker seals ahead on the assumption that nobody else appends. When somebody did, or when receipts turn out to be
// stored already, nothing of that chunk went in: it and the ones behind it are sealed again from the new head.
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { AnyProjector } from '#projectors/batch.ts';
import { inlineRows, inlineStep } from '#projectors/postgres/inline.ts';
import type { Signer } from '#proofs/keys/signer.ts';
import type { Instant, TenantId } from '#schemas/ids.ts';
import { StreamError } from '#streams/errors.ts';
import { type BulkAppender, type BulkResult, bulkAppender } from '#streams/postgres/bulk.ts';
import { type Client, type Pool, withClient } from '#streams/postgres/connect.ts';
import type { StoredHead } from '#streams/postgres/reader.ts';
import { CONFLICT, type LineFault, type SealedChunk } from './chunk-sealer.ts';
import { type LineChunk, lineChunks } from './chunks.ts';
import type { FromWorker, ToWorker, WorkerSettings } from './worker.ts';

export interface ImportOptions {
  readonly pool: Pool;
  readonly ledgerId: string;
  readonly signer: Signer;
  readonly tenant: TenantId;
  /** The NDJSON bytes, decompressed. */
  readonly source: AsyncIterable<Uint8Array>;
  /** Parsed content of a mapping file that `compileMapping` accepts; none when the lines are receipts. */
  readonly mapping?: unknown;
  /** Read models to keep in the same transactions; those that are not at the head are left to the live runner. */
  readonly inline?: readonly AnyProjector[];
  readonly clock?: () => number;
  /** Bytes of the source in one transaction, roughly; 4 MiB unless told. */
  readonly chunkBytes?: number;
  readonly onFault?: (fault: LineFault) => void;
  /** After each durable chunk. `offset` is the place in the source behind it: nothing before it needs to be sent again. */
  readonly onProgress?: (progress: ImportProgress) => void;
  /** Ends the import after the chunk under way. */
  readonly signal?: AbortSignal;
}

export interface ImportProgress {
  readonly offset: number;
  readonly recorded: number;
  /** Receipts that had been recorded before, with the same content. */
  readonly repeated: number;
  /** Lines that did not go in: malformed, or with the id of another receipt. */
  readonly faults: number;
}

export interface ImportSummary extends ImportProgress {
  readonly interrupted: boolean;
  /** Read models that were kept up to the end; the others follow through the live runner. */
  readonly inline: readonly string[];
}

// Chunks sealed ahead of the one being stored: enough to keep both threads busy, few enough to seal again.
const AHEAD = 2;
const LOSSES_BEFORE_LOCKING = 3;
const LOCKED_CHUNKS = 16;
const MAX_INLINE_ROWS = 200_000;

type Sealed = Extract<FromWorker, { kind: 'sealed' }>;

interface Run {
  readonly options: ImportOptions;
  readonly appender: BulkAppender;
  readonly thread: Thread;
  readonly source: AsyncIterator<LineChunk>;
  /** Sent to the worker and not yet answered, oldest first. */
  sent: LineChunk[];
  /** To be sent again, before anything new. */
  backlog: LineChunk[];
  models: readonly AnyProjector[];
  /** Ask for stored ids before sealing: set when some were found, until a chunk has none. */
  check: boolean;
  losses: number;
  /** Chunks still to be stored with the head locked first, because others kept winning. */
  locked: number;
  progress: ImportProgress;
}

/** Imports to the end of the source, or to the signal. Throws `StreamError`, `LineTooLong`, and what the source throws. */
export const importReceipts = async (options: ImportOptions): Promise<ImportSummary> => {
  const appender = bulkAppender(options);
  const head = await appender.head();
  if (!head) throw new StreamError('unexpected', `there is no tenant ${options.tenant}: create it with \`prov-ledger tenant create\``);
  await using thread = startThread({ tenant: options.tenant, tenantNo: head.tenantNo, mapping: options.mapping });
  const run: Run = {
    options,
    appender,
    thread,
    source: lineChunks(options.source, { chunkBytes: options.chunkBytes })[Symbol.asyncIterator](),
    sent: [],
    backlog: [],
    models: options.inline ?? [],
    check: false,
    losses: 0,
    locked: 0,
    progress: { offset: 0, recorded: 0, repeated: 0, faults: 0 },
  };
  await begin(run, head);
  while (run.locked > 0 ? await storeLocked(run) : (await refill(run)) > 0 && (await storeOldest(run)));
  return { ...run.progress, interrupted: options.signal?.aborted ?? false, inline: run.models.map((model) => model.name) };
};

/** Sends chunks until enough are on their way; returns how many are. */
const refill = async (run: Run): Promise<number> => {
  const ahead = run.check ? 0 : AHEAD;
  while (run.sent.length <= ahead && !run.options.signal?.aborted) {
    const chunk = run.backlog.shift() ?? (await nextChunk(run));
    if (!chunk) break;
    await send(run, chunk);
  }
  return run.sent.length;
};

const nextChunk = async ({ source }: Run): Promise<LineChunk | undefined> => {
  const next = await source.next();
  return next.done ? undefined : next.value;
};

const send = async (run: Run, chunk: LineChunk): Promise<void> => {
  const { thread, appender, check, options } = run;
  const at = (options.clock ?? Date.now)() as Instant;
  const batchNo = await appender.nextBatchNo();
  run.sent.push(chunk);
  thread.send({ kind: 'chunk', bytes: chunk.bytes, firstLine: chunk.firstLine, batchNo, at, check }, [chunk.bytes]);
};

/** The worker's result for the oldest chunk on its way; before sealing it is told which receipts are stored already. */
const sealedOldest = async (run: Run): Promise<Stored> => {
  const chunk = run.sent[0] as LineChunk;
  let skipped: readonly LineFault[] = [];
  let skippedCount = 0;
  let answer = await run.thread.next();
  if (answer.kind === 'claims') {
    const found = await compareClaims(run, answer);
    skipped = found.conflicts;
    skippedCount = found.repeated;
    run.check = found.repeated + found.conflicts.length > 0;
    run.thread.send({ kind: 'skip', skip: found.skip });
    answer = await run.thread.next();
  }
  if (answer.kind !== 'sealed') throw new Error(`the worker answered ${answer.kind}`);
  run.sent.shift();
  return { chunk: { ...chunk, bytes: answer.bytes }, answer, skipped, skippedCount };
};

/** Makes the oldest chunk durable, or begins again behind a head that has moved. Always true. */
const storeOldest = async (run: Run): Promise<true> => {
  const stored = await sealedOldest(run);
  const { sealed } = stored.answer;
  const beside = alongside(run, () => sealed);
  const result = sealed.count === 0 ? 'appended' : await run.appender.append(sealed, beside.write);
  await conclude(run, { stored, result, left: beside.left });
  return true;
};

/** As `storeOldest`, sealing behind a head that nobody can move meanwhile. False when there is nothing more. */
const storeLocked = async (run: Run): Promise<boolean> => {
  const chunk = run.options.signal?.aborted ? undefined : (run.backlog.shift() ?? (await nextChunk(run)));
  if (!chunk) return false;
  let stored: Stored | undefined;
  const beside = alongside(run, () => (stored as Stored).answer.sealed);
  const result = await run.appender.appendLocked(async (head) => {
    await begin(run, head);
    await send(run, chunk);
    stored = await sealedOldest(run);
    return stored.answer.sealed;
  }, beside.write);
  run.locked -= 1;
  await conclude(run, { stored: stored as unknown as Stored, result, left: beside.left });
  return true;
};

const conclude = async (run: Run, { stored, result, left }: { readonly stored: Stored; readonly result: BulkResult; readonly left: readonly AnyProjector[] }): Promise<void> => {
  if (result === 'appended') {
    run.losses = 0;
    run.models = run.models.filter((model) => !left.includes(model));
    account(run, stored);
    return;
  }
  if (result === 'id-taken') run.check = true;
  else run.losses += 1;
  if (run.losses >= LOSSES_BEFORE_LOCKING) run.locked = LOCKED_CHUNKS;
  await startAgain(run, stored.chunk);
};

/** Keeps the read models in the chunk's transaction; `left` are those that could not be kept. */
const alongside = (run: Run, sealed: () => SealedChunk) => {
  const left: AnyProjector[] = [];
  const write = async (client: Client): Promise<void> => {
    for (const model of run.models) if (!(await keepInline(run, client, { model, sealed: sealed() }))) left.push(model);
  };
  return { write, left };
};

const keepInline = async ({ options }: Run, client: Client, { model, sealed }: { readonly model: AnyProjector; readonly sealed: SealedChunk }): Promise<boolean> => {
  const made = sealed.inline.find(({ name }) => name === model.name);
  if (!made) return false;
  const { changes, copyRows } = made;
  return await inlineStep(client, { projector: model, tenant: options.tenant, from: sealed.before, to: sealed.after, changes, copyRows });
};

/** Which receipts of a chunk are stored already, and which of those with other content. */
const compareClaims = async ({ appender }: Run, { ids, digests, lines }: Extract<FromWorker, { kind: 'claims' }>) => {
  const claims = await appender.claims(ids);
  const skip = new Uint8Array(ids.length);
  const conflicts: LineFault[] = [];
  let repeated = 0;
  for (const [index, claim] of claims.entries()) {
    if (claim === undefined) continue;
    skip[index] = 1;
    if (claim === digests[index]) repeated += 1;
    else conflicts.push({ line: lines[index] as number, ...CONFLICT });
  }
  return { skip, conflicts, repeated };
};

interface Stored {
  readonly chunk: LineChunk;
  readonly answer: Sealed;
  readonly skipped: readonly LineFault[];
  readonly skippedCount: number;
}

const account = (run: Run, { chunk, answer, skipped, skippedCount }: Stored): void => {
  const { options } = run;
  const faults = [...answer.faults, ...skipped].sort((a, b) => a.line - b.line);
  for (const fault of faults) options.onFault?.(fault);
  run.progress = {
    offset: chunk.endOffset,
    recorded: run.progress.recorded + answer.sealed.count,
    repeated: run.progress.repeated + answer.repeated + skippedCount,
    faults: run.progress.faults + faults.length,
  };
  options.onProgress?.(run.progress);
};

/** Takes back what was sealed ahead, and goes on from the head as it is now. */
const startAgain = async (run: Run, failed: LineChunk): Promise<void> => {
  const back = [failed];
  for (const chunk of run.sent) {
    const answer = await run.thread.next();
    if (answer.kind === 'sealed') back.push({ ...chunk, bytes: answer.bytes });
  }
  run.sent = [];
  run.backlog = [...back, ...run.backlog];
  const head = await run.appender.head();
  if (!head) throw new StreamError('corrupt', `${run.options.tenant}: the tenant's head is gone`);
  await begin(run, head);
};

/** Tells the worker where to go on, with the rows of the read models that stand there too. */
const begin = async (run: Run, head: StoredHead): Promise<void> => {
  const { tenant, pool } = run.options;
  const models = await withClient(pool, async (client) => {
    const standing = [];
    for (const projector of run.models) {
      const rows = await inlineRows(client, { projector, tenant, at: head, maxRows: MAX_INLINE_ROWS });
      if (rows) standing.push({ projector, rows });
    }
    return standing;
  });
  run.models = models.map(({ projector }) => projector);
  const { seq, hash, recordedAt } = head;
  run.thread.send({ kind: 'begin', before: { seq, hash, recordedAt }, models: models.map(({ projector, rows }) => ({ name: projector.name, rows })) });
};

interface Thread extends AsyncDisposable {
  send(message: ToWorker, transfer?: readonly ArrayBuffer[]): void;
  /** The worker's next answer; answers come in the order of what was sent. Throws what the worker threw. */
  next(): Promise<FromWorker>;
}

const startThread = (settings: WorkerSettings): Thread => {
  const worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData: settings });
  const answers: FromWorker[] = [];
  const ended = Promise.withResolvers<never>();
  ended.promise.catch(() => undefined);
  worker.on('message', (message: FromWorker) => answers.push(message));
  worker.on('error', ended.reject);
  worker.on('exit', () => ended.reject(new Error('the importer\'s worker thread has ended')));
  return {
    send: (message, transfer = []) => worker.postMessage(message, transfer),
    next: async () => {
      while (answers.length === 0) await Promise.race([once(worker, 'message'), ended.promise]);
      return answers.shift() as FromWorker;
    },
    [Symbol.asyncDispose]: async () => {
      await worker.terminate();
    },
  };
};
