import { expect } from 'chai';
import { flags } from '#commands/flags.ts';
import type {
  FlagEvent,
  FlagFrozen,
  FlagSet,
  FreezeAcknowledged,
  RampObserved,
  RampStarted,
} from '#schemas/flags.ts';
import { given } from '#test/support/given.ts';

const feature = 'new-checkout';
const reason = 'see ticket 4711';
const setTo = (pct: number): FlagSet => ({ type: 'flags.FlagSet', data: { feature, pct, reason } });
const frozen: FlagFrozen = { type: 'flags.FlagFrozen', data: { feature, cause: 'ordered', reason } };
const acknowledged: FreezeAcknowledged = { type: 'flags.FreezeAcknowledged', data: { feature, reason } };
const retired: FlagEvent = { type: 'flags.FlagRetired', data: { feature, reason } };
const started = (dry_run = false, from_pct = 0): RampStarted => ({
  type: 'flags.RampStarted',
  data: {
    feature,
    ramp_id: 'r-1',
    from_pct,
    steps: [10, 50, 100],
    hold_seconds: 3_600,
    age_max_seconds: 300,
    samples_min: 1_000,
    error_ppm_max: 10_000,
    added_ppm_max: 1_000,
    canaries: ['globex'],
    dry_run,
  },
});
const ramped = (from_pct: number, to_pct: number): FlagEvent => ({
  type: 'flags.FlagRamped',
  data: { feature, ramp_id: 'r-1', from_pct, to_pct, reason },
});
const ended = (outcome: 'completed' | 'stopped', why: string): FlagEvent => ({
  type: 'flags.RampEnded',
  data: { feature, ramp_id: 'r-1', outcome, reason: why },
});

const set = (pct: number) => ({ type: 'SetFlag', feature, pct, reason }) as const;
const step = (toPct: number, rampId = 'r-1') =>
  ({ type: 'StepRamp', feature, rampId, toPct, reason }) as const;
const halt = { type: 'FreezeFlag', feature, cause: 'errors', rampId: 'r-1', reason } as const;
const byHand = { type: 'FreezeFlag', feature, cause: 'ordered', reason } as const;
const acknowledge = { type: 'AcknowledgeFreeze', feature, reason } as const;
const start = {
  type: 'StartRamp',
  feature,
  rampId: 'r-1',
  steps: [10, 50, 100],
  holdSeconds: 3_600,
  ageMaxSeconds: 300,
  samplesMin: 1_000,
  errorPpmMax: 10_000,
  addedPpmMax: 1_000,
  canaries: ['globex'],
  dryRun: false,
} as const;

describe('commands/flags', () => {
  it('a flag is made by setting it, and moved by setting it again', () => {
    given(flags).when(set(0)).then(setTo(0));
    given(flags, setTo(0))
      .when({ ...set(25), description: 'the new one' })
      .then({ type: 'flags.FlagSet', data: { feature, pct: 25, reason, description: 'the new one' } });
    given(flags).when(byHand).thenRefused('FlagUnknown');
  });

  it('while it is frozen fewer may get it, and more only once a person has acknowledged that', () => {
    given(flags, setTo(10)).when(byHand).then(frozen);
    given(flags, setTo(10), frozen).when(set(11)).thenRefused('FlagFrozen');
    given(flags, setTo(10), frozen).when(byHand).thenRefused('FlagFrozen');
    given(flags, setTo(10), frozen).when(start).thenRefused('FlagFrozen');
    given(flags, setTo(10), frozen).when(set(0)).then(setTo(0));
    given(flags, setTo(10), frozen).when(acknowledge, { actor: 'saga:ramps' }).thenRefused('NotAPerson');
    given(flags, setTo(10), frozen).when(acknowledge).then(acknowledged);
    given(flags, setTo(10), frozen, acknowledged).when(set(11)).then(setTo(11));
    given(flags, setTo(10)).when(acknowledge).thenRefused('FlagNotFrozen');
  });

  it('what is retired stays so, and takes its ramp with it', () => {
    given(flags, setTo(0), started())
      .when({ type: 'RetireFlag', feature, reason })
      .then(retired, ended('stopped', reason));
    given(flags, setTo(0), retired).when(set(10)).thenRefused('FlagRetired');
  });

  describe('a ramp', () => {
    it('begins with steps that ascend from where the flag is', () => {
      given(flags, setTo(0)).when(start).then(started());
      given(flags, setTo(10)).when(start).thenRefused('StepsNotAscending');
      given(flags, setTo(0))
        .when({ ...start, steps: [50, 10] })
        .thenRefused('StepsNotAscending');
      given(flags, setTo(0), started()).when(start).thenRefused('RampRunning');
      given(flags).when(start).thenRefused('FlagUnknown');
    });

    it('takes the steps that were planned, in their order, and ends with the last', () => {
      given(flags, setTo(0), started()).when(step(10)).then(ramped(0, 10));
      given(flags, setTo(0), started()).when(step(50)).thenRefused('RampMovedOn');
      given(flags, setTo(0), started(), ramped(0, 10)).when(step(10)).thenRefused('RampMovedOn');
      given(flags, setTo(0), started()).when(step(10, 'r-0')).thenRefused('RampMovedOn');
      given(flags, setTo(0), started(), ramped(0, 10), ramped(10, 50))
        .when(step(100))
        .then(ramped(50, 100), ended('completed', 'the last step is taken'));
    });

    it('takes no step while the flag is frozen, whoever asks', () => {
      given(flags, setTo(0), started(), ramped(0, 10))
        .when(halt)
        .then({
          type: 'flags.FlagFrozen',
          data: { feature, cause: 'errors', ramp_id: 'r-1', reason },
        });
      given(flags, setTo(0), started(), ramped(0, 10), frozen).when(step(50)).thenRefused('FlagFrozen');
      given(flags, setTo(0), started(), ramped(0, 10), frozen, acknowledged)
        .when(step(50))
        .then(ramped(10, 50));
    });

    it('is stopped by a person, and only then is the flag set by hand', () => {
      given(flags, setTo(0), started()).when(set(5)).thenRefused('RampRunning');
      given(flags, setTo(0), started())
        .when({ type: 'StopRamp', feature, reason })
        .then(ended('stopped', reason));
      given(flags, setTo(0), started(), ended('stopped', reason)).when(set(5)).then(setTo(5));
      given(flags, setTo(0)).when({ type: 'StopRamp', feature, reason }).thenRefused('NoRampRunning');
      given(flags, setTo(0)).when(halt).thenRefused('RampMovedOn');
    });

    it('says in a dry run what it would do, and changes nothing', () => {
      const advised = (data: object): FlagEvent =>
        ({ type: 'flags.RampAdvised', data: { feature, ramp_id: 'r-1', ...data, reason } }) as FlagEvent;
      const dry = [setTo(0), started(true)] as const;
      given(flags, ...dry)
        .when(step(10))
        .then(advised({ to_pct: 10 }));
      given(flags, ...dry, advised({ to_pct: 10 }))
        .when(step(50))
        .then(advised({ to_pct: 50 }));
      given(flags, ...dry)
        .when(halt)
        .then(advised({ cause: 'errors' }), ended('stopped', 'a dry run ends where it would freeze'));
      given(flags, ...dry)
        .when(set(5))
        .then(setTo(5));
      expect(given(flags, ...dry, advised({ to_pct: 10 })).state().pct).to.equal(0);
    });
  });

  describe('an observation', () => {
    const readings = {
      exposed: { requests: '2000', errors: '3' },
      control: { requests: '9000', errors: '8' },
    };
    const observe = {
      type: 'ObserveRamp',
      feature,
      of: 'acme',
      windowFrom: '2026-11-21T08:59:00Z',
      windowTo: '2026-11-21T09:00:00Z',
      ...readings,
      source: 'test',
    } as const;
    const observed = (data: object): RampObserved => ({
      type: 'flags.RampObserved',
      data: {
        feature,
        ramp_id: 'r-1',
        of: 'acme',
        window_from: observe.windowFrom,
        window_to: observe.windowTo,
        ...data,
        source: 'test',
      },
    });
    const running = given(flags, setTo(0), started());

    it('is recorded in counts, of the tenant and of canaries, while a ramp is running', () => {
      const counts = {
        exposed_requests: 2_000,
        exposed_errors: 3,
        control_requests: 9_000,
        control_errors: 8,
      };
      running.when(observe).then(observed(counts));
      running.when({ ...observe, of: 'globex' }).then(observed({ ...counts, of: 'globex' }));
      running.when({ ...observe, of: 'initech' }).thenRefused('NotObserved');
      given(flags, setTo(0)).when(observe).thenRefused('NoRampRunning');
    });

    it('that no arithmetic can be done with is recorded as such, and never as a count', () => {
      for (const [requests, unusable] of [
        ['', 'empty'],
        ['NaN', 'not_a_number'],
        ['many', 'not_a_number'],
        ['+Inf', 'infinite'],
        ['-Inf', 'infinite'],
        ['Infinity', 'infinite'],
        ['-1', 'out_of_range'],
        ['1e300', 'out_of_range'],
        ['2', 'out_of_range'],
      ] as const)
        running.when({ ...observe, exposed: { requests, errors: '3' } }).then(observed({ unusable }));
    });

    it('that leaves a count out is of an empty series', () => {
      running.when({ ...observe, exposed: { errors: '3' } }).then(observed({ unusable: 'empty' }));
      running.when({ ...observe, control: {} }).then(observed({ unusable: 'empty' }));
    });

    it('rounds what a source extrapolates up: no error is rounded away', () => {
      running.when({ ...observe, exposed: { requests: '1999.2', errors: '0.001' } }).then(
        observed({
          exposed_requests: 2_000,
          exposed_errors: 1,
          control_requests: 9_000,
          control_errors: 8,
        }),
      );
    });

    it('has a window that ends, and not in the future', () => {
      running.when({ ...observe, windowFrom: observe.windowTo }).thenRefused('WindowUnsound');
      running.when({ ...observe, windowTo: '2026-11-21T09:02:00Z' }).thenRefused('WindowUnsound');
    });
  });
});
