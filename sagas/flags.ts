// Ramps: the share of those who get a feature goes up step by step, on what was observed and never on the lack of it. Each
// step is held for a while, by a timer; when that fires, the newest observation must be there, be of this step, be
// fresh, be large enough and be sound, the tenant's own and that of each canary. Otherwise the flag is frozen, which only
// a person ends. What is plainly bad freezes at once, and so does an alarm that the tenant's stores drift.
//
//   started -> (step -> held)* -> ended         frozen -> acknowledged -> held again
//
// A tenant's ramps are one instance, since an alarm concerns all of them. A dry run is no matter of this file: its
// decider answers the same commands with advice.
import type { DriftAlarmRaised } from '#schemas/attestations.ts';
import type { Fact } from '#schemas/event.ts';
import type { FlagEvent, FreezeCause, RampObserved, RampStarted } from '#schemas/flags.ts';
import { type Instant, instant } from '#schemas/ids.ts';
import type { TimerFired } from '#schemas/timers.ts';
import type { Reaction, Saga } from './saga.ts';

export type RampsEvent =
  | Exclude<FlagEvent, { type: 'flags.FlagSet' | 'flags.FlagRetired' }>
  | DriftAlarmRaised
  | TimerFired;

interface Rate {
  readonly requests: number;
  readonly errors: number;
}

/** The newest of one party: the tenant itself, or a canary. */
export interface Observation {
  readonly of: string;
  readonly from: Instant;
  readonly to: Instant;
  /** Absent where it says nothing. */
  readonly rates: { readonly exposed: Rate; readonly control: Rate } | null;
  readonly unusable: string;
}

export interface Ramp {
  readonly feature: string;
  readonly id: string;
  readonly steps: readonly number[];
  readonly holdMs: number;
  readonly ageMsMax: number;
  readonly samplesMin: number;
  readonly errorPpmMax: number;
  readonly addedPpmMax: number;
  readonly canaries: readonly string[];
  readonly pct: number;
  /** The tenant's own observations count from here on. */
  readonly since: Instant;
  /** Counts its timers; the newest alone is heeded. */
  readonly tick: number;
  readonly frozen: boolean;
  readonly observed: readonly Observation[];
}

export interface RampsState {
  /** Those that are running. */
  readonly ramps: readonly Ramp[];
}

/** The one instance that a tenant has. */
export const RAMPS_KEY = 'ramps';

export const ramps: Saga<RampsEvent, RampsState> = {
  name: 'ramps',
  version: 1,
  summary: 'flags raised step by step on what was observed, and frozen where it is missing, stale or bad',
  handles: [
    'flags.RampStarted',
    'flags.RampObserved',
    'flags.RampAdvised',
    'flags.RampEnded',
    'flags.FlagRamped',
    'flags.FlagFrozen',
    'flags.FreezeAcknowledged',
    'attestations.DriftAlarmRaised',
    'timers.TimerFired',
  ],
  key: ({ type, data }) => (type === 'timers.TimerFired' && data.saga !== 'ramps' ? undefined : RAMPS_KEY),
  initial: { ramps: [] },

  fold: (state, fact) => {
    const { type, data, recordedAt } = fact;
    switch (type) {
      case 'flags.RampStarted':
        return { ramps: [...state.ramps, rampOf(data, recordedAt)] };
      case 'flags.RampObserved':
        return changed(state, data.feature, (ramp) => ({ ...ramp, observed: newest(ramp.observed, data) }));
      case 'flags.FlagRamped':
      case 'flags.RampAdvised':
        return changed(state, data.feature, (ramp) =>
          data.to_pct === undefined ? ramp : held({ ...ramp, pct: data.to_pct }, recordedAt),
        );
      case 'flags.FlagFrozen':
        return changed(state, data.feature, (ramp) => ({ ...ramp, frozen: true }));
      case 'flags.FreezeAcknowledged':
        return changed(state, data.feature, (ramp) => held({ ...ramp, frozen: false }, recordedAt));
      case 'flags.RampEnded':
        return { ramps: state.ramps.filter(({ feature }) => feature !== data.feature) };
      case 'attestations.DriftAlarmRaised':
      case 'timers.TimerFired':
        return state;
      default:
        return type satisfies never;
    }
  },

  react: ({ after: { ramps: running }, fact }) => {
    switch (fact.type) {
      case 'attestations.DriftAlarmRaised': {
        const { route, alarm_id } = fact.data;
        const why = `the alarm ${alarm_id} says that the stores of ${route} differ`;
        return running.filter(({ frozen }) => !frozen).map((ramp) => freeze(ramp, 'drift', why));
      }
      case 'timers.TimerFired': {
        const ramp = running.find((each) => timerOf(each) === fact.data.timer_id);
        return ramp && !ramp.frozen ? [goOn(ramp, fact)] : [];
      }
      default: {
        const ramp = running.find(({ feature }) => feature === fact.data.feature);
        return ramp && !ramp.frozen ? follows(ramp, fact) : [];
      }
    }
  },
};

type OfOneFlag = Exclude<Fact<RampsEvent>, { type: 'timers.TimerFired' | 'attestations.DriftAlarmRaised' }>;

const follows = (ramp: Ramp, fact: OfOneFlag): readonly Reaction[] => {
  switch (fact.type) {
    case 'flags.RampStarted':
      // Nobody has it yet, so there is nothing of it to observe: but canaries are looked at first.
      return ramp.pct === 0 && ramp.canaries.length === 0
        ? [step(ramp, 'the first step')]
        : [schedule(ramp, fact.recordedAt)];
    case 'flags.FlagRamped':
    case 'flags.RampAdvised':
    case 'flags.FreezeAcknowledged':
      return nextStep(ramp) === undefined ? [] : [schedule(ramp, fact.recordedAt)];
    case 'flags.RampObserved':
      return atOnce(ramp, fact);
    default:
      return [];
  }
};

const rampOf = (data: RampStarted['data'], recordedAt: Instant): Ramp => ({
  feature: data.feature,
  id: data.ramp_id,
  steps: data.steps,
  holdMs: data.hold_seconds * 1_000,
  ageMsMax: data.age_max_seconds * 1_000,
  samplesMin: data.samples_min,
  errorPpmMax: data.error_ppm_max,
  addedPpmMax: data.added_ppm_max,
  canaries: data.canaries,
  pct: data.from_pct,
  since: recordedAt,
  tick: 1,
  frozen: false,
  observed: [],
});

const changed = ({ ramps: all }: RampsState, feature: string, change: (ramp: Ramp) => Ramp): RampsState => ({
  ramps: all.map((ramp) => (ramp.feature === feature ? change(ramp) : ramp)),
});

/** What was observed before says nothing of what is now. */
const held = (ramp: Ramp, since: Instant): Ramp => ({ ...ramp, since, tick: ramp.tick + 1 });

/** One that arrives late does not take the place of a later one. */
const newest = (known: readonly Observation[], data: RampObserved['data']): readonly Observation[] => {
  const { of, exposed_requests, exposed_errors, control_requests, control_errors } = data;
  const to = instant(data.window_to);
  if (known.some((each) => each.of === of && each.to > to)) return known;
  const rates =
    data.unusable === undefined
      ? {
          exposed: { requests: exposed_requests ?? 0, errors: exposed_errors ?? 0 },
          control: { requests: control_requests ?? 0, errors: control_errors ?? 0 },
        }
      : null;
  const observation = { of, from: instant(data.window_from), to, rates, unusable: data.unusable ?? '' };
  return [...known.filter((each) => each.of !== of), observation];
};

const timerOf = ({ id, tick }: Ramp): string => `${id}.${tick}`;
const nextStep = ({ steps, pct }: Ramp): number | undefined => steps.find((each) => each > pct);

const schedule = (ramp: Ramp, at: Instant): Reaction => ({
  domain: 'timers',
  command: {
    type: 'ScheduleTimer',
    timerId: timerOf(ramp),
    saga: 'ramps',
    key: RAMPS_KEY,
    dueAt: (at + ramp.holdMs) as Instant,
  },
});

const step = (ramp: Ramp, reason: string): Reaction => {
  const { feature, id: rampId } = ramp;
  // Only asked where there is one: the ramp ends with its last step.
  const toPct = nextStep(ramp) as number;
  return { domain: 'flags', command: { type: 'StepRamp', feature, rampId, toPct, reason } };
};

const freeze = ({ feature, id: rampId }: Ramp, cause: FreezeCause, reason: string): Reaction => ({
  domain: 'flags',
  command: { type: 'FreezeFlag', feature, rampId, cause, reason },
});

interface Fault {
  readonly cause: FreezeCause;
  readonly reason: string;
}

/** The timer of this step has fired. */
const goOn = (ramp: Ramp, { tenant, recordedAt }: Fact<TimerFired>): Reaction => {
  const parties = [...(ramp.pct > 0 ? [tenant] : []), ...ramp.canaries];
  const found = parties.map((party) => {
    const observation = ramp.observed.find(({ of }) => of === party);
    // A canary has had the feature all along: its windows need not begin with our step.
    if (!observation || (party === tenant && observation.from < ramp.since))
      return { cause: 'missing', reason: `${party}: nothing was observed since the last step` } as const;
    const ageMs = recordedAt - observation.to;
    if (ageMs > ramp.ageMsMax)
      return { cause: 'stale', reason: `${party}: the last window ended ${seconds(ageMs)} s ago` } as const;
    return faultOf(ramp, observation);
  });
  const fault = found.find((each) => each !== undefined);
  return fault
    ? freeze(ramp, fault.cause, fault.reason)
    : step(ramp, parties.length === 0 ? 'the first step' : `sound: ${parties.join(', ')}`);
};

const seconds = (ms: number): number => Math.round(ms / 1_000);

/** What an observation says by itself, however old it is. */
const faultOf = (ramp: Ramp, { of, rates, unusable }: Observation): Fault | undefined => {
  if (!rates)
    return {
      cause: unusable === 'empty' ? 'missing' : 'unusable',
      reason: `${of}: no arithmetic can be done with what was observed (${unusable})`,
    };
  const { exposed, control } = rates;
  const fewest = Math.min(exposed.requests, control.requests);
  // Nothing is divided by zero below: a policy asks for one request at least.
  if (fewest < ramp.samplesMin)
    return { cause: 'insufficient', reason: `${of}: ${fewest} requests, and ${ramp.samplesMin} are needed` };
  const [withIt, without] = [ppm(exposed), ppm(control)];
  const said = `${of}: of a million requests ${Math.round(withIt)} fail with it, ${Math.round(without)} without`;
  if (withIt > ramp.errorPpmMax) return { cause: 'errors', reason: said };
  return withIt - without >= ramp.addedPpmMax ? { cause: 'added_errors', reason: said } : undefined;
};

const ppm = ({ requests, errors }: Rate): number => (errors / requests) * 1_000_000;

/** Too few requests may become enough while the step is held; what is bad does not become good by waiting. */
const atOnce = (ramp: Ramp, { tenant, data }: Fact<RampObserved>): readonly Reaction[] => {
  const observation = ramp.observed.find(({ of }) => of === data.of);
  if (!observation || observation.to !== instant(data.window_to)) return [];
  if (data.of === tenant && (ramp.pct === 0 || observation.from < ramp.since)) return [];
  const fault = faultOf(ramp, observation);
  return fault && fault.cause !== 'insufficient' ? [freeze(ramp, fault.cause, fault.reason)] : [];
};
