import { RAMPS_KEY, ramps } from '#sagas/flags.ts';
import type { Reaction } from '#sagas/saga.ts';
import type { FreezeCause } from '#schemas/flags.ts';
import { type Instant, instantText } from '#schemas/ids.ts';
import type { Said } from '#test/projectors/chains.ts';
import { givenSaga } from '#test/support/given-saga.ts';

// Facts are recorded a second apart, from 08:00:01 on; a step is held for a minute.
const START = Date.UTC(2026, 10, 1, 8);
const at = (second: number): string => instantText((START + second * 1_000) as Instant);
const feature = 'new-checkout';
const reason = 'x';

const started = (over: object = {}): Said => ({
  type: 'flags.RampStarted',
  data: {
    feature,
    ramp_id: 'r-1',
    from_pct: 0,
    steps: [10, 50, 100],
    hold_seconds: 60,
    age_max_seconds: 30,
    samples_min: 1_000,
    error_ppm_max: 10_000,
    added_ppm_max: 1_000,
    canaries: [],
    dry_run: false,
    ...over,
  },
});
const ramped = (from_pct: number, to_pct: number): Said => ({
  type: 'flags.FlagRamped',
  data: { feature, ramp_id: 'r-1', from_pct, to_pct, reason },
});
const frozen: Said = { type: 'flags.FlagFrozen', data: { feature, cause: 'stale', reason } };
const acknowledged: Said = { type: 'flags.FreezeAcknowledged', data: { feature, reason } };
const alarm: Said = {
  type: 'attestations.DriftAlarmRaised',
  data: { route: 'receipts', alarm_id: 'a-1', as_of_seq: 1, divergent: 1, in_a_row: 1 },
};

interface Seen {
  readonly exposed?: readonly [requests: number, errors: number];
  readonly control?: readonly [requests: number, errors: number];
  readonly of?: string;
  readonly from?: number;
  readonly to?: number;
  readonly unusable?: string;
}

/** Sound unless told: of 30 s, ended just before the timer fires. */
const observed = ({
  exposed = [2_000, 2],
  control = [9_000, 9],
  of = 'acme',
  from = 30,
  to = 60,
  unusable,
}: Seen = {}): Said => ({
  type: 'flags.RampObserved',
  data: {
    feature,
    ramp_id: 'r-1',
    of,
    window_from: at(from),
    window_to: at(to),
    ...(unusable === undefined
      ? {
          exposed_requests: exposed[0],
          exposed_errors: exposed[1],
          control_requests: control[0],
          control_errors: control[1],
        }
      : { unusable }),
    source: 'test',
  },
});
const fired = (tick: number, second = 62): Said => ({
  type: 'timers.TimerFired',
  data: { timer_id: `r-1.${tick}`, saga: 'ramps', key: RAMPS_KEY, due_at: at(second) },
  recordedAt: at(second),
});

const schedule = (tick: number, second: number): Reaction => ({
  domain: 'timers',
  command: {
    type: 'ScheduleTimer',
    timerId: `r-1.${tick}`,
    saga: 'ramps',
    key: RAMPS_KEY,
    dueAt: (START + second * 1_000) as Instant,
  },
});
const step = (toPct: number, why: string): Reaction => ({
  domain: 'flags',
  command: { type: 'StepRamp', feature, rampId: 'r-1', toPct, reason: why },
});
const freeze = (cause: FreezeCause, why: string): Reaction => ({
  domain: 'flags',
  command: { type: 'FreezeFlag', feature, rampId: 'r-1', cause, reason: why },
});

const AT_TEN = [started(), ramped(0, 10)] as const;
const missing = freeze('missing', 'acme: nothing was observed since the last step');

describe('sagas: ramps', () => {
  it('the first step waits for nothing, since nobody has the feature yet; each step is then held', () => {
    givenSaga(ramps).when(started()).then(step(10, 'the first step'));
    givenSaga(ramps, started()).when(ramped(0, 10)).then(schedule(2, 62));
    givenSaga(ramps, ...AT_TEN, observed(), ramped(10, 50))
      .when(ramped(50, 100))
      .thenNothing();
  });

  it('a ramp that begins above nothing, or has canaries, looks before its first step', () => {
    givenSaga(ramps)
      .when(started({ from_pct: 5 }))
      .then(schedule(1, 61));
    givenSaga(ramps)
      .when(started({ canaries: ['globex'] }))
      .then(schedule(1, 61));
    givenSaga(ramps, started({ canaries: ['globex'] }))
      .when(fired(1))
      .then(freeze('missing', 'globex: nothing was observed since the last step'));
    givenSaga(ramps, started({ canaries: ['globex'] }), observed({ of: 'globex' }))
      .when(fired(1))
      .then(step(10, 'sound: globex'));
  });

  it('it goes on when the newest observation is of this step, fresh, large enough and sound', () => {
    givenSaga(ramps, ...AT_TEN, observed())
      .when(fired(2))
      .then(step(50, 'sound: acme'));
    givenSaga(ramps, ...AT_TEN, observed(), observed({ exposed: [1, 1], from: 5, to: 20 }))
      .when(fired(2))
      .then(step(50, 'sound: acme'));
  });

  it('without data, or with old data, it freezes', () => {
    givenSaga(ramps, ...AT_TEN)
      .when(fired(2))
      .then(missing);
    givenSaga(ramps, ...AT_TEN, observed({ from: 1, to: 60 }))
      .when(fired(2))
      .then(missing);
    givenSaga(ramps, ...AT_TEN, observed())
      .when(fired(2, 91))
      .then(freeze('stale', 'acme: the last window ended 31 s ago'));
    givenSaga(ramps, ...AT_TEN, observed())
      .when(fired(2, 90))
      .then(step(50, 'sound: acme'));
  });

  it('with too little data it freezes, but not before the step was held', () => {
    for (const few of [{ exposed: [999, 0] }, { control: [999, 0] }, { exposed: [0, 0] }] as const) {
      givenSaga(ramps, ...AT_TEN)
        .when(observed(few))
        .thenNothing();
      const requests = 'exposed' in few ? few.exposed[0] : few.control[0];
      givenSaga(ramps, ...AT_TEN, observed(few))
        .when(fired(2))
        .then(freeze('insufficient', `acme: ${requests} requests, and 1000 are needed`));
    }
  });

  it('an empty, infinite or senseless series freezes at once', () => {
    for (const [unusable, cause] of [
      ['empty', 'missing'],
      ['not_a_number', 'unusable'],
      ['infinite', 'unusable'],
      ['out_of_range', 'unusable'],
    ] as const)
      givenSaga(ramps, ...AT_TEN)
        .when(observed({ unusable }))
        .then(freeze(cause, `acme: no arithmetic can be done with what was observed (${unusable})`));
  });

  it('errors freeze at once: all, too many, or a thousandth more than without the feature', () => {
    const said = (withIt: number, without: number) =>
      `acme: of a million requests ${withIt} fail with it, ${without} without`;
    const when = (seen: Seen) => givenSaga(ramps, ...AT_TEN).when(observed(seen));
    when({ exposed: [2_000, 2_000], control: [9_000, 9_000] }).then(
      freeze('errors', said(1_000_000, 1_000_000)),
    );
    when({ exposed: [2_000, 21], control: [9_000, 95] }).then(freeze('errors', said(10_500, 10_556)));
    when({ exposed: [2_000, 20], control: [10_000, 95] }).thenNothing();
    when({ exposed: [2_000, 4], control: [10_000, 10] }).then(freeze('added_errors', said(2_000, 1_000)));
    when({ exposed: [10_000, 19], control: [10_000, 10] }).thenNothing();
  });

  it('a canary that does badly, or says nothing, holds everybody', () => {
    const withCanary = [started({ canaries: ['globex'] }), ramped(0, 10), observed()] as const;
    givenSaga(ramps, ...withCanary)
      .when(fired(2))
      .then(freeze('missing', 'globex: nothing was observed since the last step'));
    givenSaga(ramps, ...withCanary)
      .when(observed({ of: 'globex', exposed: [1_000, 5] }))
      .then(freeze('added_errors', 'globex: of a million requests 5000 fail with it, 1000 without'));
    givenSaga(ramps, ...withCanary, observed({ of: 'globex', from: 0 }))
      .when(fired(2))
      .then(step(50, 'sound: acme, globex'));
  });

  it('frozen, it does nothing until a person has acknowledged that, and then holds the step anew', () => {
    givenSaga(ramps, ...AT_TEN, frozen, observed())
      .when(fired(2))
      .thenNothing();
    givenSaga(ramps, ...AT_TEN, frozen)
      .when(alarm)
      .thenNothing();
    givenSaga(ramps, ...AT_TEN, frozen)
      .when(acknowledged)
      .then(schedule(3, 64));
    givenSaga(ramps, ...AT_TEN, observed(), frozen, acknowledged)
      .when(fired(2))
      .thenNothing();
    givenSaga(ramps, ...AT_TEN, frozen, acknowledged)
      .when(fired(3, 70))
      .then(missing);
    givenSaga(ramps, ...AT_TEN, frozen, acknowledged, observed())
      .when(fired(3, 70))
      .then(step(50, 'sound: acme'));
  });

  it('an alarm that stores drift freezes every ramp of the tenant', () => {
    const other: Said = { ...started({ feature: 'dark-mode', ramp_id: 'r-2', from_pct: 10, steps: [100] }) };
    const why = 'the alarm a-1 says that the stores of receipts differ';
    givenSaga(ramps, ...AT_TEN, other)
      .when(alarm)
      .then(freeze('drift', why), {
        domain: 'flags',
        command: { type: 'FreezeFlag', feature: 'dark-mode', rampId: 'r-2', cause: 'drift', reason: why },
      });
    givenSaga(ramps).when(alarm).thenNothing();
  });

  it('a dry run asks for the same, and its advice counts as its steps', () => {
    const advised: Said = {
      type: 'flags.RampAdvised',
      data: { feature, ramp_id: 'r-1', to_pct: 10, reason },
    };
    givenSaga(ramps)
      .when(started({ dry_run: true }))
      .then(step(10, 'the first step'));
    givenSaga(ramps, started({ dry_run: true }))
      .when(advised)
      .then(schedule(2, 62));
    givenSaga(ramps, started({ dry_run: true }), advised, observed())
      .when(fired(2))
      .then(step(50, 'sound: acme'));
  });

  it('what has ended is forgotten, and timers of it are not heeded', () => {
    const ended: Said = {
      type: 'flags.RampEnded',
      data: { feature, ramp_id: 'r-1', outcome: 'stopped', reason },
    };
    givenSaga(ramps, ...AT_TEN, observed(), ended)
      .when(fired(2))
      .thenNothing();
    givenSaga(ramps, ...AT_TEN)
      .when(ended)
      .state({ ramps: [] });
  });
});
