// Drift: where two stores that should agree are attested not to, the alarm is raised and the write path of the route is
// taken back. It returns after a backfill and clean attestations in a row, or on the word of a named person.
//
//   watching -> crossed -> alarmed -> closed -> filled -> (restored) watching
//
// A store that only lags is no drift and counts neither way. What an operator closed by hand is not opened from here.
import type { AttestationEvent, AttestationRecorded } from '#schemas/attestations.ts';
import type { Fact } from '#schemas/event.ts';
import type { GateEvent, WritePathRestored } from '#schemas/gates.ts';
import type { Reaction, Saga } from './saga.ts';

export type DriftEvent =
  | Exclude<
      AttestationEvent,
      { type: 'attestations.DriftLocated' | 'attestations.SpanDigested' | 'attestations.WriteAttested' }
    >
  | GateEvent;

export interface DriftState {
  readonly standing: 'watching' | 'crossed' | 'alarmed' | 'closed' | 'filled';
  readonly divergentMin: number;
  readonly alarmAfter: number;
  readonly cleanAfter: number;
  /** Attestations in a row that counted against the route. */
  readonly inARow: number;
  /** What the last divergent one found, and where. */
  readonly divergent: number;
  readonly divergentAt: number;
  /** Of the fact that crossed the policy, or of the alarm; empty while watching. */
  readonly alarmId: string;
  /** Of the gate, as of its last closing. */
  readonly epoch: number;
  /** Closed for an alarm, and not by hand. */
  readonly byAlarm: boolean;
  readonly filledTo: number;
  /** Clean attestations since the backfill, each of a later place than the one before. */
  readonly clean: number;
  readonly cleanAt: number;
}

const WATCHING = {
  standing: 'watching',
  inARow: 0,
  divergent: 0,
  divergentAt: 0,
  alarmId: '',
  byAlarm: false,
  filledTo: 0,
  clean: 0,
  cleanAt: 0,
} as const;

type Attested = Fact<AttestationRecorded>;

export const drift: Saga<DriftEvent, DriftState> = {
  name: 'drift',
  version: 1,
  summary: 'drift alarm, write path taken back, and its return after a backfill and clean attestations',
  handles: [
    'attestations.AttestationRecorded',
    'attestations.DriftPolicyChanged',
    'attestations.DriftAlarmRaised',
    'attestations.BackfillCompleted',
    'gates.WritePathRolledBack',
    'gates.WritePathRestored',
  ],
  key: ({ data }) => data.route,
  initial: { ...WATCHING, divergentMin: 1, alarmAfter: 1, cleanAfter: 2, epoch: 0 },

  fold: (state, fact) => {
    const { type, data } = fact;
    switch (type) {
      case 'attestations.AttestationRecorded':
        return attested(state, fact);
      case 'attestations.DriftPolicyChanged':
        return {
          ...state,
          divergentMin: data.divergent_min,
          alarmAfter: data.alarm_after,
          cleanAfter: data.clean_after,
        };
      case 'attestations.DriftAlarmRaised':
        return ['watching', 'crossed'].includes(state.standing)
          ? { ...state, standing: 'alarmed', alarmId: data.alarm_id }
          : state;
      case 'attestations.BackfillCompleted':
        return ['closed', 'filled'].includes(state.standing)
          ? { ...state, standing: 'filled', filledTo: data.to_seq, clean: 0, cleanAt: 0 }
          : state;
      case 'gates.WritePathRolledBack':
        return {
          ...state,
          standing: 'closed',
          epoch: data.epoch,
          byAlarm: data.alarm_id !== undefined,
          clean: 0,
          cleanAt: 0,
        };
      case 'gates.WritePathRestored':
        return restored(state, fact);
      default:
        return type satisfies never;
    }
  },

  react: ({ after, fact }) => {
    switch (fact.type) {
      case 'attestations.AttestationRecorded':
        return afterAttestation(after, fact);
      case 'attestations.DriftAlarmRaised':
        return after.standing === 'alarmed' ? [rollBack(fact)] : [];
      case 'gates.WritePathRestored':
        return after.standing === 'crossed' ? [raise(fact.data.route, after)] : [];
      default:
        return [];
    }
  },
};

const attested = (state: DriftState, { id, data }: Attested): DriftState => {
  switch (data.verdict) {
    case 'lag':
      return state;
    case 'clean': {
      const counts =
        state.standing === 'filled' && data.left_seq >= state.filledTo && data.left_seq > state.cleanAt;
      return {
        ...state,
        ...(state.standing === 'crossed' && { standing: 'watching', alarmId: '' }),
        inARow: 0,
        ...(counts && { clean: state.clean + 1, cleanAt: data.left_seq }),
      };
    }
    case 'divergent':
      return divergent(state, id, data);
    default:
      return data.verdict satisfies never;
  }
};

/** Below the policy it is no alarm, but not clean either. */
const divergent = (state: DriftState, id: string, data: Attested['data']): DriftState => {
  const counts = data.divergent >= state.divergentMin;
  const inARow = state.inARow + (counts ? 1 : 0);
  const unproved = {
    ...state,
    inARow,
    divergent: data.divergent,
    divergentAt: data.left_seq,
    clean: 0,
    cleanAt: 0,
  };
  // What the backfill did not put right needs another one.
  if (state.standing === 'filled') return { ...unproved, standing: 'closed' };
  return state.standing === 'watching' && counts && inARow >= state.alarmAfter
    ? { ...unproved, standing: 'crossed', alarmId: id }
    : unproved;
};

// The proof was recorded, and then, before the path was open, a new divergence: it counts from now on. A person who opens
// the path knows of it.
const restored = (state: DriftState, { id, data }: Fact<WritePathRestored>): DriftState => {
  const { inARow, divergent, divergentAt } = state;
  const crosses = data.grounds === 'attested' && inARow >= state.alarmAfter;
  return {
    ...state,
    ...WATCHING,
    ...(data.grounds === 'attested' && { inARow, divergent, divergentAt }),
    ...(crosses && { standing: 'crossed', alarmId: id }),
  };
};

const raise = (route: string, { alarmId, divergentAt, divergent, inARow }: DriftState): Reaction => ({
  domain: 'attestations',
  command: { type: 'RaiseDriftAlarm', route, alarmId, asOfSeq: divergentAt, divergent, inARow },
});

// Asked for again with each fact that bears it out, until it is on record: what was recorded is refused the second time.
const afterAttestation = (state: DriftState, { data }: Attested): readonly Reaction[] => {
  const { route } = data;
  if (data.verdict === 'divergent' && state.standing === 'crossed') return [raise(route, state)];
  if (state.standing === 'filled' && state.byAlarm && state.clean >= state.cleanAfter)
    return [
      {
        domain: 'gates',
        command: {
          type: 'RestoreWritePath',
          route,
          grounds: 'attested',
          epoch: state.epoch,
          reason: `filled anew up to ${state.filledTo}, and ${state.clean} clean attestations in a row, the last at ${state.cleanAt}`,
        },
      },
    ];
  return [];
};

const rollBack = ({ data }: Fact<AlarmRaised>): Reaction => ({
  domain: 'gates',
  command: {
    type: 'RollBackWritePath',
    route: data.route,
    alarmId: data.alarm_id,
    reason: `${data.divergent} elements differ between its stores, as of ${data.as_of_seq}`,
  },
});

// Alarms as they are told outside: the state of an instance is what is to be told, and is kept for whoever tells it
// (sagas/postgres/alarms). Nothing follows from it in the ledger.

export interface AlarmState {
  readonly route: string;
  readonly asOfSeq: number;
  readonly divergent: number;
  readonly inARow: number;
  /** When the ledger recorded it, milliseconds since 1970, and at which place. */
  readonly raisedAt: number;
  readonly seq: number;
}

type AlarmRaised = Extract<DriftEvent, { type: 'attestations.DriftAlarmRaised' }>;

export const alarms: Saga<AlarmRaised, AlarmState> = {
  name: 'alarms',
  version: 1,
  summary: 'drift alarms, kept to be told to the log and to a webhook; asks for nothing',
  handles: ['attestations.DriftAlarmRaised'],
  key: ({ data }) => data.alarm_id,
  initial: { route: '', asOfSeq: 0, divergent: 0, inARow: 0, raisedAt: 0, seq: 0 },
  // The first one under an id is the alarm.
  fold: (state, { data, recordedAt, seq }) =>
    state.seq > 0
      ? state
      : {
          route: data.route,
          asOfSeq: data.as_of_seq,
          divergent: data.divergent,
          inARow: data.in_a_row,
          raisedAt: recordedAt,
          seq,
        },
  react: () => [],
};
