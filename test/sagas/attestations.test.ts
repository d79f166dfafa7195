import { alarms, drift } from '#sagas/attestations.ts';
import type { Reaction } from '#sagas/saga.ts';
import type { Said } from '#test/projectors/chains.ts';
import { givenSaga } from '#test/support/given-saga.ts';

const attested = (verdict: 'clean' | 'divergent' | 'lag', seq: number, divergent = 0): Said => ({
  type: 'attestations.AttestationRecorded',
  data: {
    route: 'receipts',
    left_store: 'postgres',
    left_seq: seq,
    left_root: 'a'.repeat(64),
    right_store: 'neo4j',
    right_seq: verdict === 'lag' ? seq - 1 : seq,
    right_root: (verdict === 'clean' ? 'a' : 'b').repeat(64),
    elements: 10,
    divergent,
    verdict,
  },
});
const policy = (divergent_min: number, alarm_after: number, clean_after: number): Said => ({
  type: 'attestations.DriftPolicyChanged',
  data: { route: 'receipts', divergent_min, alarm_after, clean_after },
});
const alarm: Said = {
  type: 'attestations.DriftAlarmRaised',
  data: { route: 'receipts', alarm_id: 'a-1', as_of_seq: 5, divergent: 3, in_a_row: 1 },
};
const closed: Said = {
  type: 'gates.WritePathRolledBack',
  data: { route: 'receipts', epoch: 1, alarm_id: 'a-1', reason: '3 elements differ' },
};
const closedByHand: Said = {
  type: 'gates.WritePathRolledBack',
  data: { route: 'receipts', epoch: 1, reason: 'see ticket 4711' },
};
const restored: Said = {
  type: 'gates.WritePathRestored',
  data: { route: 'receipts', epoch: 2, grounds: 'attested', reason: 'the stores agree' },
};
const filled = (to_seq: number): Said => ({
  type: 'attestations.BackfillCompleted',
  data: { route: 'receipts', to_seq, operations: 10 },
});
const raise = (of: number, asOfSeq: number, inARow: number, divergent: number): Reaction => ({
  domain: 'attestations',
  command: {
    type: 'RaiseDriftAlarm',
    route: 'receipts',
    alarmId: `00000000-0000-7000-8000-${of.toString(16).padStart(12, '0')}`,
    asOfSeq,
    divergent,
    inARow,
  },
});
const restore: Reaction = {
  domain: 'gates',
  command: {
    type: 'RestoreWritePath',
    route: 'receipts',
    grounds: 'attested',
    epoch: 1,
    reason: 'filled anew up to 9, and 2 clean attestations in a row, the last at 11',
  },
};

describe('sagas/attestations: drift', () => {
  it('a divergence raises the alarm, named after the fact that crossed the policy', () => {
    givenSaga(drift, attested('clean', 4))
      .when(attested('divergent', 5, 3))
      .then(raise(2, 5, 1, 3));
  });

  it('lag never counts, and does not end a row either (pitfall 33)', () => {
    const lags = Array.from({ length: 20 }, (_, index) => attested('lag', index + 2));
    givenSaga(drift, ...lags.slice(1))
      .when(lags[0] as Said)
      .thenNothing();
    givenSaga(drift, policy(1, 2, 2), attested('divergent', 5, 3), attested('lag', 6))
      .when(attested('divergent', 7, 3))
      .then(raise(4, 7, 2, 3));
  });

  it('below the policy nothing follows, and a clean one ends the row', () => {
    givenSaga(drift, policy(4, 1, 2))
      .when(attested('divergent', 5, 3))
      .thenNothing();
    givenSaga(drift, policy(1, 2, 2), attested('divergent', 5, 3), attested('clean', 6))
      .when(attested('divergent', 7, 3))
      .thenNothing();
  });

  it('one alarm is asked for until it is on record, and then no other', () => {
    givenSaga(drift, attested('divergent', 5, 3))
      .when(attested('divergent', 6, 3))
      .then(raise(1, 6, 2, 3));
    givenSaga(drift, attested('divergent', 5, 3), alarm)
      .when(attested('divergent', 6, 3))
      .thenNothing();
  });

  it('the alarm takes the write path back', () => {
    givenSaga(drift, attested('divergent', 5, 3))
      .when(alarm)
      .then({
        domain: 'gates',
        command: {
          type: 'RollBackWritePath',
          route: 'receipts',
          alarmId: 'a-1',
          reason: '3 elements differ between its stores, as of 5',
        },
      });
  });

  it('it returns after a backfill and two clean attestations, and not before', () => {
    const taken = [attested('divergent', 5, 3), alarm, closed] as const;
    givenSaga(drift, ...taken, attested('clean', 9))
      .when(attested('clean', 10))
      .thenNothing();
    givenSaga(drift, ...taken, filled(9))
      .when(attested('clean', 10))
      .thenNothing();
    givenSaga(drift, ...taken, filled(9), attested('clean', 10))
      .when(attested('clean', 11))
      .then(restore);
  });

  it('clean means clean: of later places, after the backfill, without a divergence in between', () => {
    const taken = [attested('divergent', 5, 3), alarm, closed, filled(9)] as const;
    givenSaga(drift, ...taken, attested('clean', 10))
      .when(attested('clean', 10))
      .thenNothing();
    givenSaga(drift, ...taken, attested('clean', 8))
      .when(attested('clean', 9))
      .thenNothing();
    givenSaga(drift, ...taken, attested('clean', 10), attested('divergent', 11, 1), attested('clean', 12))
      .when(attested('clean', 13))
      .thenNothing();
    givenSaga(drift, ...taken, attested('clean', 10), attested('lag', 11))
      .when(attested('clean', 11))
      .then(restore);
  });

  it('what somebody closed by hand is not opened from here', () => {
    givenSaga(drift, closedByHand, filled(9), attested('clean', 10))
      .when(attested('clean', 11))
      .thenNothing();
  });

  it('a divergence between the proof and the return is an alarm of its own; a person who opens the path knows of it', () => {
    const late = [
      alarm,
      closed,
      filled(9),
      attested('clean', 10),
      attested('clean', 11),
      attested('divergent', 12, 4),
    ];
    givenSaga(drift, ...late)
      .when(restored)
      .then(raise(7, 12, 1, 4));
    givenSaga(drift, ...late)
      .when({ ...restored, data: { ...(restored.data as object), grounds: 'ordered' } })
      .thenNothing();
  });

  it('after the return it watches again, with the same policy', () => {
    givenSaga(drift, policy(1, 2, 2), alarm, closed, filled(9), restored)
      .when(attested('divergent', 12, 1))
      .state({ standing: 'watching', inARow: 1, alarmAfter: 2 });
    givenSaga(drift, policy(1, 2, 2), alarm, closed, filled(9), restored, attested('divergent', 12, 1))
      .when(attested('divergent', 13, 1))
      .then(raise(7, 13, 2, 1));
  });
});

describe('sagas/attestations: alarms', () => {
  it('keeps what is to be told of an alarm, and asks for nothing', () => {
    const told = givenSaga(alarms).when(alarm);
    told.state({ route: 'receipts', asOfSeq: 5, divergent: 3, inARow: 1, seq: 1 });
    told.thenNothing();
  });

  it('the first under an id is the alarm', () => {
    const again: Said = { ...alarm, data: { ...(alarm.data as object), divergent: 9 } };
    givenSaga(alarms, alarm).when(again).state({ divergent: 3, seq: 1 });
  });
});
