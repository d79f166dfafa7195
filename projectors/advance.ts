// One read model over one batch of one tenant: as far as it can go.
import type { Fact, Recorded } from '#schemas/event.ts';
import type { Seq, TenantId } from '#schemas/ids.ts';
import { StreamError } from '#streams/errors.ts';
import type { AnyProjector } from './batch.ts';
import { beginning, type Checkpoint, type HaltCause, positionOf, type RowSink, type Step } from './sink.ts';

/** A delivered batch whose facts are decoded when first asked for, once for all read models. */
export interface SharedBatch {
  readonly tenant: TenantId;
  readonly facts: readonly Recorded[];
  /** The fact at an index, or why it cannot be read. */
  readonly decoded: (index: number) => Fact | Error;
}

export const sharedBatch = (
  tenant: TenantId,
  facts: readonly Recorded[],
  decode: (recorded: Recorded) => Fact,
): SharedBatch => {
  const known: (Fact | Error | undefined)[] = [];
  return {
    tenant,
    facts,
    decoded: (index) => {
      const before = known[index];
      if (before !== undefined) return before;
      const now = attempt(() => decode(facts[index] as Recorded));
      known[index] = now;
      return now;
    },
  };
};

const attempt = <T>(work: () => T): T | Error => {
  try {
    return work();
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
};

const MESSAGE_MAX = 2000;

// What halts a read model is written into the database, which takes neither NUL nor half a surrogate pair.
export const faultAt = ({ seq, id }: Recorded, message: string): HaltCause => ({
  seq,
  id,
  message: message.replaceAll('\0', '\\0').slice(0, MESSAGE_MAX).toWellFormed(),
});

/** What is known about the facts of a batch from having tried. */
interface Tried {
  /** The fact that must not be taken, when it is known. */
  readonly poison?: { readonly seq: Seq; readonly error: Error };
  /** Facts to fold at most in one step; halved until the one that the database refuses stands alone. */
  readonly most: number;
  /** Facts to pass over; asked for when the first one cannot be taken. */
  readonly skips?: ReadonlySet<Seq> | undefined;
}

const UNTRIED: Tried = { most: Number.POSITIVE_INFINITY };

/** Steps that lost a conflict of locks and found the checkpoint where it was; after so many the runner waits a while. */
const STALLED_MAX = 20;

const stall = ({ name }: AnyProjector, { tenant, seq }: Checkpoint): StreamError =>
  new StreamError('unavailable', `${name} of ${tenant} stands at ${seq}, and a step from there is not taken`);

/**
 * Takes the facts of the batch after the checkpoint and answers with the checkpoint as it then stands, at the
 * batch's last fact unless it has halted. `gap`: the batch begins beyond the fact that is next.
 */
export const advance = async (
  projector: AnyProjector,
  batch: SharedBatch,
  start: Checkpoint,
  sink: RowSink,
): Promise<Checkpoint | 'gap'> => {
  const { tenant } = batch;
  let at = start;
  let tried = UNTRIED;
  let stalled = 0;
  while (at.fault === undefined && at.held === undefined) {
    if (nextIndex(batch, at) < 0) {
      // Another process may have kept this tenant meanwhile, and have come to where the batch begins.
      const stored = (await sink.checkpoints(projector, tenant))[0] ?? beginning(tenant);
      if (stored.seq <= at.seq) return 'gap';
      at = stored;
      continue;
    }
    const step = stepFrom(projector, batch, at, tried);
    if (!step) return at;
    if (step.fault && !tried.skips) {
      tried = { ...tried, skips: await sink.skips(projector, tenant) };
      continue;
    }
    const result = await sink.apply(projector, step);
    switch (result.kind) {
      case 'applied':
        at = { tenant, ...step.to, fault: step.fault };
        tried = tried.poison ? tried : { ...UNTRIED, skips: tried.skips };
        break;
      case 'overtaken': {
        const stored = (await sink.checkpoints(projector, tenant))[0] ?? beginning(tenant);
        stalled = stored.seq === at.seq && stored.hash === at.hash ? stalled + 1 : 0;
        if (stalled > STALLED_MAX) throw stall(projector, stored);
        at = stored;
        break;
      }
      case 'refused':
        tried = { ...afterRefusal(step, result.error, result.fact), skips: tried.skips };
        break;
      default:
        return result satisfies never;
    }
  }
  return at;
};

/**
 * The same for batches of different tenants: what can be taken at once is taken together, and whatever does not go
 * smoothly by itself. `starts` are their checkpoints, in the same order.
 */
export const advanceAll = async (
  projector: AnyProjector,
  batches: readonly SharedBatch[],
  starts: readonly Checkpoint[],
  sink: RowSink,
): Promise<readonly (Checkpoint | 'gap')[]> => {
  const firstSteps = batches.map((batch, index) => firstStep(projector, batch, starts[index] as Checkpoint));
  const together = firstSteps.filter((step) => step !== undefined);
  const results = together.length > 1 ? await sink.applyAll(projector, together) : [];
  const reached = new Map<TenantId, Checkpoint>();
  together.forEach((step, index) => {
    if (results[index]?.kind === 'applied')
      reached.set(step.tenant, { tenant: step.tenant, ...step.to, fault: step.fault });
  });
  const ends: (Checkpoint | 'gap')[] = [];
  for (const [index, batch] of batches.entries())
    ends.push(
      await advance(projector, batch, reached.get(batch.tenant) ?? (starts[index] as Checkpoint), sink),
    );
  return ends;
};

const firstStep = (projector: AnyProjector, batch: SharedBatch, at: Checkpoint): Step | undefined =>
  at.fault !== undefined || at.held !== undefined || nextIndex(batch, at) < 0
    ? undefined
    : unlessFaulty(stepFrom(projector, batch, at, UNTRIED));

/** One that ends at a fact which cannot be taken goes by itself. */
const unlessFaulty = (step: Step | undefined): Step | undefined => (step?.fault ? undefined : step);

const afterRefusal = ({ facts }: Step, error: Error, fact: Fact | undefined): Tried => {
  const poison = fact ?? (facts.length === 1 ? facts[0] : undefined);
  if (poison) return { most: Number.POSITIVE_INFINITY, poison: { seq: poison.seq, error } };
  // Nothing to fold and refused all the same: the checkpoint itself is at fault, and no fact can be blamed for it.
  if (facts.length === 0) throw error;
  return { most: facts.length >> 1 };
};

/** Where in the batch the fact after the checkpoint is. */
const nextIndex = ({ facts }: SharedBatch, at: Checkpoint): number => at.seq + 1 - (facts[0] as Recorded).seq;

/** The longest step that may be taken; `undefined` when the checkpoint stands at the batch's end or beyond. */
const stepFrom = (
  projector: AnyProjector,
  batch: SharedBatch,
  at: Checkpoint,
  { poison, most, skips }: Tried,
): Step | undefined => {
  const { tenant, facts } = batch;
  const next = nextIndex(batch, at);
  const otherLog = differentLog(facts, at, next);
  if (otherLog) return { tenant, from: at, to: at, facts: [], fault: otherLog };
  const taken: Fact[] = [];
  let fault: HaltCause | undefined;
  let index = next;
  for (; index < facts.length; index += 1) {
    const recorded = facts[index] as Recorded;
    fault = index > next ? brokenLink(facts[index - 1] as Recorded, recorded) : undefined;
    if (!fault && skips?.has(recorded.seq)) continue;
    if (recorded.seq === poison?.seq) fault ??= faultAt(recorded, poison.error.message);
    if (fault) break;
    if (!projector.handles.includes(recorded.type)) continue;
    if (taken.length >= most) break;
    const fact = batch.decoded(index);
    if (fact instanceof Error) {
      fault = faultAt(recorded, fact.message);
      break;
    }
    taken.push(fact);
  }
  if (index <= next && !fault) return undefined;
  return {
    tenant,
    from: at,
    to: index > next ? positionOf(facts[index - 1] as Recorded) : at,
    facts: taken,
    fault,
  };
};

/** The log must hold the very fact that the checkpoint was taken at, or go on from its hash. */
const differentLog = (facts: readonly Recorded[], at: Checkpoint, next: number): HaltCause | undefined => {
  const last = facts[next - 1];
  const first = next === 0 ? facts[0] : undefined;
  if (last && last.hash !== at.hash) {
    return faultAt(
      last,
      `the log is not the one that was read: fact ${at.seq} had the hash ${at.hash}, now it has ${last.hash}; restore the log, or rebuild the read model`,
    );
  }
  if (first && first.prevHash !== at.hash) {
    return faultAt(
      first,
      `the log does not go on from what was read: fact ${at.seq} had the hash ${at.hash}, the next one names ${first.prevHash}; restore the log, or rebuild the read model`,
    );
  }
  return undefined;
};

const brokenLink = (before: Recorded, fact: Recorded): HaltCause | undefined => {
  if (fact.seq === before.seq + 1 && fact.prevHash === before.hash) return undefined;
  return faultAt(
    fact,
    `the chain is broken: fact ${fact.seq} does not follow from fact ${before.seq}; restore the log from an export or a replica`,
  );
};
