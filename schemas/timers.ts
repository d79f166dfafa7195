// Timers: a saga that waits for a moment has it put on record, and is told by another fact when the moment has come. So
// what follows from waiting is folded from facts like everything else, and a replay comes to the same.
import { type Static, Type } from '@sinclair/typebox';
import type { DomainEvent, DomainSchema } from './event.ts';
import { dateTime, text, versioned, visible } from './faults.ts';

const closed = { additionalProperties: false } as const;
const members = {
  timer_id: visible(128, 'the timer'),
  saga: visible(64, 'the saga that waits'),
  key: text(256, 'the instance of it that waits'),
  due_at: { ...dateTime, description: 'when it is due, an RFC 3339 date-time' },
};

export const timerScheduledSchema = Type.Object(members, { ...closed, description: 'TimerScheduled' });
export const timerFiredSchema = Type.Object(members, { ...closed, description: 'TimerFired' });

export type TimerScheduled = DomainEvent<'timers.TimerScheduled', Static<typeof timerScheduledSchema>>;
export type TimerFired = DomainEvent<'timers.TimerFired', Static<typeof timerFiredSchema>>;
export type TimerEvent = TimerScheduled | TimerFired;

export const timers = {
  name: 'timers',
  events: {
    'timers.TimerScheduled': versioned({ names: ['1'], payloads: [timerScheduledSchema] }),
    'timers.TimerFired': versioned({ names: ['1'], payloads: [timerFiredSchema] }),
  },
} as const satisfies DomainSchema;
