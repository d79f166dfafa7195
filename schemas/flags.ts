// Flags: who gets a feature of a service, or a new way through one of its routes, as a share of those who ask. A ramp
// raises the share step by step, on what was observed; a freeze holds it until a named person has looked.
import { type Static, type TSchema, Type } from '@sinclair/typebox';
import type { DomainEvent, DomainSchema } from './event.ts';
import { dateTime, tenantName, text, versioned, visible } from './faults.ts';

const COUNT_MAX = 9_000_000_000_000_000;
const closed = { additionalProperties: false } as const;

const count = (of: string, minimum = 0, maximum = COUNT_MAX) =>
  Type.Integer({ minimum, maximum, description: `a whole number from ${minimum} to ${maximum}: ${of}` });
const oneOf = <const Names extends readonly string[]>(names: Names, of: string) =>
  Type.Unsafe<Names[number]>(
    Type.Union(
      names.map((name) => Type.Literal(name)),
      { description: `one of ${names.join(', ')}: ${of}` },
    ),
  );

/** What a flag is for, within its tenant: a feature's name, or a route. */
export const feature = visible(128, 'the feature or route, for example new-checkout or POST:/v1/orders');
const pct = (of: string, minimum = 0) => count(of, minimum, 100);
const reason = text(512, 'why');
const rampId = visible(64, 'the ramp');
const ppm = (of: string, minimum = 0) => count(of, minimum, 1_000_000);

/** Why a flag is held where it is. `ordered`: by whoever recorded it. */
export const FREEZE_CAUSES = [
  'missing',
  'stale',
  'insufficient',
  'unusable',
  'errors',
  'added_errors',
  'drift',
  'ordered',
] as const;
export type FreezeCause = (typeof FREEZE_CAUSES)[number];

/** Why an observation says nothing. */
export const UNUSABLE = ['empty', 'not_a_number', 'infinite', 'out_of_range'] as const;
export type Unusable = (typeof UNUSABLE)[number];

const cause = oneOf(FREEZE_CAUSES, 'what is wrong');

export const flagSetSchema = Type.Object(
  {
    feature,
    pct: pct('in a hundred, how many get it'),
    reason,
    description: Type.Optional(text(512, 'what the feature is, for people')),
  },
  { ...closed, description: 'FlagSet' },
);
export const flagRampedSchema = Type.Object(
  {
    feature,
    ramp_id: rampId,
    from_pct: pct('in a hundred, how many got it'),
    to_pct: pct('in a hundred, how many get it now', 1),
    reason,
  },
  { ...closed, description: 'FlagRamped' },
);
export const flagFrozenSchema = Type.Object(
  { feature, cause, ramp_id: Type.Optional(rampId), reason },
  { ...closed, description: 'FlagFrozen' },
);
export const freezeAcknowledgedSchema = Type.Object(
  { feature, reason },
  { ...closed, description: 'FreezeAcknowledged' },
);
export const flagRetiredSchema = Type.Object({ feature, reason }, { ...closed, description: 'FlagRetired' });

export const rampStartedSchema = Type.Object(
  {
    feature,
    ramp_id: rampId,
    from_pct: pct('in a hundred, how many get it as the ramp begins'),
    steps: Type.Array(pct('a step', 1), {
      minItems: 1,
      maxItems: 20,
      uniqueItems: true,
      description: '1 to 20 whole numbers from 1 to 100, ascending',
    }),
    hold_seconds: count('how long each step is observed before the next', 1, 31_536_000),
    age_max_seconds: count('how old the newest observation may be', 1, 31_536_000),
    samples_min: count('requests that an observation needs, with the feature and without', 1),
    error_ppm_max: ppm('errors in a million requests with the feature, at most'),
    added_ppm_max: ppm('errors in a million requests more than without it: as many and more freeze', 1),
    canaries: Type.Array(tenantName, {
      maxItems: 20,
      uniqueItems: true,
      description: 'up to 20 tenants who have the feature already, and must do well with it',
    }),
    dry_run: Type.Boolean({ description: 'true where it only says what it would do' }),
  },
  { ...closed, description: 'RampStarted' },
);

const seen = (what: string) => Type.Optional(count(what));
export const rampObservedSchema = Type.Object(
  {
    feature,
    ramp_id: rampId,
    of: tenantName,
    window_from: dateTime,
    window_to: dateTime,
    exposed_requests: seen('requests with the feature'),
    exposed_errors: seen('those of them that failed'),
    control_requests: seen('requests without the feature'),
    control_errors: seen('those of them that failed'),
    unusable: Type.Optional(oneOf(UNUSABLE, 'why it says nothing; then there are no counts')),
    source: text(256, 'where the figures are from'),
  },
  { ...closed, description: 'RampObserved' },
);
export const rampAdvisedSchema = Type.Object(
  {
    feature,
    ramp_id: rampId,
    to_pct: Type.Optional(pct('the step that would follow', 1)),
    cause: Type.Optional(cause),
    reason,
  },
  { ...closed, description: 'RampAdvised' },
);
export const rampEndedSchema = Type.Object(
  { feature, ramp_id: rampId, outcome: oneOf(['completed', 'stopped'], 'how it ended'), reason },
  { ...closed, description: 'RampEnded' },
);

export type FlagSet = DomainEvent<'flags.FlagSet', Static<typeof flagSetSchema>>;
export type FlagRamped = DomainEvent<'flags.FlagRamped', Static<typeof flagRampedSchema>>;
export type FlagFrozen = DomainEvent<'flags.FlagFrozen', Static<typeof flagFrozenSchema>>;
export type FreezeAcknowledged = DomainEvent<
  'flags.FreezeAcknowledged',
  Static<typeof freezeAcknowledgedSchema>
>;
export type FlagRetired = DomainEvent<'flags.FlagRetired', Static<typeof flagRetiredSchema>>;
export type RampStarted = DomainEvent<'flags.RampStarted', Static<typeof rampStartedSchema>>;
export type RampObserved = DomainEvent<'flags.RampObserved', Static<typeof rampObservedSchema>>;
export type RampAdvised = DomainEvent<'flags.RampAdvised', Static<typeof rampAdvisedSchema>>;
export type RampEnded = DomainEvent<'flags.RampEnded', Static<typeof rampEndedSchema>>;

export type RampEvent = RampStarted | RampObserved | RampAdvised | RampEnded;
export type FlagEvent = FlagSet | FlagRamped | FlagFrozen | FreezeAcknowledged | FlagRetired | RampEvent;

const first = (payload: TSchema) => versioned({ names: ['1'], payloads: [payload] });

export const flags = {
  name: 'flags',
  events: {
    'flags.FlagSet': first(flagSetSchema),
    'flags.FlagRamped': first(flagRampedSchema),
    'flags.FlagFrozen': first(flagFrozenSchema),
    'flags.FreezeAcknowledged': first(freezeAcknowledgedSchema),
    'flags.FlagRetired': first(flagRetiredSchema),
    'flags.RampStarted': first(rampStartedSchema),
    'flags.RampObserved': first(rampObservedSchema),
    'flags.RampAdvised': first(rampAdvisedSchema),
    'flags.RampEnded': first(rampEndedSchema),
  },
} as const satisfies DomainSchema;
