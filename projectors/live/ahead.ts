// Between the feed and the read models: while one group of batches is being folded the next ones are delivered, and
// whatever is there by then is the next group. So many tenants with a fact each cost what one with many does, and no
// timer makes anybody wait.
import type { FeedBatch } from '#streams/stream.ts';

export interface Ahead {
  /** Batches of different tenants, none of them empty; ends when the feed does. */
  readonly groups: AsyncIterable<readonly FeedBatch[]>;
  /** Settles once nothing is asked of the feed any more; the feed must have been told to end, or have ended. */
  readonly over: Promise<void>;
}

/** `most` facts a group, and as many waiting; a batch is never cut. */
export const readAhead = (feed: AsyncIterable<FeedBatch>, most: number): Ahead => {
  const state: State = { waiting: [], facts: 0, ended: false, stopped: false, bell: Promise.withResolvers() };
  const over = pump(feed, most, state);
  return { groups: taken(state, most), over };
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

const taken = async function* (state: State, most: number): AsyncGenerator<readonly FeedBatch[]> {
  try {
    for (;;) {
      while (state.waiting.length === 0 && !state.ended) await state.bell.promise;
      const group = nextGroup(state, most);
      if (group.length > 0) yield group;
      else if (state.failure !== undefined) throw state.failure;
      else return;
    }
  } finally {
    state.stopped = true;
    ring(state);
  }
};

const nextGroup = (state: State, most: number): readonly FeedBatch[] => {
  const tenants = new Set<string>();
  let facts = 0;
  let count = 0;
  for (const batch of state.waiting) {
    if (tenants.has(batch.tenant) || (count > 0 && facts + batch.facts.length > most)) break;
    tenants.add(batch.tenant);
    facts += batch.facts.length;
    count += 1;
  }
  const group = state.waiting.splice(0, count);
  state.facts -= facts;
  ring(state);
  return group;
};
