// A flag is set, ramped, frozen and retired: a stream for each feature. What the ramp controller may do is decided here
// and not by it: it takes the steps that were planned, in their order, never past a freeze, and in a dry run none. Only
// a named person ends a freeze; only a person, or a ramp, lets more in.
import {
  type FlagEvent,
  type FreezeCause,
  type RampObserved,
  type RampStarted,
  type Unusable,
} from '#schemas/flags.ts';
import { instant, isInstant, streamName } from '#schemas/ids.ts';
import { accept, type CommandContext, type Decider, type Refusal, refuse } from './decider.ts';

/** What a source said, in its own writing: `12`, `12.5`, `NaN`, `+Inf`; absent where the series was empty. */
export interface Reading {
  readonly requests?: string;
  readonly errors?: string;
}

/** How a ramp goes on, and what stops it. Shares are errors in a million requests. */
export interface RampPolicy {
  readonly steps: readonly number[];
  readonly holdSeconds: number;
  readonly ageMaxSeconds: number;
  readonly samplesMin: number;
  readonly errorPpmMax: number;
  readonly addedPpmMax: number;
  readonly canaries: readonly string[];
  readonly dryRun: boolean;
}

interface OfFeature {
  readonly feature: string;
  readonly reason: string;
}

export type FlagCommand =
  | (OfFeature & {
      readonly type: 'SetFlag';
      readonly pct: number;
      readonly description?: string;
    })
  /** `rampId`: asked for by that ramp's controller. */
  | (OfFeature & {
      readonly type: 'FreezeFlag';
      readonly cause: FreezeCause;
      readonly rampId?: string;
    })
  | (OfFeature & { readonly type: 'AcknowledgeFreeze' | 'RetireFlag' | 'StopRamp' })
  | (OfFeature & { readonly type: 'StepRamp'; readonly rampId: string; readonly toPct: number })
  | (RampPolicy & { readonly type: 'StartRamp'; readonly feature: string; readonly rampId: string })
  | {
      readonly type: 'ObserveRamp';
      readonly feature: string;
      /** Whose requests: the tenant's own, or those of a canary. */
      readonly of: string;
      /** RFC 3339, both. */
      readonly windowFrom: string;
      readonly windowTo: string;
      readonly exposed: Reading;
      readonly control: Reading;
      readonly source: string;
    };

export type FlagRefusal = Refusal<
  | 'FlagUnknown'
  | 'FlagRetired'
  | 'FlagFrozen'
  | 'FlagNotFrozen'
  | 'NotAPerson'
  | 'RampRunning'
  | 'NoRampRunning'
  | 'RampMovedOn'
  | 'StepsNotAscending'
  | 'NotObserved'
  | 'WindowUnsound'
>;

export interface RunningRamp {
  readonly id: string;
  readonly dryRun: boolean;
  readonly steps: readonly number[];
  readonly canaries: readonly string[];
  /** Where it has come to: of the flag itself, or of what a dry run would have made of it. */
  readonly pct: number;
}

export interface FlagState {
  readonly standing: 'absent' | 'set' | 'retired';
  readonly pct: number;
  readonly frozen: FreezeCause | undefined;
  readonly ramp: RunningRamp | undefined;
}

type Starting = Extract<FlagCommand, { type: 'StartRamp' }>;
type Observing = Extract<FlagCommand, { type: 'ObserveRamp' }>;
type Stepping = Extract<FlagCommand, { type: 'StepRamp' }>;
type Freezing = Extract<FlagCommand, { type: 'FreezeFlag' }>;

export const flags: Decider<FlagCommand, FlagState, FlagEvent, FlagRefusal> = {
  domain: 'flags',
  stream: ({ feature }) => streamName('flags', feature),
  initial: { standing: 'absent', pct: 0, frozen: undefined, ramp: undefined },

  evolve: (state, { type, data }) => {
    switch (type) {
      case 'flags.FlagSet':
        return { ...state, standing: 'set', pct: data.pct };
      case 'flags.FlagRamped':
        return { ...state, pct: data.to_pct, ramp: state.ramp && { ...state.ramp, pct: data.to_pct } };
      case 'flags.FlagFrozen':
        return { ...state, frozen: data.cause };
      case 'flags.FreezeAcknowledged':
        return { ...state, frozen: undefined };
      case 'flags.FlagRetired':
        return { ...state, standing: 'retired' };
      case 'flags.RampStarted':
        return { ...state, ramp: rampOf(data) };
      case 'flags.RampAdvised':
        return { ...state, ramp: state.ramp && { ...state.ramp, pct: data.to_pct ?? state.ramp.pct } };
      case 'flags.RampEnded':
        return { ...state, ramp: undefined };
      case 'flags.RampObserved':
        return state;
      default:
        return type satisfies never;
    }
  },

  decide: (command, state, context) => {
    const { feature } = command;
    if (state.standing === 'retired')
      return refuse('FlagRetired', `the flag ${feature} was retired; choose another name for a new feature`);
    if (command.type === 'SetFlag') return set(command, state);
    if (state.standing === 'absent')
      return refuse('FlagUnknown', `there is no flag ${feature}; set it first`);
    switch (command.type) {
      case 'FreezeFlag':
        return freeze(command, state);
      case 'AcknowledgeFreeze':
        return acknowledge(command, state, context);
      case 'RetireFlag': {
        const { reason } = command;
        const ended = state.ramp ? [ending(feature, state.ramp, { outcome: 'stopped', reason })] : [];
        return accept<FlagEvent>(
          { event: { type: 'flags.FlagRetired', data: { feature, reason } } },
          ...ended,
        );
      }
      case 'StartRamp':
        return start(command, state);
      case 'ObserveRamp':
        return observe(command, state, context);
      case 'StepRamp':
        return step(command, state);
      case 'StopRamp':
        return state.ramp
          ? accept<FlagEvent>(ending(feature, state.ramp, { outcome: 'stopped', reason: command.reason }))
          : noRamp(feature);
      default:
        return command satisfies never;
    }
  },
};

const rampOf = (data: RampStarted['data']): RunningRamp => ({
  id: data.ramp_id,
  dryRun: data.dry_run,
  steps: data.steps,
  canaries: data.canaries,
  pct: data.from_pct,
});

const noRamp = (feature: string) => refuse('NoRampRunning', `no ramp of ${feature} is running; start one`);

const isFrozen = (feature: string, cause: FreezeCause) =>
  refuse(
    'FlagFrozen',
    `the flag ${feature} is frozen (${cause}); a named person acknowledges that before more get it`,
  );

const ending = (feature: string, { id }: RunningRamp, how: Ending) => ({
  event: { type: 'flags.RampEnded', data: { feature, ramp_id: id, ...how } } as const,
});
type Ending = { readonly outcome: 'completed' | 'stopped'; readonly reason: string };

// Fewer may get it at any time: that is the way out of trouble.
const set = (
  { feature, pct, reason, description }: Extract<FlagCommand, { type: 'SetFlag' }>,
  { pct: before, frozen, ramp }: FlagState,
) => {
  if (frozen && pct > before) return isFrozen(feature, frozen);
  if (ramp && !ramp.dryRun)
    return refuse('RampRunning', `the ramp ${ramp.id} of ${feature} is running; stop it first`);
  const described = description === undefined ? {} : { description };
  return accept<FlagEvent>({
    event: { type: 'flags.FlagSet', data: { feature, pct, reason, ...described } },
  });
};

const freeze = ({ feature, cause, reason, rampId }: Freezing, { frozen, ramp }: FlagState) => {
  if (rampId !== undefined && ramp?.id !== rampId) return movedOn(feature, rampId);
  if (rampId !== undefined && ramp?.dryRun)
    return accept<FlagEvent>(
      { event: { type: 'flags.RampAdvised', data: { feature, ramp_id: rampId, cause, reason } } },
      ending(feature, ramp, { outcome: 'stopped', reason: 'a dry run ends where it would freeze' }),
    );
  if (frozen) return isFrozen(feature, frozen);
  const data = { feature, cause, ...(rampId !== undefined && { ramp_id: rampId }), reason };
  return accept<FlagEvent>({ event: { type: 'flags.FlagFrozen', data } });
};

const acknowledge = ({ feature, reason }: OfFeature, { frozen }: FlagState, { actor }: CommandContext) => {
  if (!frozen) return refuse('FlagNotFrozen', `the flag ${feature} is not frozen`);
  if (actor.startsWith('saga:'))
    return refuse('NotAPerson', `${actor} is no person; a freeze is ended by somebody who has looked`);
  return accept<FlagEvent>({ event: { type: 'flags.FreezeAcknowledged', data: { feature, reason } } });
};

const start = (command: Starting, { pct, frozen, ramp }: FlagState) => {
  const { feature, rampId, steps, canaries, dryRun } = command;
  if (ramp) return refuse('RampRunning', `the ramp ${ramp.id} of ${feature} is running; stop it first`);
  if (frozen) return isFrozen(feature, frozen);
  const ascending = steps.every((each, index) => each > (index === 0 ? pct : (steps[index - 1] as number)));
  if (!ascending)
    return refuse(
      'StepsNotAscending',
      `give steps that ascend from above the ${pct} % that ${feature} is at, for example 10, 50, 100`,
    );
  return accept<FlagEvent>({
    event: {
      type: 'flags.RampStarted',
      data: {
        feature,
        ramp_id: rampId,
        from_pct: pct,
        steps: [...steps],
        hold_seconds: command.holdSeconds,
        age_max_seconds: command.ageMaxSeconds,
        samples_min: command.samplesMin,
        error_ppm_max: command.errorPpmMax,
        added_ppm_max: command.addedPpmMax,
        canaries: [...canaries],
        dry_run: dryRun,
      },
    },
  });
};

const movedOn = (feature: string, rampId: string) =>
  refuse('RampMovedOn', `the ramp ${rampId} of ${feature} is not running any more, or is not there yet`);

const step = ({ feature, rampId, toPct, reason }: Stepping, { pct, frozen, ramp }: FlagState) => {
  const next = ramp?.steps.find((each) => each > ramp.pct);
  if (ramp?.id !== rampId || next !== toPct) return movedOn(feature, rampId);
  if (frozen) return isFrozen(feature, frozen);
  const moved: FlagEvent = ramp.dryRun
    ? { type: 'flags.RampAdvised', data: { feature, ramp_id: rampId, to_pct: toPct, reason } }
    : { type: 'flags.FlagRamped', data: { feature, ramp_id: rampId, from_pct: pct, to_pct: toPct, reason } };
  const done = toPct === ramp.steps.at(-1);
  return accept<FlagEvent>(
    { event: moved },
    ...(done ? [ending(feature, ramp, { outcome: 'completed', reason: 'the last step is taken' })] : []),
  );
};

/** A source's clock may be ahead of ours by this much. */
const AHEAD_MS_MAX = 60_000;

const observe = (command: Observing, { ramp }: FlagState, { tenant, at }: CommandContext) => {
  const { feature, of, windowFrom: window_from, windowTo: window_to, source } = command;
  if (!ramp) return noRamp(feature);
  if (of !== tenant && !ramp.canaries.includes(of))
    return refuse('NotObserved', `${of} is neither the tenant itself nor a canary of the ramp ${ramp.id}`);
  // What is no moment at all, the schema refuses.
  const [from, to] = [window_from, window_to].map((each) => (isInstant(each) ? instant(each) : Number.NaN));
  if (Number(from) >= Number(to) || Number(to) > at + AHEAD_MS_MAX)
    return refuse('WindowUnsound', 'give a window that ends after it begins, and not in the future');
  const data: RampObserved['data'] = {
    feature,
    ramp_id: ramp.id,
    of,
    window_from,
    window_to,
    ...countsOf(command),
    source,
  };
  return accept<FlagEvent>({ event: { type: 'flags.RampObserved', data } });
};

type Counts = Pick<
  RampObserved['data'],
  'exposed_requests' | 'exposed_errors' | 'control_requests' | 'control_errors' | 'unusable'
>;

const countsOf = ({ exposed, control }: Observing): Counts => {
  const read = [exposed.requests, exposed.errors, control.requests, control.errors].map(countOf);
  const unusable = read.find((each) => typeof each === 'string');
  if (unusable !== undefined) return { unusable };
  const [exposed_requests, exposed_errors, control_requests, control_errors] = read as number[] as Four;
  if (exposed_errors > exposed_requests || control_errors > control_requests)
    return { unusable: 'out_of_range' };
  return { exposed_requests, exposed_errors, control_requests, control_errors };
};
type Four = [number, number, number, number];

const COUNT_MAX = 9_000_000_000_000_000;

/** Rates over a window are extrapolated to fractions: rounded up, so that no error is rounded away. */
const countOf = (said: string | undefined): number | Unusable => {
  const text = said?.trim() ?? '';
  if (text === '') return 'empty';
  if (/^[+-]?inf(inity)?$/i.test(text)) return 'infinite';
  const value = Math.ceil(Number(text));
  if (Number.isNaN(value)) return 'not_a_number';
  return value >= 0 && value <= COUNT_MAX ? value : 'out_of_range';
};
