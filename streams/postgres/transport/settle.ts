// Letters taken after all, or given up. The messages of one key go in in the order in which they came: the first that
// still cannot be taken keeps those behind it waiting. The partition's position is locked meanwhile, so that its
// consumer stores nothing in between, and reads the letters anew afterwards.
import type { AppendRequest } from '#streams/stream.ts';
import type { Client, Pool } from '../connect.ts';
import { revisionKey } from '../reader.ts';
import type { ClaimHolder, Fate, Together } from '../together.ts';
import { addFlow, type FlowChange, noFlow } from './flow.ts';
import { type GateStanding, type Gates, standingsOf, throughGate } from './gates.ts';
import { flowOf } from './intake.ts';
import { errorText, findLetter, handOn, type Letter, openLettersOf } from './letters.ts';
import {
  type FlowFate,
  keyText,
  type Message,
  type Place,
  type Reader,
  type Reading,
  stateOf,
} from './message.ts';
import { bumpEpoch } from './positions.ts';

export interface SettleOptions {
  readonly pool: Pool;
  readonly together: Together;
  readonly read: Reader;
  readonly gates: Gates;
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
export const LETTERS_AT_ONCE = 1_000;

/** Takes a letter and those held behind it. `record` is the fact that says who asked; it goes in with them. */
export const replayLetter = (
  options: SettleOptions,
  letter: number,
  record?: AppendRequest,
): Promise<ReplayResult> => begin(options, letter, { record });

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
  const { topic, partition } = letter;
  const selection = { topic, partition, letters: () => waiting(options.pool, letter, LETTERS_AT_ONCE) };
  for (let next: Act = act; ; ) {
    const round = await settleRound(options, selection, next);
    if (round.kind === 'again') continue;
    next = {};
    total.accepted += round.accepted;
    total.duplicate += round.duplicate;
    total.conflict += round.conflict;
    if (round.kind === 'end' || letter.key === undefined)
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

/** Open letters of one partition, those of a key from its first one on, in the order in which they came. */
export interface Selection extends Place {
  readonly letters: () => Promise<readonly Letter[]>;
  /** The gate (`revisionKey`) that they wait for: who comes next of a key that is not through waits for it too. */
  readonly gate?: string;
}

export interface Round extends Settlement {
  /**
   * `more` may be selected. `end`: none was, or one of them still cannot be taken. `again`: somebody else settles the same
   * letters, or a gate has moved; nothing was done.
   */
  readonly kind: 'more' | 'end' | 'again';
}

interface Verdict {
  readonly letter: Letter;
  readonly reading: Reading;
}

const NOTHING = { accepted: 0, duplicate: 0, conflict: 0 };

/** Takes what can be taken of a selection, in one transaction. Throws `StreamError`. */
export const settleRound = async (
  options: SettleOptions,
  selection: Selection,
  act: Act = {},
): Promise<Round> => {
  const { together, noteConflict } = options;
  const open = await selection.letters();
  if (open.length === 0) return { kind: 'end', ...NOTHING };
  const rest = open.filter(({ letter }) => letter !== act.discard);
  const { taken, stopped, expects } = await readUntilStopped(options, rest);
  const requests = taken.map(({ reading }) => (reading as { request: AppendRequest }).request);
  const letterOf = new Map(requests.map((request, index) => [request, taken[index]?.letter as Letter]));
  const gone = open.find(({ letter }) => letter === act.discard);
  let counts = NOTHING;
  const fates = await together.commit({
    requests: act.record ? [...requests, act.record] : requests,
    expects,
    before: async (client) => {
      await bumpEpoch(client, selection);
      return await stillOpen(client, open);
    },
    after: async (client, all) => {
      const mine = all.slice(0, requests.length);
      counts = countsOf(mine);
      await close(client, { taken, fates: mine, gone, stopped });
      if (selection.gate !== undefined) await handOn(client, selection, keysOf(taken));
    },
    ...(noteConflict && {
      onTaken: (request, first) => {
        const letter = letterOf.get(request);
        return letter && noteConflict(letter, request, first);
      },
    }),
  });
  if (!fates) return { kind: 'again', ...NOTHING };
  const [first] = stopped;
  if (!first) return { kind: 'more', ...counts };
  const { error } = first.reading as { error: string };
  return { kind: 'end', ...counts, stopped: { letter: first.letter.letter, error } };
};

interface Verdicts {
  readonly taken: readonly Verdict[];
  /** The first letter of each key that still cannot be taken. */
  readonly stopped: readonly Verdict[];
  /** The gates that were looked at. */
  readonly expects: readonly GateStanding[];
}

const readUntilStopped = async (options: SettleOptions, letters: readonly Letter[]): Promise<Verdicts> => {
  const standings = new Map<string, GateStanding>();
  const stuck = new Set<string>();
  const taken: Verdict[] = [];
  const stopped: Verdict[] = [];
  for (const letter of letters) {
    const key = keyText(letter.key);
    if (key !== undefined && stuck.has(key)) continue;
    const reading = await admitted(options, standings, await options.read(letter));
    if (reading.kind === 'append') taken.push({ letter, reading });
    else {
      stopped.push({ letter, reading });
      if (key !== undefined) stuck.add(key);
    }
  }
  return { taken, stopped, expects: [...standings.values()] };
};

/** `standings` grows by the gates that were not looked at yet. */
const admitted = async (
  { together, gates }: SettleOptions,
  standings: Map<string, GateStanding>,
  reading: Reading,
): Promise<Reading> => {
  if (reading.kind === 'aside') return reading;
  const { request } = reading;
  const { tenant } = request;
  if (!(await together.known([tenant])).has(tenant))
    return { kind: 'aside', errorClass: 'no-such-tenant', error: `there is no tenant ${tenant}: create it` };
  const gate = gates.gateOf(request);
  if (gate && !standings.has(revisionKey(gate)))
    for (const [key, standing] of await standingsOf(gates, [request], true)) standings.set(key, standing);
  return throughGate(gates, standings, reading);
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

const keysOf = (verdicts: readonly Verdict[]): readonly Buffer[] => [
  ...new Map(verdicts.flatMap(({ letter: { key } }) => (key ? [[keyText(key), key]] : []))).values(),
];

interface Closing {
  readonly taken: readonly Verdict[];
  readonly fates: readonly Fate[];
  readonly gone: Letter | undefined;
  readonly stopped: readonly Verdict[];
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
  for (const verdict of stopped) changes.push(...(await noteStopped(client, verdict)));
  if (changes.length > 0) await addFlow(client, changes);
};

/** What is wrong with a letter now, where that is not what it was. */
const noteStopped = async (client: Client, { letter, reading }: Verdict): Promise<readonly FlowChange[]> => {
  if (reading.kind === 'append') return [];
  const { errorClass, schemaId, waitsFor } = reading;
  const [state, error] = [stateOf(errorClass), errorText(reading.error)];
  if (letter.state === state && letter.errorClass === errorClass && letter.error === error) return [];
  await client.query(
    `UPDATE transport.letters SET state = $2, error_class = $3, error = $4, schema_id = $5, waits_for = $6,
      published = published AND state = 'dead' WHERE letter = $1`,
    [letter.letter, state, errorClass, error, schemaId ?? null, waitsFor ? revisionKey(waitsFor) : null],
  );
  return [moved(letter, state === 'dead' ? 'dead_lettered' : 'held')];
};

/** From what the letter counted as to what it counts as now, in the hour it came in. */
const moved = ({ topic, partition, receivedAt, state }: Letter, to: FlowFate): FlowChange => {
  const counts = noFlow();
  counts[state === 'dead' ? 'dead_lettered' : 'held'] -= 1;
  counts[to] += 1;
  return { topic, partition, at: receivedAt, received: 0, counts };
};
