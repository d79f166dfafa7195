// Timers that have still to fire: one row each, gone once it has.

import { type Instant, instant } from '#schemas/ids.ts';
import type { TimerEvent } from '#schemas/timers.ts';
import type { Projector } from './projector.ts';

export type TimerRow = {
  readonly timer_id: string;
  readonly saga: string;
  readonly key: string;
  readonly due_at: Instant;
  readonly scheduled_at: Instant;
};

export const timers: Projector<TimerEvent, TimerRow> = {
  name: 'timers',
  version: 1,
  handles: ['timers.TimerScheduled', 'timers.TimerFired'],
  columns: {
    timer_id: 'text',
    saga: 'text',
    key: 'text',
    due_at: 'timestamptz',
    scheduled_at: 'timestamptz',
  },
  key: ['timer_id'],
  keys: ({ data }) => [[data.timer_id]],
  fold: (_, { type, data, recordedAt }) => {
    switch (type) {
      case 'timers.TimerScheduled': {
        const { timer_id, saga, key, due_at } = data;
        return { timer_id, saga, key, due_at: instant(due_at), scheduled_at: recordedAt };
      }
      case 'timers.TimerFired':
        return undefined;
      default:
        return type satisfies never;
    }
  },
};
