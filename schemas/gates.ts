// Gates: whether the write path of a route is open, and since when. Each change counts the epoch up, so that who made a
// decision before it is found out by the epoch it names.
import { type Static, Type } from '@sinclair/typebox';
import type { DomainEvent, DomainSchema } from './event.ts';
import { text, versioned, visible } from './faults.ts';

const closed = { additionalProperties: false } as const;
const route = visible(128, 'the route or job, for example receipts or POST:/v1/orders');
const epoch = Type.Integer({
  minimum: 1,
  maximum: 9_000_000_000_000_000,
  description: 'a whole number from 1: how often the gate has moved, this time included',
});

export const writePathRolledBackSchema = Type.Object(
  {
    route,
    epoch,
    alarm_id: Type.Optional(visible(64, 'the alarm that asked for it; absent where somebody did')),
    reason: text(512, 'why it was closed'),
  },
  { ...closed, description: 'WritePathRolledBack' },
);
export const writePathRestoredSchema = Type.Object(
  {
    route,
    epoch,
    grounds: Type.Union([Type.Literal('attested'), Type.Literal('ordered')], {
      description: 'attested, after a backfill and clean attestations, or ordered, by whoever recorded it',
    }),
    reason: text(512, 'why it was opened again'),
  },
  { ...closed, description: 'WritePathRestored' },
);

export type WritePathRolledBack = DomainEvent<
  'gates.WritePathRolledBack',
  Static<typeof writePathRolledBackSchema>
>;
export type WritePathRestored = DomainEvent<
  'gates.WritePathRestored',
  Static<typeof writePathRestoredSchema>
>;
export type GateEvent = WritePathRolledBack | WritePathRestored;

export const gates = {
  name: 'gates',
  events: {
    'gates.WritePathRolledBack': versioned({ names: ['1'], payloads: [writePathRolledBackSchema] }),
    'gates.WritePathRestored': versioned({ names: ['1'], payloads: [writePathRestoredSchema] }),
  },
} as const satisfies DomainSchema;
