// The law of replay-harness/: does history still mean the same.
//
// A replay reads a history from its first fact, proves it (every hash, every link, the Merkle root over each chain, and
// for a ledger every signature), folds every read model anew by the very functions that fold it live, and comes to one
// digest for each. It writes into no store and sends nothing to anyone: what the sagas decide is compared with what is
// recorded (reactions.ts). Where a history carries what it must come to, the two are compared.
//
// Chunks take the lanes in turn: each is read and proved beside the others, and folded when the one before it is.
import type { AnyProjector } from '#projectors/batch.ts';
import type { AnySaga } from '#sagas/saga.ts';
import { type Course, type CourseState, replayCourse } from './course.ts';
import type { FeedChunk, FeedCursor, ReplayFeed } from './feed.ts';
import type { Expectation } from './fixtures/format.ts';
import { type Halted, type ReplayFault, Unsound } from './lane-messages.ts';
import { type LaneThread, startLanes } from './lanes.ts';
import { type Measured, type Measuring, measuring } from './measures.ts';
import {
  followedTypes,
  type Reactions,
  type ReactionsState,
  replayReactions,
  type SagaOutcome,
} from './reactions.ts';

export interface ReplayOptions {
  readonly feed: ReplayFeed;
  readonly projectors: readonly AnyProjector[];
  /** None unless told. */
  readonly sagas?: readonly AnySaga[] | undefined;
  /** Threads; 0 does all the work where the replay was called. 2 unless told. */
  readonly workers?: number;
  /** Facts folded at once; 1,000 unless told. */
  readonly batchSize?: number;
  /** For row hashes that do not fit into memory. What is in it when the replay ends is the caller's to remove. */
  readonly folder: string;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (progress: ReplayProgress) => void;
  /** Goes on from where an earlier replay of the same history stopped. */
  readonly from?: ReplayState | undefined;
  /** Told now and then where it stands, so that even a killed replay can go on: after so many facts, half a million unless told. */
  readonly onState?: ((state: ReplayState) => void) | undefined;
  readonly stateEvery?: number;
  /** Told the rows of every read model, each as the line that is hashed: inserted ones as they come, the others at the end. */
  readonly onRows?: ((projection: string, lines: readonly string[]) => void) | undefined;
}

export interface ReplayProgress {
  readonly facts: number;
  readonly share: number | undefined;
}

/** Everything needed to go on in another process, together with the files of row hashes in the folder. JSON. */
export interface ReplayState {
  readonly cursor: FeedCursor;
  readonly course: CourseState;
  readonly reactions: ReactionsState;
}

/** `sound`: proved, and as expected where something was. `interrupted`: sound so far; `state` goes on. */
export type Verdict = 'sound' | 'unsound' | 'differs' | 'interrupted';

export interface ReplayResult {
  readonly verdict: Verdict;
  /** What the history came to, in the form in which a fixture says what it must come to. */
  readonly outcome: Expectation;
  /** What stopped it. */
  readonly fault?: ReplayFault | undefined;
  /** What came out otherwise than expected, one line each. */
  readonly differences: readonly string[];
  /** Whether there was an expectation to compare with. */
  readonly compared: boolean;
  readonly halts: readonly Halted[];
  readonly sagas: readonly SagaOutcome[];
  readonly measured: Measured;
  /** How to go on; for an interrupted replay. */
  readonly state?: ReplayState | undefined;
}

/** Chunks that one thread may have at hand: one in work, one behind it, one read that waits for the fold before it. */
const AHEAD = 3;

/** Replays to the end, to the first fault or to the signal. Throws what the feed throws. */
export const replay = async (options: ReplayOptions): Promise<ReplayResult> => {
  const { feed, projectors, sagas = [], workers = 2, batchSize = 1_000, folder, from, onRows } = options;
  const lanes = startLanes({
    workers,
    projectors,
    batchSize,
    showRows: onRows !== undefined,
    followed: followedTypes(sagas),
    skipped: (await feed.skips?.(projectors.map(({ name }) => name))) ?? [],
    starts: (await feed.starts?.()) ?? new Map(),
    stored: feed.stored,
  });
  try {
    const measures = measuring();
    using course = replayCourse({ projectors, folder, lanes: lanes.length, from: from?.course, onRows });
    const reactions = replayReactions(sagas, from?.reactions);
    const ended = await drive(options, { lanes, course, reactions, measures });
    if (!ended.interrupted) course.showKeyedRows();
    return measures.around('digest', () =>
      resultOf(options, { course, reactions }, { ...ended, measured: measures.result }),
    );
  } finally {
    await Promise.all(lanes.map((lane) => lane.end()));
  }
};

/** What has been come to so far. */
interface Standing {
  readonly course: Course;
  readonly reactions: Reactions;
}

interface Driving extends Standing {
  readonly lanes: readonly LaneThread[];
  readonly measures: Measuring;
}

interface Underway {
  readonly chunk: FeedChunk;
  readonly number: number;
  readonly since: number;
  readonly read: ReturnType<LaneThread['read']>;
}

interface Ended {
  readonly fault?: ReplayFault | undefined;
  readonly cursor?: FeedCursor | undefined;
  readonly interrupted: boolean;
}

const drive = async (options: ReplayOptions, driving: Driving): Promise<Ended> => {
  const { feed, signal, from } = options;
  const { lanes, measures } = driving;
  const source = feed.chunks(from?.cursor)[Symbol.asyncIterator]();
  const underway: Underway[] = [];
  let cursor = from?.cursor;
  const saving = stateSaver(options, driving);
  let number = 0;
  let over = false;
  try {
    for (;;) {
      while (!over && !signal?.aborted && underway.length < lanes.length * AHEAD) {
        const next = await measures.wait('input', source.next());
        if (next.done) over = true;
        else {
          const read = (lanes[number % lanes.length] as LaneThread).read(next.value.task);
          read.catch(() => undefined);
          underway.push({ chunk: next.value, number, since: performance.now(), read });
          number += 1;
        }
      }
      const oldest = underway.shift();
      if (!oldest || signal?.aborted) return { cursor, interrupted: !over || oldest !== undefined };
      const fault = await finish(options, driving, oldest);
      if (fault) return { fault, cursor, interrupted: false };
      cursor = oldest.chunk.cursor;
      saving(cursor);
    }
  } catch (error) {
    // A feed that proves what it reads stops at what does not hold.
    if (error instanceof Unsound) return { fault: error.fault, cursor, interrupted: false };
    throw error;
  } finally {
    await source.return?.();
  }
};

const stateSaver = ({ onState, stateEvery = 500_000 }: ReplayOptions, { course, reactions }: Standing) => {
  let last = course.facts();
  return (cursor: FeedCursor): void => {
    if (!onState || course.facts() - last < stateEvery) return;
    last = course.facts();
    onState({ cursor, course: course.state(), reactions: reactions.state() });
  };
};

/** One chunk to its end: proved, joined to the one before, folded. */
const finish = async (
  { onProgress }: ReplayOptions,
  { lanes, course, reactions, measures }: Driving,
  { chunk, number, since, read: reading }: Underway,
): Promise<ReplayFault | undefined> => {
  const index = number % lanes.length;
  const read = await measures.wait('prove', reading);
  const order = course.order(index, read);
  const folded = await measures.wait('fold', (lanes[index] as LaneThread).fold(order));
  const fault = course.take(index, read, folded);
  if (!fault) reactions.take(read.followed);
  measures.chunk({ facts: read.facts, ms: performance.now() - since, work: read.work, fold: folded.work });
  onProgress?.({ facts: course.facts(), share: chunk.share });
  return fault;
};

const resultOf = (
  { feed, from }: ReplayOptions,
  { course, reactions }: Standing,
  { fault, cursor, interrupted, measured }: Ended & { readonly measured: () => Measured },
): ReplayResult => {
  const outcome = course.outcome();
  const expected = interrupted || fault ? undefined : (course.expected() ?? feed.expected);
  const differences = expected ? differencesOf(expected, outcome) : [];
  const sagas = reactions.outcome();
  const verdict = fault
    ? 'unsound'
    : interrupted
      ? 'interrupted'
      : differences.length > 0 || sagas.some(({ unasked }) => unasked.length > 0)
        ? 'differs'
        : 'sound';
  return {
    verdict,
    outcome,
    fault,
    differences,
    compared: expected !== undefined,
    halts: course.halts(),
    sagas,
    get measured() {
      return measured();
    },
    state:
      interrupted && cursor
        ? { cursor, course: course.state(), reactions: reactions.state() }
        : from && interrupted
          ? from
          : undefined,
  };
};

/** What came out otherwise, one line each; read models of another version are not compared. */
export const differencesOf = (expected: Expectation, outcome: Expectation): readonly string[] => {
  const lines: string[] = [];
  const compare = (what: string, wanted: unknown, found: unknown): void => {
    if (wanted !== found) lines.push(`${what}: expected ${String(wanted)}, came to ${String(found)}`);
  };
  for (const name of ['arrivals', 'facts', 'repeats', 'conflicts'] as const)
    compare(name, expected[name], outcome[name]);
  const chains = new Map(outcome.chains.map((chain) => [chain.tenant, chain]));
  for (const { tenant, seq, hash, root } of expected.chains) {
    const chain = chains.get(tenant);
    chains.delete(tenant);
    compare(`the last fact of ${tenant}`, seq, chain?.seq);
    compare(`the head hash of ${tenant}`, hash, chain?.hash);
    compare(`the Merkle root of ${tenant}`, root, chain?.root);
  }
  for (const tenant of chains.keys()) compare(`facts of ${tenant}`, 'none', 'some');
  for (const model of expected.models) {
    const { projection, version } = model;
    const found = outcome.models.find((each) => each.projection === projection && each.version === version);
    if (!found) continue;
    compare(`the rows of ${projection}`, model.rows, found.rows);
    compare(`the digest of ${projection}`, model.digest, found.digest);
    compare(
      `the halts of ${projection}`,
      JSON.stringify(model.halted ?? []),
      JSON.stringify(found.halted ?? []),
    );
  }
  return lines;
};
