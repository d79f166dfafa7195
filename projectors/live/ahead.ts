// Between the feed and the read models: while one group of batches is being folded the next ones are delivered, and
// whatever is there by then is the next group. So many tenants with a fact each cost what one with many does, and so does
// one whose facts come a few at a time. The first fact after a pause is folded at once; under a steady flow groups keep a
// distance, in which appends have the database: the transactions of a group cost as much for one fact as for many.
import type { Recorded } from '#schemas/event.ts';
import type { TenantId } from '#schemas/ids.ts';
import type { FeedBatch } from '#streams/stream.ts';

export interface Ahead {
  /** Batches of different tenants, none of them empty; ends when the feed does. */
  readonly groups: AsyncIterable<readonly FeedBatch[]>;
  /** Settles once nothing is asked of the feed any more; the feed must have been told to end, or have ended. */
  readonly over: Promise<void>;
}

/** Between two groups, where the second is not full. */
const REST_MS = 50;

/** Facts at most; a batch of the feed is never cut. */
export interface AheadBounds {
  /** In a group, and as many waiting. */
  readonly group: number;
  /** Of one tenant in a group. */
  readonly batch: number;
}

export const readAhead = (feed: AsyncIterable<FeedBatch>, bounds: AheadBounds): Ahead => {
  const state: State = { waiting: [], facts: 0, ended: false, stopped: false, bell: Promise.withResolvers() };
  const over = pump(feed, bounds.group, state);
  return { groups: taken(state, bounds), over };
};

interface State {
  readonly waiting: FeedBatch[];
  facts: number;
  ended: boolean;
  stopped: boolean;
  failure?: unknown;
  /** Rung whenever something changes. */
  bell: PromiseWithResolvers<void>;
}

const ring = (state: State): void => {
  state.bell.resolve();
  state.bell = Promise.withResolvers();
};

const pump = async (feed: AsyncIterable<FeedBatch>, most: number, state: State): Promise<void> => {
  try {
    for await (const batch of feed) {
      if (state.stopped) break;
      if (batch.facts.length === 0) continue;
      state.waiting.push(batch);
      state.facts += batch.facts.length;
      ring(state);
      while (state.facts >= most && !state.stopped) await state.bell.promise;
      if (state.stopped) break;
    }
  } catch (error) {
    state.failure = error;
  }
  state.ended = true;
  ring(state);
};

const taken = async function* (state: State, bounds: AheadBounds): AsyncGenerator<readonly FeedBatch[]> {
  try {
    for (;;) {
      while (state.waiting.length === 0 && !state.ended) await state.bell.promise;
      const group = nextGroup(state, bounds);
      if (group.length > 0) {
        yield group;
        await rest(state, bounds);
      } else if (state.failure !== undefined) throw state.failure;
      else return;
    }
  } finally {
    state.stopped = true;
    ring(state);
  }
};

/** Leaves the database to others for a while, unless a whole group waits already. */
const rest = async (state: State, { group }: AheadBounds): Promise<void> => {
  let rested = false;
  const timer = setTimeout(() => {
    rested = true;
    ring(state);
  }, REST_MS);
  while (!rested && !state.ended && state.facts < group) await state.bell.promise;
  clearTimeout(timer);
};

/** What waits, in its order; of each tenant one batch. */
const nextGroup = (state: State, most: AheadBounds): readonly FeedBatch[] => {
  const facts = new Map<TenantId, Recorded[]>();
  let taken = 0;
  let count = 0;
  for (const batch of state.waiting) {
    const more = batch.facts.length;
    const own = facts.get(batch.tenant) ?? [];
    if (count > 0 && (taken + more > most.group || (own.length > 0 && own.length + more > most.batch))) break;
    for (const fact of batch.facts) own.push(fact);
    facts.set(batch.tenant, own);
    taken += more;
    count += 1;
  }
  state.waiting.splice(0, count);
  state.facts -= taken;
  ring(state);
  return Array.from(facts, ([tenant, own]) => ({ tenant, facts: own }));
};
