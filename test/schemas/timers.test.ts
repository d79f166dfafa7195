import { expect } from 'chai';
import { faultsOf } from '#schemas/index.ts';

describe('schemas/timers', () => {
  const timer = { timer_id: 'r-1.1', saga: 'ramps', key: 'ramps', due_at: '2026-11-21T10:00:00Z' };

  it('a timer tells whom it is for, and is due at a moment', () => {
    for (const type of ['timers.TimerScheduled', 'timers.TimerFired']) {
      expect(faultsOf(type, 1, timer)).to.deep.equal([]);
      for (const [member, value] of [
        ['timer_id', 'two words'],
        ['saga', ''],
        ['due_at', 'soon'],
      ] as const)
        expect(faultsOf(type, 1, { ...timer, [member]: value })).to.have.nested.property(
          '[0].pointer',
          `/${member}`,
        );
    }
  });
});
