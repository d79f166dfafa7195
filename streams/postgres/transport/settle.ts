// Letters taken after all, or given up. The messages of one key go in in the order in which they came: the first that
// still cannot be taken keeps those behind it waiting. The partition's position is locked meanwhile, so that its
// consumer stores nothing in between, and reads the letters anew afterwards.
import type { AppendRequest } from '#streams/stream.ts';
import type { Client, Pool } from '../connect.ts';
import type { ClaimHolder, Fate, Together } from '../together.ts';
import { addFlow, type FlowChange, noFlow } from './flow.ts';
import { flowOf } from './intake.ts';
import { findLetter, type Letter, openLettersOf, waitingForRegistry } from './letters.ts';
import type { FlowFate, Message, Reader, Reading } from './message.ts';
import { bumpEpoch } from './positions.ts';

export interface SettleOptions {
  readonly pool: Pool;
  readonly together: Together;
  readonly read: Reader;
  readonly noteConflict?: (message: Message, request: AppendRequest, first: ClaimHolder) => AppendRequest;
}

export interface Settlement {
  /** Letters that were taken, by what became of them. */
  readonly accepted: number;
  readonly duplicate: number;
  readonly conflict: number;
  /** The letter that still cannot be taken, and why; those behind it with its key wait. */
  readonly stopped?: { readonly letter: number; readonly error: string };
}

export type ReplayResult =
  | ({ readonly kind: 'done' } & Settlement)
  | { readonly kind: 'no-such-letter' }
  /** It is settled or given up already. */
  | { readonly kind: 'closed'; readonly letter: Letter }
  /** It waits behind another of its key: that one is to be replayed or given up. */
  | { readonly kind: 'behind'; readonly first: Letter };

/** Letters in one transaction at most. */
const AT_ONCE = 1_000;

/** Takes a letter and those held behind it. `record` is the fact that says who asked; it goes in with them. */
export const replayLetter = (
  options: SettleOptions,
  letter: number,
  record?: AppendRequest,
): Promise<ReplayResult> => begin(options, letter, { record });

/**
 * Takes the letters that wait for the registry, and those behind them; returns how many letters went in. Stops at the first for
 * which it still does not answer.
 */
export const replayWaiting = async (options: SettleOptions): Promise<number> => {
  let taken = 0;
  for (const { letter } of await waitingForRegistry(options.pool, AT_ONCE)) {
    const result = await replayLetter(options, letter);
    if (result.kind !== 'done') continue;
    const now = result.accepted + result.duplicate + result.conflict;
    taken += now;
    const still = result.stopped && (await findLetter(options.pool, result.stopped.letter));
    if (now === 0 && still?.errorClass === 'registry-away') break;
  }
  return taken;
};

/** Gives a letter up, and takes those held behind it. */
export const discardLetter = (
  options: SettleOptions,
  letter: number,
  record?: AppendRequest,
): Promise<ReplayResult> => begin(options, letter, { record, discard: letter });

interface Act {
  readonly record?: AppendRequest | undefined;
  readonly discard?: number;
}

const begin = async (options: SettleOptions, number: number, act: Act): Promise<ReplayResult> => {
  const letter = await findLetter(options.pool, number);
  if (!letter) return { kind: 'no-such-letter' };
  if (letter.state === 'settled' || letter.state === 'discarded') return { kind: 'closed', letter };
  const [first = letter] = await waiting(options.pool, letter, 1);
  if (first.letter !== number) return { kind: 'behind', first };
  const total = { accepted: 0, duplicate: 0, conflict: 0 };
  for (let next: Act = act; ; ) {
    const round = await settleRound(options, letter, next);
    if (round.kind === 'again') continue;
    next = {};
    total.accepted += round.accepted;
    total.duplicate += round.duplicate;
    total.conflict += round.conflict;
    if (round.kind === 'end')
      return { kind: 'done', ...total, ...(round.stopped && { stopped: round.stopped }) };
  }
};

/** The open letters of the same key, or this one alone when it has none. */
const waiting = async (pool: Pool, letter: Letter, limit: number): Promise<readonly Letter[]> => {
  const { topic, partition, key } = letter;
  if (key !== undefined) return await openLettersOf(pool, { topic, partition, key }, limit);
  const now = await findLetter(pool, letter.letter);
  return now && (now.state === 'dead' || now.state === 'held') ? [now] : [];
};

interface Round extends Settlement {
  /** `again`: somebody else settles the same letters; nothing was done. */
  readonly kind: 'more' | 'end' | 'again';
}

interface Verdict {
  readonly letter: Letter;
  readonly reading: Reading;
}

const NOTHING = { accepted: 0, duplicate: 0, conflict: 0 };

const settleRound = async (options: SettleOptions, of: Letter, act: Act): Promise<Round> => {
  const { pool, together, read, noteConflict } = options;
  const open = await waiting(pool, of, AT_ONCE);
  const rest = open.filter(({ letter }) => letter !== act.discard);
  const { taken, stopped } = await readUntilStopped(rest, read, together);
  if (open.length === 0) return { kind: 'end', ...NOTHING };
  const requests = taken.map(({ reading }) => (reading as { request: AppendRequest }).request);
  const letterOf = new Map(requests.map((request, index) => [request, taken[index]?.letter as Letter]));
  const gone = open.find(({ letter }) => letter === act.discard);
  let counts = NOTHING;
  const fates = await together.commit({
    requests: act.record ? [...requests, act.record] : requests,
    before: async (client) => {
      await bumpEpoch(client, of);
      return await stillOpen(client, open);
    },
    after: async (client, all) => {
      const mine = all.slice(0, requests.length);
      counts = countsOf(mine);
      await close(client, { taken, fates: mine, gone, stopped });
    },
    ...(noteConflict && {
      onTaken: (request, first) => {
        const letter = letterOf.get(request);
        return letter && noteConflict(letter, request, first);
      },
    }),
  });
  if (!fates) return { kind: 'again', ...NOTHING };
  if (stopped) {
    const { error } = stopped.reading as { error: string };
    return { kind: 'end', ...counts, stopped: { letter: stopped.letter.letter, error } };
  }
  return { kind: of.key === undefined ? 'end' : 'more', ...counts };
};

const readUntilStopped = async (
  letters: readonly Letter[],
  read: Reader,
  together: Together,
): Promise<{ readonly taken: readonly Verdict[]; readonly stopped?: Verdict }> => {
  const taken: Verdict[] = [];
  for (const letter of letters) {
    const reading = await checked(await read(letter), together);
    if (reading.kind === 'aside') return { taken, stopped: { letter, reading } };
    taken.push({ letter, reading });
  }
  return { taken };
};

const checked = async (reading: Reading, together: Together): Promise<Reading> => {
  if (reading.kind === 'aside') return reading;
  const { tenant } = reading.request;
  if ((await together.known([tenant])).has(tenant)) return reading;
  return { kind: 'aside', errorClass: 'no-such-tenant', error: `there is no tenant ${tenant}: create it` };
};

const countsOf = (fates: readonly Fate[]) => {
  const counts = { accepted: 0, duplicate: 0, conflict: 0 };
  for (const fate of fates) counts[flowOf(fate)] += 1;
  return counts;
};

/** Locks them; false when one of them was settled meanwhile. */
const stillOpen = async (client: Client, letters: readonly Letter[]): Promise<boolean> => {
  const { rowCount } = await client.query(
    `SELECT FROM transport.letters WHERE letter = ANY ($1) AND state IN ('dead', 'held') FOR UPDATE`,
    [letters.map(({ letter }) => letter)],
  );
  return rowCount === letters.length;
};

interface Closing {
  readonly taken: readonly Verdict[];
  readonly fates: readonly Fate[];
  readonly gone: Letter | undefined;
  readonly stopped: Verdict | undefined;
}

const close = async (client: Client, { taken, fates, gone, stopped }: Closing): Promise<void> => {
  const changes: FlowChange[] = [];
  if (taken.length > 0) {
    const outcomes = fates.map(flowOf);
    await client.query(
      `UPDATE transport.letters l SET state = 'settled', outcome = t.outcome, settled_at = now()
        FROM unnest($1::bigint[], $2::text[]) AS t (letter, outcome) WHERE l.letter = t.letter`,
      [taken.map(({ letter }) => letter.letter), outcomes],
    );
    for (const [index, { letter }] of taken.entries())
      changes.push(moved(letter, outcomes[index] as FlowFate));
  }
  if (gone) {
    await client.query(
      `UPDATE transport.letters SET state = 'discarded', settled_at = now() WHERE letter = $1`,
      [gone.letter],
    );
    changes.push({ ...moved(gone, 'dead_lettered'), discarded: 1 });
  }
  if (stopped && stopped.reading.kind === 'aside') {
    const { errorClass, error, schemaId } = stopped.reading;
    const state = errorClass === 'registry-away' ? 'held' : 'dead';
    await client.query(
      `UPDATE transport.letters SET state = $2, error_class = $3, error = $4, schema_id = $5,
        published = published AND state = 'dead' WHERE letter = $1`,
      [
        stopped.letter.letter,
        state,
        errorClass,
        error.replaceAll('\0', '\uFFFD').slice(0, 1_000),
        schemaId ?? null,
      ],
    );
    changes.push(moved(stopped.letter, state === 'dead' ? 'dead_lettered' : 'held'));
  }
  if (changes.length > 0) await addFlow(client, changes);
};

/** From what the letter counted as to what it counts as now, in the hour it came in. */
const moved = ({ topic, partition, receivedAt, state }: Letter, to: FlowFate): FlowChange => {
  const counts = noFlow();
  counts[state === 'dead' ? 'dead_lettered' : 'held'] -= 1;
  counts[to] += 1;
  return { topic, partition, at: receivedAt, received: 0, counts };
};
