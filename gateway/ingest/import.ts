// Bulk import of receipts into one tenant's chain. The main thread reads the file and talks to PostgreSQL; two workers
// parse, check, seal and fold the next chunks meanwhile. Each chunk is one durable transaction: facts, head,
// signed batch, read models and their checkpoints.
//
// The workers seal ahead on the assumption that nobody else appends. When somebody did, or when receipts turn out to be
// stored already, nothing of that chunk went in: it and the ones behind it are sealed again from the new head.
import type { AnyProjector } from '#projectors/batch.ts';
import type { BuildRef, SourceDigests } from '#projectors/postgres/builds.ts';
import { inlineRows, inlineStep } from '#projectors/postgres/inline.ts';
import type { Signer } from '#proofs/keys/signer.ts';
import type { Instant, TenantId } from '#schemas/ids.ts';
import { StreamError } from '#streams/errors.ts';
import { type BulkAppender, type BulkResult, bulkAppender } from '#streams/postgres/bulk.ts';
import { type Client, type Pool, withClient } from '#streams/postgres/connect.ts';
import type { StoredHead } from '#streams/postgres/reader.ts';
import { CONFLICT, type LineFault, type SealedChunk } from './chunk-sealer.ts';
import { type LineChunk, lineChunks } from './chunks.ts';
import { type Job, type Lanes, startLanes } from './lanes.ts';
import type { ClaimsMessage, SealedMessage } from './worker.ts';

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
  /** Of those: what another source made is left to the live runner. */
  readonly sources?: SourceDigests | undefined;
  readonly clock?: () => number;
  /** Bytes of the source in one transaction, roughly; 1 MiB unless told. */
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

const LANES = 2;
const LOSSES_BEFORE_LOCKING = 3;
const LOCKED_CHUNKS = 64;
const MAX_INLINE_ROWS = 200_000;

interface Run {
  readonly options: ImportOptions;
  readonly appender: BulkAppender;
  readonly lanes: Lanes;
  readonly source: AsyncIterator<LineChunk>;
  /** Chunks on their way, oldest first. */
  jobs: Underway[];
  /** To be sent again, before anything new. */
  backlog: LineChunk[];
  models: readonly AnyProjector[];
  /** Where their rows stand. */
  readonly builds: Map<AnyProjector, BuildRef>;
  /** Ask for stored ids before sealing: set when some were found, until a chunk has none. */
  check: boolean;
  losses: number;
  /** Chunks still to be stored with the head locked first, because others kept winning. */
  locked: number;
  progress: ImportProgress;
}

interface Underway extends Job {
  /** What the look-up of stored ids found; empty when there was none. */
  readonly found: Found;
}

interface Found {
  conflicts: LineFault[];
  repeated: number;
}

/** Imports to the end of the source, or to the signal. Throws `StreamError`, `LineTooLong`, and what the source throws. */
export const importReceipts = async (options: ImportOptions): Promise<ImportSummary> => {
  const appender = bulkAppender(options);
  const head = await appender.head();
  if (!head)
    throw new StreamError(
      'unexpected',
      `there is no tenant ${options.tenant}: create it with \`prov-ledger tenant create\``,
    );
  await using lanes = startLanes(
    { tenant: options.tenant, tenantNo: head.tenantNo, mapping: options.mapping },
    LANES,
  );
  const run: Run = {
    options,
    appender,
    lanes,
    source: lineChunks(options.source, { chunkBytes: options.chunkBytes })[Symbol.asyncIterator](),
    jobs: [],
    backlog: [],
    models: options.inline ?? [],
    builds: new Map(),
    check: false,
    losses: 0,
    locked: 0,
    progress: { offset: 0, recorded: 0, repeated: 0, faults: 0 },
  };
  await begin(run, head);
  while (run.locked > 0 ? await storeLocked(run) : (await refill(run)) > 0 && (await storeOldest(run)));
  return {
    ...run.progress,
    interrupted: options.signal?.aborted ?? false,
    inline: run.models.map((model) => model.name),
  };
};

/** Starts chunks until enough are on their way; returns how many are. */
const refill = async (run: Run): Promise<number> => {
  const most = run.check ? 1 : run.lanes.count;
  while (run.jobs.length < most && !run.options.signal?.aborted) {
    const chunk = await nextChunk(run);
    if (!chunk) break;
    await start(run, chunk);
  }
  return run.jobs.length;
};

const nextChunk = async ({ source, backlog }: Run): Promise<LineChunk | undefined> => {
  const again = backlog.shift();
  if (again) return again;
  const next = await source.next();
  return next.done ? undefined : next.value;
};

const start = async (run: Run, chunk: LineChunk): Promise<void> => {
  const at = (run.options.clock ?? Date.now)() as Instant;
  const batchNo = await run.appender.nextBatchNo();
  const found: Found = { conflicts: [], repeated: 0 };
  const skip = run.check ? { skip: (claims: ClaimsMessage) => compareClaims(run, claims, found) } : {};
  run.jobs.push({ ...run.lanes.start({ chunk, at, batchNo, ...skip }), found });
};

/** Which receipts of a chunk are stored already, and which of those with other content. */
const compareClaims = async (
  run: Run,
  { ids, digests, lines }: ClaimsMessage,
  found: Found,
): Promise<Uint8Array> => {
  const claims = await run.appender.claims(ids);
  const skip = new Uint8Array(ids.length);
  for (const [index, claim] of claims.entries()) {
    if (claim === undefined) continue;
    skip[index] = 1;
    if (claim === digests[index]) found.repeated += 1;
    else found.conflicts.push({ line: lines[index] as number, ...CONFLICT });
  }
  run.check = found.repeated + found.conflicts.length > 0;
  return skip;
};

/** Makes the oldest chunk durable, or begins again behind a head that has moved. Always true. */
const storeOldest = async (run: Run): Promise<true> => {
  const job = run.jobs[0] as Underway;
  const answer = await job.sealed;
  run.jobs.shift();
  // Its lane is free now: the next chunk is read while this one is stored.
  const next = run.check ? undefined : refill(run);
  next?.catch(() => undefined);
  const beside = alongside(run, () => answer.sealed);
  const result =
    answer.sealed.count === 0 ? 'appended' : await run.appender.append(answer.sealed, beside.write);
  await next;
  await conclude(run, { stored: { job, answer }, result, left: beside.left });
  return true;
};

/** As `storeOldest`, sealing behind a head that nobody can move meanwhile. False when there is nothing more. */
const storeLocked = async (run: Run): Promise<boolean> => {
  const chunk = run.options.signal?.aborted ? undefined : await nextChunk(run);
  if (!chunk) return false;
  let stored: Stored | undefined;
  const beside = alongside(run, () => (stored as Stored).answer.sealed);
  const result = await run.appender.appendLocked(async (head) => {
    await begin(run, head);
    await start(run, chunk);
    const job = run.jobs.shift() as Underway;
    stored = { job, answer: await job.sealed };
    return stored.answer.sealed;
  }, beside.write);
  run.locked -= 1;
  await conclude(run, { stored: stored as unknown as Stored, result, left: beside.left });
  return true;
};

interface Stored {
  readonly job: Underway;
  readonly answer: SealedMessage;
}

interface Conclusion {
  readonly stored: Stored;
  readonly result: BulkResult;
  /** Read models that could not be kept in the transaction. */
  readonly left: readonly AnyProjector[];
}

const conclude = async (run: Run, { stored, result, left }: Conclusion): Promise<void> => {
  if (result === 'appended') {
    run.losses = 0;
    run.models = run.models.filter((model) => !left.includes(model));
    account(run, stored);
    release(stored.answer);
    return;
  }
  if (result === 'id-taken') run.check = true;
  else run.losses += 1;
  if (run.losses >= LOSSES_BEFORE_LOCKING) run.locked = LOCKED_CHUNKS;
  await startAgain(run, { ...stored.job.chunk, bytes: stored.answer.bytes });
};

/** Gives the memory of a stored chunk back at once: the main thread has little else to collect, and would keep it long. */
const release = ({ bytes, sealed: { rows, digests, inline } }: SealedMessage): void => {
  for (const buffer of [bytes, rows.buffer, digests.buffer]) buffer.transfer(0);
  for (const { copyRows } of inline) copyRows?.buffer.transfer(0);
};

/** Keeps the read models in the chunk's transaction; `left` are those that could not be kept. */
const alongside = (run: Run, sealed: () => SealedChunk) => {
  const left: AnyProjector[] = [];
  const write = async (client: Client): Promise<void> => {
    for (const model of run.models)
      if (!(await keepInline(run, client, { model, sealed: sealed() }))) left.push(model);
  };
  return { write, left };
};

const keepInline = async (
  { options, builds }: Run,
  client: Client,
  { model, sealed }: { readonly model: AnyProjector; readonly sealed: SealedChunk },
): Promise<boolean> => {
  const made = sealed.inline.find(({ name }) => name === model.name);
  if (!made) return false;
  const { changes, copyRows } = made;
  return await inlineStep(client, {
    projector: model,
    tenant: options.tenant,
    build: builds.get(model) as BuildRef,
    from: sealed.before,
    to: sealed.after,
    changes,
    copyRows,
  });
};

const account = (run: Run, { job: { chunk, found }, answer }: Stored): void => {
  const { options } = run;
  const faults = [...answer.faults, ...found.conflicts].sort((a, b) => a.line - b.line);
  for (const fault of faults) options.onFault?.(fault);
  run.progress = {
    offset: chunk.endOffset,
    recorded: run.progress.recorded + answer.sealed.count,
    repeated: run.progress.repeated + answer.repeated + found.repeated,
    faults: run.progress.faults + faults.length,
  };
  options.onProgress?.(run.progress);
};

/** Takes back what was sealed ahead, and goes on from the head as it is now. */
const startAgain = async (run: Run, failed: LineChunk): Promise<void> => {
  const back = [failed];
  for (const job of run.jobs) back.push({ ...job.chunk, bytes: (await job.sealed).bytes });
  run.jobs = [];
  run.backlog = [...back, ...run.backlog];
  const head = await run.appender.head();
  if (!head) throw new StreamError('corrupt', `${run.options.tenant}: the tenant's head is gone`);
  await begin(run, head);
};

/** Tells the lanes where to go on, with the rows of the read models that stand there too. */
const begin = async (run: Run, head: StoredHead): Promise<void> => {
  const { tenant, pool, sources } = run.options;
  const standing = await withClient(pool, async (client) => {
    const found = [];
    for (const projector of run.models) {
      const start = { projector, tenant, at: head, maxRows: MAX_INLINE_ROWS, sources };
      const kept = await inlineRows(client, start);
      if (kept) found.push({ projector, ...kept });
    }
    return found;
  });
  run.models = standing.map(({ projector }) => projector);
  for (const { projector, build } of standing) run.builds.set(projector, build);
  const { seq, hash, recordedAt } = head;
  run.lanes.restart({
    before: { seq, hash, recordedAt },
    models: standing.map(({ projector, rows }) => ({ name: projector.name, rows })),
  });
};
