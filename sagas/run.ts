// The runner: follows the feed, folds, and has what follows done.
//
// Commands go before the position moves. Where a process dies in between, the fact comes again, and with it the same
// commands under the same ids, which the ledger answers with what was recorded the first time. So a kill at any point
// loses no reaction and doubles none. Trouble is of three kinds, as for read models:
//   a fact that a saga cannot take   it is parked: this saga halts for this tenant, loudly; all others go on;
//   another log                      the same;
//   infrastructure                   nothing is parked: wait, then take up again where the positions are.
import { setTimeout as pause } from 'node:timers/promises';
import { CHAIN_START } from '#proofs/chain.ts';
import type { Fact, Recorded } from '#schemas/event.ts';
import type { FactId, Instant, Seq, TenantId } from '#schemas/ids.ts';
import { decodeFact } from '#schemas/index.ts';
import { StreamError } from '#streams/errors.ts';
import type { FeedBatch, LedgerPosition, StreamFeed } from '#streams/stream.ts';
import { type AnySaga, type Reaction, reactionId, sagaActor } from './saga.ts';
import type { Parked, SagaPosition, SagaShelf } from './shelf.ts';

/** A reaction on its way to the decider of its domain. */
export interface Dispatch {
  readonly tenant: TenantId;
  readonly reaction: Reaction;
  /** The id of the first fact it comes to. */
  readonly key: FactId;
  readonly actor: string;
  /** The time of the fact it follows from, so that it is the same command whenever it is sent. */
  readonly at: Instant;
  readonly opId: string | undefined;
  readonly opParentId: string;
}

/**
 * `superseded`: another version of the saga has reacted to the fact otherwise, which stands. `malformed`: the saga asks
 * for what cannot be recorded, which is its defect.
 */
export type DispatchOutcome =
  | { readonly kind: 'recorded' | 'repeated' | 'superseded' }
  | { readonly kind: 'refused' | 'malformed'; readonly message: string };

export interface SagaHalt extends Parked {
  readonly saga: string;
  readonly tenant: TenantId;
}

export interface SagaReaction {
  readonly saga: string;
  readonly tenant: TenantId;
  readonly seq: Seq;
  readonly command: string;
  readonly outcome: DispatchOutcome;
}

export interface SagaRunOptions {
  readonly feed: StreamFeed;
  readonly shelf: SagaShelf;
  readonly sagas: readonly AnySaga[];
  /** Throws `StreamError` when infrastructure failed: the same is then dispatched again. */
  readonly dispatch: (dispatch: Dispatch) => Promise<DispatchOutcome>;
  /** Ends the run: the batch in hand is finished first. */
  readonly signal: AbortSignal;
  readonly batchSize?: number;
  /** End once everything recorded at the start was delivered. */
  readonly untilCaughtUp?: boolean;
  /** How often to look whether one that has halted was resumed; 2,000 ms unless told. */
  readonly resumeCheckMs?: number;
  /** Waits before the next try; by the clock unless told. */
  readonly wait?: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly onReaction?: (reaction: SagaReaction) => void;
  /** Called once for each halt, also for those that were there at the start. */
  readonly onHalt?: (halt: SagaHalt) => void;
  readonly onRetry?: (error: StreamError, delayMs: number) => void;
}

const RETRY_MS = 50;
const RETRY_MS_MAX = 5_000;
const TRANSIENT: ReadonlySet<string> = new Set(['unavailable', 'in-doubt', 'out-of-space', 'overloaded']);

interface Run extends SagaRunOptions {
  readonly boards: Map<AnySaga, Map<TenantId, SagaPosition>>;
  readonly announced: Set<string>;
  failures: number;
}

/** Runs until the signal (or, with `untilCaughtUp`, the end) comes. Throws `StreamError` when waiting cannot help. */
export const runSagas = async (options: SagaRunOptions): Promise<void> => {
  const run: Run = { ...options, boards: new Map(), announced: new Set(), failures: 0 };
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

/** One subscription, from the positions to its end. `again`: a saga was resumed, and needs what has passed by. */
const follow = async (run: Run): Promise<'over' | 'again'> => {
  for (const saga of run.sagas) {
    await run.shelf.install(saga);
    const positions = await run.shelf.positions(saga);
    run.boards.set(saga, new Map(positions.map((position) => [position.tenant, position])));
    for (const position of positions) announce(run, saga, position);
  }
  const again = new AbortController();
  const signal = AbortSignal.any([run.signal, again.signal]);
  const watch = watchResumed(run, again, signal);
  const { batchSize, untilCaughtUp = false } = run;
  try {
    const from = startingPoint(run);
    for await (const batch of run.feed.subscribe({
      from,
      signal,
      untilCaughtUp,
      ...(batchSize && { batchSize }),
    })) {
      for (const saga of run.sagas) await take(run, saga, batch);
      run.failures = 0;
    }
    return again.signal.aborted && !run.signal.aborted ? 'again' : 'over';
  } finally {
    again.abort();
    await watch;
  }
};

const beginning = (tenant: TenantId): SagaPosition => ({
  tenant,
  ...CHAIN_START,
  recordedAt: 0 as Instant,
  mutedTo: 0 as Seq,
});

/** The lowest position of each tenant, less one: that fact comes once more, so that a swapped log is noticed. */
const startingPoint = ({ boards }: Run): LedgerPosition => {
  const from = new Map<TenantId, Seq>();
  for (const tenant of new Set([...boards.values()].flatMap((board) => [...board.keys()]))) {
    const at = [...boards.values()].map((board) => board.get(tenant) ?? beginning(tenant));
    const running = at.filter(({ parked }) => !parked);
    const lowest = Math.min(...(running.length > 0 ? running : at).map(({ seq }) => seq));
    from.set(tenant, Math.max(lowest - 1, 0) as Seq);
  }
  return from;
};

const announce = (run: Run, { name }: AnySaga, { tenant, parked }: SagaPosition): void => {
  const key = `${name} ${tenant}`;
  if (!parked) run.announced.delete(key);
  else if (!run.announced.has(key)) {
    run.announced.add(key);
    run.onHalt?.({ saga: name, tenant, ...parked });
  }
};

const take = async (run: Run, saga: AnySaga, batch: FeedBatch): Promise<void> => {
  const { tenant } = batch;
  const board = run.boards.get(saga) as Map<TenantId, SagaPosition>;
  for (let tries = 0; ; tries += 1) {
    const at = board.get(tenant) ?? beginning(tenant);
    const last = batch.facts.at(-1) as Recorded;
    if (at.parked || (at.seq >= last.seq && sameLog(batch, at))) return;
    if (at.seq + 1 < (batch.facts[0] as Recorded).seq)
      throw new StreamError(
        'unavailable',
        `the feed of ${tenant} goes on at ${batch.facts[0]?.seq}, but ${saga.name} has come to ${at.seq} only`,
      );
    const step = await fold(run, saga, { batch, at });
    if ((await run.shelf.save(saga, step)) === 'saved') {
      const now = { tenant, ...step.to, mutedTo: at.mutedTo, parked: step.parked };
      board.set(tenant, now);
      announce(run, saga, now);
      return;
    }
    const [now] = await run.shelf.positions(saga, tenant);
    board.set(tenant, now ?? beginning(tenant));
    if (tries >= 10) throw new StreamError('unavailable', `${saga.name} of ${tenant} is moved by others`);
  }
};

/** False when the batch holds the very place at which the saga stands, and another fact is there. */
const sameLog = ({ facts }: FeedBatch, at: SagaPosition): boolean => {
  const there = facts.find(({ seq }) => seq === at.seq);
  return there === undefined || there.hash === at.hash;
};

interface Taking {
  readonly batch: FeedBatch;
  readonly at: SagaPosition;
}

const fold = async (run: Run, saga: AnySaga, { batch, at }: Taking) => {
  const { tenant, facts } = batch;
  const states = new Map<string, unknown>();
  const step = (to: SagaPosition | Recorded, parked?: Parked) => ({
    tenant,
    from: at,
    to: { seq: to.seq, hash: to.hash, recordedAt: to.recordedAt },
    states,
    parked,
  });
  let last: SagaPosition | Recorded = at;
  for (const recorded of facts) {
    if (recorded.seq < at.seq || (recorded.seq === at.seq && recorded.hash === at.hash)) continue;
    if (recorded.seq === at.seq || recorded.prevHash !== last.hash)
      return step(
        last,
        parkedAt(
          recorded,
          'the log is not the one that was read; restore the log, or a copy of it that goes on from there',
        ),
      );
    try {
      await takeFact(run, saga, { recorded, states, muted: recorded.seq <= at.mutedTo });
    } catch (error) {
      if (error instanceof StreamError) throw error;
      return step(last, parkedAt(recorded, error instanceof Error ? error.message : String(error)));
    }
    last = recorded;
  }
  return step(last);
};

const MESSAGE_MAX = 2_000;

// Written into the database, which takes neither NUL nor half a surrogate pair.
const parkedAt = ({ seq, id }: Recorded, message: string): Parked => ({
  seq,
  id,
  message: message.replaceAll('\0', '\\0').slice(0, MESSAGE_MAX).toWellFormed(),
});

interface OneFact {
  readonly recorded: Recorded;
  readonly states: Map<string, unknown>;
  readonly muted: boolean;
}

const takeFact = async (run: Run, saga: AnySaga, { recorded, states, muted }: OneFact): Promise<void> => {
  if (!saga.handles.includes(recorded.type)) return;
  const { tenant } = recorded;
  const fact = decodeFact(recorded) as Fact;
  const key = saga.key(fact);
  if (key === undefined) return;
  const known = states.get(key) ?? (await run.shelf.states(saga, tenant, [key])).get(key);
  const before: unknown = known ?? saga.initial;
  const after: unknown = saga.fold(before, fact);
  const reactions = muted ? [] : saga.react({ before, after, fact });
  for (const [index, reaction] of reactions.entries()) {
    const outcome = await run.dispatch({
      tenant,
      reaction,
      key: reactionId(saga.name, fact.id, index),
      actor: sagaActor(saga.name),
      at: fact.recordedAt,
      opId: fact.opId,
      opParentId: fact.id,
    });
    const { type: command } = reaction.command;
    if (outcome.kind === 'malformed') throw new Error(`${command} cannot be recorded: ${outcome.message}`);
    run.onReaction?.({ saga: saga.name, tenant, seq: fact.seq, command, outcome });
  }
  states.set(key, after);
};

const watchResumed = async (run: Run, again: AbortController, signal: AbortSignal): Promise<void> => {
  while (!signal.aborted) {
    await byTheClock(run.resumeCheckMs ?? 2_000, signal);
    // A failure here is met by the subscription as well, which reports it.
    if (!signal.aborted && (await anyResumed(run).catch(() => false))) again.abort();
  }
};

const anyResumed = async ({ sagas, boards, shelf }: Run): Promise<boolean> => {
  for (const saga of sagas) {
    const halted = [...(boards.get(saga)?.values() ?? [])].filter(({ parked }) => parked);
    if (halted.length === 0) continue;
    const now = new Map((await shelf.positions(saga)).map((position) => [position.tenant, position]));
    if (halted.some(({ tenant }) => now.get(tenant)?.parked === undefined)) return true;
  }
  return false;
};
