// What must hold of alarms and write paths in the chain alone, whoever ran the sagas, how often, and wherever they were
// killed. It knows the rules by itself and nothing of the saga.
import { expect } from 'chai';
import type { History } from './world.ts';

export interface Watched {
  epoch: number;
  closed: boolean;
  /** The place of the last closing, and of the first. */
  closedAt: number;
  firstClosedAt: number;
  byAlarm: boolean;
  alarms: Set<string>;
  filledTo: number | undefined;
  cleanAt: number[];
  proved: boolean;
  /** The last comparison found drift, and nobody has overruled it since. */
  divergent: boolean;
}

const unwatched = (): Watched => ({
  epoch: 0,
  closed: false,
  closedAt: 0,
  firstClosedAt: Number.POSITIVE_INFINITY,
  byAlarm: false,
  alarms: new Set<string>(),
  filledTo: undefined,
  cleanAt: [],
  proved: false,
  divergent: false,
});

/** `asked`: of each receipt, what the ledger held when it was asked for. */
export interface Asked {
  readonly asked?: ReadonlyMap<string, number>;
}

/** What must hold of a chain, however it came about. Throws with what does not. */
export const expectReactionsSound = (
  history: History,
  { asked }: Asked = {},
): ReadonlyMap<string, Watched> => {
  const routes = new Map<string, Watched>();
  for (const fact of history) {
    const route = fact.type.startsWith('receipts.') ? 'receipts' : routeOf(fact);
    if (route === undefined) continue;
    const watched = routes.get(route) ?? unwatched();
    routes.set(route, watched);
    watch(watched, fact, asked);
  }
  return routes;
};

const routeOf = ({ type, data }: History[number]): string | undefined =>
  type.startsWith('gates.') || type.startsWith('attestations.')
    ? (data as { readonly route: string }).route
    : undefined;

const watch = (watched: Watched, { type, data, seq }: History[number], asked: Asked['asked']): void => {
  switch (type) {
    case 'receipts.ReceiptRecorded':
      // Before it moves for the first time a gate has no epoch to fence by: who looked then, and slept, is let through.
      if (watched.closed && (asked?.get(data.id) ?? Number.POSITIVE_INFINITY) >= watched.firstClosedAt)
        expect.fail(
          `the receipt ${data.id} came in at ${seq}, past a path that was closed at ${watched.closedAt}`,
        );
      break;
    case 'attestations.AttestationRecorded':
      if (data.verdict === 'lag') break;
      watched.divergent = data.verdict === 'divergent';
      if (watched.divergent) Object.assign(watched, { cleanAt: [], filledTo: undefined });
      if (data.verdict === 'clean' && data.left_seq > (watched.cleanAt.at(-1) ?? -1)) {
        if (watched.filledTo !== undefined && data.left_seq >= watched.filledTo)
          watched.cleanAt.push(data.left_seq);
        watched.proved ||= watched.cleanAt.length >= 2;
      }
      break;
    case 'attestations.DriftAlarmRaised':
      expect([...watched.alarms], 'an alarm is raised once').to.not.include(data.alarm_id);
      watched.alarms.add(data.alarm_id);
      break;
    case 'attestations.BackfillCompleted':
      if (watched.closed) Object.assign(watched, { filledTo: data.to_seq, cleanAt: [] });
      break;
    case 'gates.WritePathRolledBack':
      expect(watched.closed, 'what is closed is not closed again').to.equal(false);
      expect(data.epoch, 'epochs have no gaps').to.equal(watched.epoch + 1);
      if (data.alarm_id !== undefined)
        expect([...watched.alarms], 'nothing closes without its alarm').to.include(data.alarm_id);
      Object.assign(watched, {
        epoch: data.epoch,
        closed: true,
        closedAt: seq,
        firstClosedAt: Math.min(watched.firstClosedAt, seq),
        byAlarm: data.alarm_id !== undefined,
        filledTo: undefined,
        cleanAt: [],
        proved: false,
      });
      break;
    case 'gates.WritePathRestored':
      expect(watched.closed, 'only what is closed is restored').to.equal(true);
      expect(data.epoch, 'epochs have no gaps').to.equal(watched.epoch + 1);
      if (data.grounds === 'attested') {
        expect(watched.byAlarm, 'what was closed by hand is not opened by a saga').to.equal(true);
        expect(watched.proved, 'nothing returns without proof').to.equal(true);
      } else watched.divergent = false;
      Object.assign(watched, { epoch: data.epoch, closed: false, filledTo: undefined, cleanAt: [] });
      break;
    default:
    // Nothing that a gate depends on.
  }
};
