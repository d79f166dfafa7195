// The live runner: follows the feed and keeps every read model up to date, each tenant by itself.
//
// A read model's rows and its checkpoint change in one transaction, and the checkpoint moves by compare-and-swap: so
// wherever this process dies, and however many of it run, each fact is folded once. There are three kinds of trouble:
//   a fact that cannot be folded   the facts before it stand; this read model halts for this tenant, loudly;
//   another log                    the same: the log does not go on from the hash that the checkpoint holds;
//   infrastructure                 nothing is parked: wait, then take up again at the checkpoints.
import { setTimeout as pause } from 'node:timers/promises';
import type { Fact, Recorded } from '#schemas/event.ts';
import type { Seq, TenantId } from '#schemas/ids.ts';
import { decodeFact } from '#schemas/index.ts';
import { StreamError } from '#streams/errors.ts';
import type { LedgerPosition, StreamFeed } from '#streams/stream.ts';
import { advance, type SharedBatch, sharedBatch } from './advance.ts';
import type { AnyProjector } from './batch.ts';
import { beginning, type Checkpoint, type HaltCause, type RowSink } from './sink.ts';

/** A read model that has stopped for one tenant until someone acts; `resumeHalted` lets it try again. */
export interface Halt extends HaltCause {
  readonly projection: string;
  readonly version: number;
  readonly tenant: TenantId;
}

/** A batch that every read model is done with. */
export interface BatchDone {
  readonly tenant: TenantId;
  /** Facts delivered, and the place of the last one. */
  readonly facts: number;
  readonly seq: Seq;
}

export interface RunOptions {
  readonly feed: StreamFeed;
  readonly sink: RowSink;
  readonly projectors: readonly AnyProjector[];
  /** Ends the run: the batch in hand is finished first. */
  readonly signal: AbortSignal;
  /** Facts per batch at most; the feed's own measure unless told. */
  readonly batchSize?: number;
  /** End once everything recorded at the start was delivered. */
  readonly untilCaughtUp?: boolean;
  /** From a stored fact to one that can be folded; that of the known domains unless told. */
  readonly decode?: (recorded: Recorded) => Fact;
  /** How often to look whether a halted read model may try again; 2,000 ms unless told. */
  readonly resumeCheckMs?: number;
  readonly onBatch?: (done: BatchDone) => void;
  /** Called once for each halt: when it happens, and at the start for those that were there before. */
  readonly onHalt?: (halt: Halt) => void;
  /** Infrastructure failed; the run goes on after `delayMs`. */
  readonly onRetry?: (error: StreamError, delayMs: number) => void;
}

const RETRY_MS = 50;
const RETRY_MS_MAX = 5000;
const TRANSIENT: ReadonlySet<string> = new Set(['unavailable', 'out-of-space', 'overloaded']);

/**
 * Runs until the signal (or, with `untilCaughtUp`, the end) comes. Throws `StreamError` when waiting cannot help:
 * the schema or the rights are not as they must be, or a store answers in a way nobody foresaw.
 */
export const runProjectors = async (options: RunOptions): Promise<void> => {
  const run: Run = { ...options, boards: new Map(), announced: new Set(), failures: 0 };
  while (!run.signal.aborted) {
    try {
      if ((await follow(run)) === 'over') return;
    } catch (error) {
      if (!(error instanceof StreamError && TRANSIENT.has(error.code))) throw error;
      const delayMs = Math.min(RETRY_MS * 2 ** run.failures, RETRY_MS_MAX);
      run.failures += 1;
      run.onRetry?.(error, delayMs);
      await pause(delayMs, undefined, { signal: run.signal }).catch(() => undefined);
    }
  }
};

type Board = Map<TenantId, Checkpoint>;

interface Run extends RunOptions {
  /** The checkpoints as this process last saw them; the ones in the database decide. */
  readonly boards: Map<AnyProjector, Board>;
  readonly announced: Set<string>;
  /** Failures since the last batch that was done. */
  failures: number;
}

/** One subscription, from the checkpoints to its end. `again`: something changed that it must begin anew for. */
const follow = async (run: Run): Promise<'over' | 'again'> => {
  await readBoards(run);
  const again = new AbortController();
  const watch = watchResumed(run, again);
  try {
    const from = startingPoint(run);
    const signal = AbortSignal.any([run.signal, again.signal]);
    const { batchSize, untilCaughtUp = false } = run;
    for await (const { tenant, facts } of run.feed.subscribe({
      from,
      signal,
      untilCaughtUp,
      ...(batchSize && { batchSize }),
    })) {
      if (facts.length === 0) continue;
      await project(run, sharedBatch(tenant, facts, run.decode ?? decodeFact));
      run.failures = 0;
      run.onBatch?.({ tenant, facts: facts.length, seq: (facts.at(-1) as Recorded).seq });
    }
    return again.signal.aborted ? 'again' : 'over';
  } finally {
    again.abort();
    await watch;
  }
};

const readBoards = async (run: Run): Promise<void> => {
  for (const projector of run.projectors) {
    const checkpoints = await run.sink.checkpoints(projector);
    run.boards.set(projector, new Map(checkpoints.map((checkpoint) => [checkpoint.tenant, checkpoint])));
    for (const checkpoint of checkpoints) announce(run, projector, checkpoint);
  }
};

const announce = (run: Run, { name, version }: AnyProjector, { tenant, fault }: Checkpoint): void => {
  const key = `${name} ${version} ${tenant}`;
  if (!fault) run.announced.delete(key);
  else if (!run.announced.has(key)) {
    run.announced.add(key);
    run.onHalt?.({ projection: name, version, tenant, ...fault });
  }
};

/**
 * The lowest checkpoint of each tenant, less one: the fact at the checkpoint comes once more, so that a log that was
 * swapped or restored is noticed even while nothing new is recorded.
 */
const startingPoint = ({ projectors, boards }: Run): LedgerPosition => {
  const from = new Map<TenantId, Seq>();
  for (const tenant of new Set([...boards.values()].flatMap((board) => [...board.keys()]))) {
    const at = projectors.map((projector) => boards.get(projector)?.get(tenant) ?? beginning(tenant));
    const running = at.filter(({ fault }) => !fault);
    const lowest = Math.min(...(running.length > 0 ? running : at).map(({ seq }) => seq));
    from.set(tenant, Math.max(lowest - 1, 0) as Seq);
  }
  return from;
};

// One read model that fails does not cut the others short: all come to the end of the batch before an error is raised.
const project = async (run: Run, batch: SharedBatch): Promise<void> => {
  const results = await Promise.allSettled(
    run.projectors.map((projector) => projectOne(run, projector, batch)),
  );
  for (const result of results) if (result.status === 'rejected') throw result.reason;
};

const projectOne = async (run: Run, projector: AnyProjector, batch: SharedBatch): Promise<void> => {
  const { tenant } = batch;
  const board = run.boards.get(projector) as Board;
  const before = board.get(tenant) ?? beginning(tenant);
  const after = await advance(projector, batch, before, run.sink);
  if (after === 'gap') {
    // The checkpoint was set back behind our back, or the feed left something out: begin anew from the checkpoints.
    throw new StreamError(
      'unavailable',
      `the feed of ${tenant} goes on at ${batch.facts[0]?.seq}, but ${projector.name} has come to ${before.seq} only`,
    );
  }
  board.set(tenant, after);
  announce(run, projector, after);
};

/** Ends the subscription when a halted read model may try again: its facts have passed by and must come once more. */
const watchResumed = async (run: Run, again: AbortController): Promise<void> => {
  while (!again.signal.aborted) {
    await pause(run.resumeCheckMs ?? 2000, undefined, { signal: again.signal }).catch(() => undefined);
    // A failure here is met by the subscription as well, which reports it.
    if (!again.signal.aborted && (await anyResumed(run).catch(() => false))) again.abort();
  }
};

const anyResumed = async ({ projectors, boards, sink }: Run): Promise<boolean> => {
  for (const projector of projectors) {
    const halted = [...(boards.get(projector)?.values() ?? [])].filter(({ fault }) => fault);
    if (halted.length === 0) continue;
    const now = new Map(
      (await sink.checkpoints(projector)).map((checkpoint) => [checkpoint.tenant, checkpoint]),
    );
    if (halted.some(({ tenant }) => now.get(tenant)?.fault === undefined)) return true;
  }
  return false;
};
