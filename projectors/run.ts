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
import { advanceAll, type SharedBatch, sharedBatch } from './advance.ts';
import type { AnyProjector } from './batch.ts';
import { readAhead } from './live/ahead.ts';
import { beginning, type Checkpoint, type HaltCause, type Held, type RowSink } from './sink.ts';

/** A read model that has stopped for one tenant until someone acts; `resumeHalted` lets it try again. */
export interface Halt extends HaltCause {
  readonly projection: string;
  readonly version: number;
  readonly tenant: TenantId;
}

/** A read model that this process leaves alone, with all tenants. */
export interface Holding {
  readonly projection: string;
  readonly version: number;
  readonly why: Held;
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
  /** How often to look whether a read model that halted or is held may go on; 2,000 ms unless told. */
  readonly resumeCheckMs?: number;
  /** Waits before the next try; by the clock unless told. */
  readonly wait?: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly onBatch?: (done: BatchDone) => void;
  /** Called once for each halt: when it happens, and at the start for those that were there before. */
  readonly onHalt?: (halt: Halt) => void;
  /** Called once for each read model that this run finds held, and again when it is held anew. */
  readonly onHeld?: (holding: Holding) => void;
  /** Infrastructure failed; the run goes on after `delayMs`. */
  readonly onRetry?: (error: StreamError, delayMs: number) => void;
}

const RETRY_MS = 50;
const RETRY_MS_MAX = 5000;
/** Facts of many tenants that are folded together, unless one batch alone holds more. */
const GROUP_FACTS = 1000;
const TRANSIENT: ReadonlySet<string> = new Set(['unavailable', 'out-of-space', 'overloaded']);

/**
 * Runs until the signal (or, with `untilCaughtUp`, the end) comes. Throws `StreamError` when waiting cannot help:
 * the schema or the rights are not as they must be, or a store answers in a way nobody foresaw.
 */
export const runProjectors = async (options: RunOptions): Promise<void> => {
  const run: Run = { ...options, boards: new Map(), held: new Map(), announced: new Set(), failures: 0 };
  while (!run.signal.aborted) {
    try {
      if ((await follow(run)) === 'over') return;
    } catch (error) {
      if (!(error instanceof StreamError && TRANSIENT.has(error.code))) throw error;
      const delayMs = Math.min(RETRY_MS * 2 ** run.failures, RETRY_MS_MAX);
      run.failures += 1;
      run.onRetry?.(error, delayMs);
      await (run.wait ?? byTheClock)(delayMs, run.signal);
    }
  }
};

const byTheClock = async (ms: number, signal: AbortSignal): Promise<void> =>
  await pause(ms, undefined, { signal }).catch(() => undefined);

type Board = Map<TenantId, Checkpoint>;

interface Run extends RunOptions {
  /** The checkpoints as this process last saw them; the ones in the database decide. */
  readonly boards: Map<AnyProjector, Board>;
  readonly held: Map<AnyProjector, Held>;
  readonly announced: Set<string>;
  /** Failures since the last batch that was done. */
  failures: number;
}

/** One subscription, from the checkpoints to its end. `again`: something changed that it must begin anew for. */
const follow = async (run: Run): Promise<'over' | 'again'> => {
  await readBoards(run);
  const again = new AbortController();
  const signal = AbortSignal.any([run.signal, again.signal]);
  const watch = watchResumed(run, again, signal);
  const { batchSize, untilCaughtUp = false, decode = decodeFact } = run;
  const feed = run.feed.subscribe({
    from: startingPoint(run),
    signal,
    untilCaughtUp,
    ...(batchSize && { batchSize }),
  });
  const batch = batchSize ?? GROUP_FACTS;
  const ahead = readAhead(feed, { batch, group: Math.max(batch, GROUP_FACTS) });
  try {
    for await (const group of ahead.groups) {
      // What was delivered ahead comes again in the next subscription.
      if (signal.aborted) break;
      await project(
        run,
        group.map(({ tenant, facts }) => sharedBatch(tenant, facts, decode)),
      );
      run.failures = 0;
      for (const { tenant, facts } of group)
        run.onBatch?.({ tenant, facts: facts.length, seq: (facts.at(-1) as Recorded).seq });
    }
    return again.signal.aborted ? 'again' : 'over';
  } finally {
    again.abort();
    await Promise.all([watch, ahead.over]);
  }
};

const readBoards = async (run: Run): Promise<void> => {
  for (const projector of run.projectors) {
    const checkpoints = await run.sink.checkpoints(projector);
    hold(run, projector, await run.sink.held(projector));
    run.boards.set(projector, new Map(checkpoints.map((checkpoint) => [checkpoint.tenant, checkpoint])));
    for (const checkpoint of checkpoints) announce(run, projector, checkpoint);
  }
};

const hold = (run: Run, projector: AnyProjector, why: Held | undefined): void => {
  if (why === undefined) run.held.delete(projector);
  else if (run.held.get(projector) !== why) {
    run.held.set(projector, why);
    run.onHeld?.({ projection: projector.name, version: projector.version, why });
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

/** Where read models stand, whoever keeps them: what a subscription may begin from. Throws `StreamError`. */
export const standing = async (
  sink: Pick<RowSink, 'checkpoints' | 'held'>,
  projectors: readonly AnyProjector[],
): Promise<LedgerPosition> => {
  const boards = new Map<AnyProjector, Board>();
  const held = new Map<AnyProjector, Held>();
  for (const projector of projectors) {
    const checkpoints = await sink.checkpoints(projector);
    boards.set(projector, new Map(checkpoints.map((checkpoint) => [checkpoint.tenant, checkpoint])));
    const why = await sink.held(projector);
    if (why !== undefined) held.set(projector, why);
  }
  return startingPoint({ projectors, held, boards });
};

/**
 * The lowest checkpoint of each tenant, less one: the fact at the checkpoint comes once more, so that a log that was
 * swapped or restored is noticed even while nothing new is recorded.
 */
const startingPoint = ({
  projectors: all,
  held,
  boards,
}: Pick<Run, 'projectors' | 'held' | 'boards'>): LedgerPosition => {
  const from = new Map<TenantId, Seq>();
  const free = all.filter((projector) => !held.has(projector));
  const projectors = free.length > 0 ? free : all;
  for (const tenant of new Set([...boards.values()].flatMap((board) => [...board.keys()]))) {
    const at = projectors.map((projector) => boards.get(projector)?.get(tenant) ?? beginning(tenant));
    const running = at.filter(({ fault }) => !fault);
    const lowest = Math.min(...(running.length > 0 ? running : at).map(({ seq }) => seq));
    from.set(tenant, Math.max(lowest - 1, 0) as Seq);
  }
  return from;
};

// One read model that fails does not cut the others short: all come to the end of the group before an error is raised.
const project = async (run: Run, group: readonly SharedBatch[]): Promise<void> => {
  const free = run.projectors.filter((projector) => !run.held.has(projector));
  const results = await Promise.allSettled(free.map((projector) => projectOne(run, projector, group)));
  for (const result of results) if (result.status === 'rejected') throw result.reason;
};

const projectOne = async (
  run: Run,
  projector: AnyProjector,
  group: readonly SharedBatch[],
): Promise<void> => {
  const board = run.boards.get(projector) as Board;
  const before = group.map(({ tenant }) => board.get(tenant) ?? beginning(tenant));
  const after = await advanceAll(projector, group, before, run.sink);
  for (const [index, { tenant, facts }] of group.entries()) {
    const reached = after[index] as Checkpoint | 'gap';
    if (reached === 'gap') {
      // The checkpoint was set back behind our back, or the feed left something out: begin anew from the checkpoints.
      throw new StreamError(
        'unavailable',
        `the feed of ${tenant} goes on at ${facts[0]?.seq}, but ${projector.name} has come to ${before[index]?.seq} only`,
      );
    }
    board.set(tenant, reached);
    announce(run, projector, reached);
    if (reached.held) hold(run, projector, reached.held);
  }
};

/** Ends the subscription when a read model that stood still may go on: its facts have passed by and must come again. */
const watchResumed = async (run: Run, again: AbortController, signal: AbortSignal): Promise<void> => {
  while (!signal.aborted) {
    await byTheClock(run.resumeCheckMs ?? 2000, signal);
    // A failure here is met by the subscription as well, which reports it.
    if (!signal.aborted && (await anyResumed(run).catch(() => false))) again.abort();
  }
};

const anyResumed = async ({ projectors, boards, held, sink }: Run): Promise<boolean> => {
  for (const projector of projectors) {
    if (held.has(projector)) {
      if ((await sink.held(projector)) !== held.get(projector)) return true;
      continue;
    }
    const halted = [...(boards.get(projector)?.values() ?? [])].filter(({ fault }) => fault);
    if (halted.length === 0) continue;
    const now = new Map(
      (await sink.checkpoints(projector)).map((checkpoint) => [checkpoint.tenant, checkpoint]),
    );
    if (halted.some(({ tenant }) => now.get(tenant)?.fault === undefined)) return true;
  }
  return false;
};
