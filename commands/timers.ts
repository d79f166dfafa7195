// A timer is scheduled once and fires once, not before it is due: a stream for each.
import { type Instant, instant, instantText, streamName } from '#schemas/ids.ts';
import type { TimerEvent } from '#schemas/timers.ts';
import { accept, type Decider, type Refusal, refuse } from './decider.ts';

export type TimerCommand =
  | {
      readonly type: 'ScheduleTimer';
      readonly timerId: string;
      /** Whom it tells: the saga, and the instance of it. */
      readonly saga: string;
      readonly key: string;
      readonly dueAt: Instant;
    }
  | { readonly type: 'FireTimer'; readonly timerId: string };

export type TimerRefusal = Refusal<
  'TimerAlreadyScheduled' | 'TimerUnknown' | 'TimerAlreadyFired' | 'TimerNotDue'
>;

export interface TimerState {
  readonly scheduled: { readonly saga: string; readonly key: string; readonly due_at: string } | undefined;
  readonly fired: boolean;
}

export const timers: Decider<TimerCommand, TimerState, TimerEvent, TimerRefusal> = {
  domain: 'timers',
  stream: ({ timerId }) => streamName('timers', timerId),
  initial: { scheduled: undefined, fired: false },

  evolve: (state, { type, data }) => {
    switch (type) {
      case 'timers.TimerScheduled': {
        const { saga, key, due_at } = data;
        return { ...state, scheduled: { saga, key, due_at } };
      }
      case 'timers.TimerFired':
        return { ...state, fired: true };
      default:
        return type satisfies never;
    }
  },

  decide: (command, { scheduled, fired }, { at }) => {
    const { timerId: timer_id } = command;
    if (command.type === 'ScheduleTimer') {
      if (scheduled) return refuse('TimerAlreadyScheduled', `the timer ${timer_id} is scheduled`);
      const { saga, key, dueAt } = command;
      const data = { timer_id, saga, key, due_at: instantText(dueAt) };
      return accept<TimerEvent>({ event: { type: 'timers.TimerScheduled', data } });
    }
    if (!scheduled) return refuse('TimerUnknown', `there is no timer ${timer_id}; schedule it first`);
    if (fired) return refuse('TimerAlreadyFired', `the timer ${timer_id} has fired`);
    if (at < instant(scheduled.due_at))
      return refuse('TimerNotDue', `the timer ${timer_id} is due at ${scheduled.due_at}; fire it then`);
    return accept<TimerEvent>({ event: { type: 'timers.TimerFired', data: { timer_id, ...scheduled } } });
  },
};
