// Attestations: what was found when the two stores that hold the outcome of one route were compared, each at its place in
// the tenant's chain; and, by services that attest their own writes, what each operation left in both. A route is a line
// of the mapper catalog, or an operation or job of such a service.
import { type Static, Type } from '@sinclair/typebox';
import type { DomainEvent, DomainSchema } from './event.ts';
import { sha256Hex, text, versioned, visible } from './faults.ts';

const COUNT_MAX = 9_000_000_000_000_000;
const closed = { additionalProperties: false } as const;

const count = (of: string, minimum = 0) =>
  Type.Integer({ minimum, maximum: COUNT_MAX, description: `a whole number from ${minimum}: ${of}` });

/** A route of the mapper catalog. */
export const route = visible(128, 'the route or job, for example receipts or POST:/v1/orders');

/** How the two stores can differ at one place in the chain. One that has not come as far only lags, which is no drift. */
export const DRIFT_CLASSES = ['missing', 'extra', 'value', 'order'] as const;
export type DriftClass = (typeof DRIFT_CLASSES)[number];

const driftClass = Type.Union(
  DRIFT_CLASSES.map((each) => Type.Literal(each)),
  { description: `one of ${DRIFT_CLASSES.join(', ')}` },
);

const store = (which: string) => visible(64, `the ${which} store, for example postgres`);
const place = count('the place in the chain that the store has come to');
const root = sha256Hex("the store's digest tree at that place");

export const attestationRecordedSchema = Type.Object(
  {
    route,
    left_store: store('first'),
    left_seq: place,
    left_root: root,
    right_store: store('second'),
    right_seq: place,
    right_root: root,
    elements: count('how many elements the first store holds'),
    divergent: count('how many elements differ; 0 unless both stores were at one place'),
    verdict: Type.Union([Type.Literal('clean'), Type.Literal('divergent'), Type.Literal('lag')], {
      description: 'clean, divergent, or lag where the two were not at one place',
    }),
  },
  { ...closed, description: 'AttestationRecorded' },
);
export const driftLocatedSchema = Type.Object(
  {
    route,
    as_of_seq: count('the place in the chain at which both stores were compared'),
    class: driftClass,
    element: text(256, 'the element that differs'),
    field: Type.Optional(text(256, 'the field of it that differs, where one does')),
    left_digest: Type.Optional(sha256Hex('what the first store has there; absent where it has nothing')),
    right_digest: Type.Optional(sha256Hex('what the second store has there; absent where it has nothing')),
  },
  { ...closed, description: 'DriftLocated' },
);
export const driftPolicyChangedSchema = Type.Object(
  {
    route,
    divergent_min: count('divergent elements from which an attestation counts against the route', 1),
    alarm_after: count('how many such attestations in a row raise the alarm', 1),
    clean_after: count('how many clean ones in a row, after a backfill, restore the write path', 1),
  },
  { ...closed, description: 'DriftPolicyChanged' },
);
export const driftAlarmRaisedSchema = Type.Object(
  {
    route,
    alarm_id: visible(64, 'the id of the alarm'),
    as_of_seq: count('the place in the chain at which the stores differ'),
    divergent: count('how many elements differ', 1),
    in_a_row: count('how many attestations in a row found it', 1),
  },
  { ...closed, description: 'DriftAlarmRaised' },
);
export const backfillCompletedSchema = Type.Object(
  {
    route,
    to_seq: count('the place in the chain up to which the stores were filled anew'),
    operations: count('how many operations were gone through'),
  },
  { ...closed, description: 'BackfillCompleted' },
);

export const writeAttestedSchema = Type.Object(
  {
    route,
    op_id: visible(128, 'the operation that wrote'),
    left_store: store('first'),
    left_digest: sha256Hex('what the operation left in the first store'),
    right_store: store('second'),
    right_digest: sha256Hex('what it left in the second store'),
    elements: count('how many elements of the first store it wrote'),
    divergent: count('how many elements differ'),
  },
  { ...closed, description: 'WriteAttested' },
);

export const spanDigestedSchema = Type.Object(
  {
    route,
    fold_version: count('the version of the fold that made the elements', 1),
    from_seq: count('the first place of the span', 1),
    to_seq: count('the last place of the span', 1),
    operations: count('how many operations of the route it holds'),
    elements: count('how many elements they bring in'),
    root: sha256Hex('the digest tree over those elements, as the ledger itself has them'),
  },
  { ...closed, description: 'SpanDigested' },
);

export type AttestationRecorded = DomainEvent<
  'attestations.AttestationRecorded',
  Static<typeof attestationRecordedSchema>
>;
export type DriftLocated = DomainEvent<
  'attestations.DriftLocated',
  Omit<Static<typeof driftLocatedSchema>, 'class'> & { class: DriftClass }
>;
export type DriftPolicyChanged = DomainEvent<
  'attestations.DriftPolicyChanged',
  Static<typeof driftPolicyChangedSchema>
>;
export type DriftAlarmRaised = DomainEvent<
  'attestations.DriftAlarmRaised',
  Static<typeof driftAlarmRaisedSchema>
>;
export type BackfillCompleted = DomainEvent<
  'attestations.BackfillCompleted',
  Static<typeof backfillCompletedSchema>
>;
export type SpanDigested = DomainEvent<'attestations.SpanDigested', Static<typeof spanDigestedSchema>>;
export type WriteAttested = DomainEvent<'attestations.WriteAttested', Static<typeof writeAttestedSchema>>;
export type AttestationEvent =
  | AttestationRecorded
  | DriftLocated
  | DriftPolicyChanged
  | DriftAlarmRaised
  | BackfillCompleted
  | SpanDigested
  | WriteAttested;

const first = (payload: Parameters<typeof versioned>[0]['payloads'][number]) =>
  versioned({ names: ['1'], payloads: [payload] });

export const attestations = {
  name: 'attestations',
  events: {
    'attestations.AttestationRecorded': first(attestationRecordedSchema),
    'attestations.DriftLocated': first(driftLocatedSchema),
    'attestations.DriftPolicyChanged': first(driftPolicyChangedSchema),
    'attestations.DriftAlarmRaised': first(driftAlarmRaisedSchema),
    'attestations.BackfillCompleted': first(backfillCompletedSchema),
    'attestations.SpanDigested': first(spanDigestedSchema),
    'attestations.WriteAttested': first(writeAttestedSchema),
  },
} as const satisfies DomainSchema;
