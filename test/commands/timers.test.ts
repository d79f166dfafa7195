import { timers } from '#commands/timers.ts';
import { instant } from '#schemas/ids.ts';
import type { TimerFired, TimerScheduled } from '#schemas/timers.ts';
import { given } from '#test/support/given.ts';

describe('commands/timers', () => {
  const data = { timer_id: 'r-1.1', saga: 'ramps', key: 'ramps', due_at: '2026-11-21T10:00:00.000Z' };
  const scheduled: TimerScheduled = { type: 'timers.TimerScheduled', data };
  const fired: TimerFired = { type: 'timers.TimerFired', data };
  const dueAt = instant(data.due_at);
  const schedule = { type: 'ScheduleTimer', timerId: 'r-1.1', saga: 'ramps', key: 'ramps', dueAt } as const;
  const fire = { type: 'FireTimer', timerId: 'r-1.1' } as const;

  it('a timer is scheduled once', () => {
    given(timers).when(schedule).then(scheduled);
    given(timers, scheduled).when(schedule).thenRefused('TimerAlreadyScheduled');
    given(timers, scheduled, fired).when(schedule).thenRefused('TimerAlreadyScheduled');
  });

  it('it fires once, when it is due and not before', () => {
    given(timers).when(fire).thenRefused('TimerUnknown');
    given(timers, scheduled)
      .when(fire, { at: (dueAt - 1) as never })
      .thenRefused('TimerNotDue');
    given(timers, scheduled).when(fire, { at: dueAt }).then(fired);
    given(timers, scheduled, fired).when(fire, { at: dueAt }).thenRefused('TimerAlreadyFired');
  });
});
