// Letters that wait for something else than a person: the registry that did not answer, a gate that was closed. They are
// taken by themselves, with those held behind them, once there is nothing to wait for.
import type { StreamName, TenantId } from '#schemas/ids.ts';
import type { Queryable } from '../connect.ts';
import { revisionKey } from '../reader.ts';
import { findLetter, lettersBehind, waitingForRegistry } from './letters.ts';
import type { Place } from './message.ts';
import { LETTERS_AT_ONCE, type Round, replayLetter, type SettleOptions, settleRound } from './settle.ts';

/** Takes what need not wait any longer; returns how many letters went in. Throws `StreamError`. */
export const replayWaiting = async (options: SettleOptions): Promise<number> =>
  (await afterRegistry(options)) + (await afterGates(options));

/** Stops at the first letter for which the registry still does not answer. */
const afterRegistry = async (options: SettleOptions): Promise<number> => {
  let taken = 0;
  for (const { letter } of await waitingForRegistry(options.pool, LETTERS_AT_ONCE)) {
    const result = await replayLetter(options, letter);
    if (result.kind !== 'done') continue;
    const now = sumOf(result);
    taken += now;
    const still = result.stopped && (await findLetter(options.pool, result.stopped.letter));
    if (now === 0 && still?.errorClass === 'registry-away') break;
  }
  return taken;
};

const sumOf = ({ accepted, duplicate, conflict }: Omit<Round, 'kind'>): number =>
  accepted + duplicate + conflict;

const afterGates = async (options: SettleOptions): Promise<number> => {
  const { pool, gates } = options;
  const waiting = await waitingAtGates(pool);
  if (waiting.length === 0) return 0;
  const asked = new Map(waiting.map(({ gate }) => [revisionKey(gate), gate]));
  const standings = await gates.standing([...asked.values()], true);
  const open = new Set(standings.filter(({ closed }) => closed === undefined).map(revisionKey));
  let taken = 0;
  for (const { gate, ...place } of waiting)
    if (open.has(revisionKey(gate))) taken += await throughOpened(options, place, revisionKey(gate));
  return taken;
};

/** A thousand letters of a partition at a time, until none waits or nothing moves. */
const throughOpened = async (options: SettleOptions, place: Place, gate: string): Promise<number> => {
  const letters = () => lettersBehind(options.pool, { ...place, gate }, LETTERS_AT_ONCE);
  for (let taken = 0; ; ) {
    const round = await settleRound(options, { ...place, gate, letters });
    const now = sumOf(round);
    taken += now;
    if (round.kind !== 'again' && now === 0) return taken;
  }
};

interface AtGate extends Place {
  readonly gate: { readonly tenant: TenantId; readonly stream: StreamName };
}

const waitingAtGates = async (client: Queryable): Promise<readonly AtGate[]> => {
  const { rows } = await client.query<Place & { readonly waits_for: string }>(
    `SELECT DISTINCT waits_for, topic, partition FROM transport.letters
      WHERE state = 'held' AND waits_for IS NOT NULL ORDER BY 1, 2, 3`,
  );
  return rows.map(({ waits_for: gate, topic, partition }) => {
    const [tenant, stream] = gate.split(' ') as [TenantId, StreamName];
    return { topic, partition, gate: { tenant, stream } };
  });
};
