import { expect } from 'chai';
import { foldBatch } from '#projectors/batch.ts';
import { timers } from '#projectors/timers.ts';
import { decodeFact } from '#schemas/index.ts';
import { ACME, chain, type Said } from './chains.ts';

describe('projectors/timers', () => {
  const said = (name: string, timer_id: string): Said => ({
    type: `timers.${name}`,
    data: { timer_id, saga: 'ramps', key: 'ramps', due_at: '2026-11-21T10:00:00Z' },
  });
  const changesOf = (...facts: readonly Said[]) =>
    foldBatch(timers, chain(ACME, facts).map(decodeFact) as never, new Map()).changes;

  it('has a row per timer that has still to fire', () => {
    const { upserts } = changesOf(
      said('TimerScheduled', 'a'),
      said('TimerScheduled', 'b'),
      said('TimerFired', 'a'),
    );
    const rows = [...upserts.values()].filter((row) => row !== undefined);
    expect(rows).to.have.length(1);
    expect(rows[0]).to.deep.include({ timer_id: 'b', saga: 'ramps', due_at: Date.UTC(2026, 10, 21, 10) });
  });
});
