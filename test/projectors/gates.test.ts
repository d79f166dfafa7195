import { expect } from 'chai';
import { foldBatch } from '#projectors/batch.ts';
import { gates } from '#projectors/gates.ts';
import { decodeFact } from '#schemas/index.ts';
import { ACME, chain, type Said } from './chains.ts';

describe('projectors/gates', () => {
  const closed = (epoch: number, alarm_id?: string): Said => ({
    type: 'gates.WritePathRolledBack',
    data: { route: 'receipts', epoch, ...(alarm_id && { alarm_id }), reason: 'the stores differ' },
  });
  const restored = (epoch: number): Said => ({
    type: 'gates.WritePathRestored',
    data: { route: 'receipts', epoch, grounds: 'attested', reason: 'the stores agree' },
  });

  /** Given these facts, the gates. */
  const rowsOf = (...said: readonly Said[]) => [
    ...foldBatch(gates, chain(ACME, said).map(decodeFact) as never, new Map()).changes.upserts.values(),
  ];

  it('has a row per route that was ever closed', () => {
    const [row, ...others] = rowsOf(closed(1, 'a-1'));
    expect(others).to.deep.equal([]);
    expect(row).to.deep.include({
      route: 'receipts',
      status: 'closed',
      epoch: 1,
      reason: 'the stores differ',
      alarm_id: 'a-1',
      moved_by: 'test',
      restored_at: null,
      closings: 1,
      last_seq: 1,
    });
  });

  it('shows the return and keeps the closing, and counts closings', () => {
    const [before] = rowsOf(closed(1, 'a-1'));
    const [open] = rowsOf(closed(1, 'a-1'), restored(2));
    expect(open).to.deep.include({
      status: 'open',
      epoch: 2,
      reason: 'the stores agree',
      alarm_id: 'a-1',
      closed_at: before?.closed_at,
      closings: 1,
    });
    expect(open?.restored_at).to.be.greaterThan(before?.closed_at ?? 0);
    const [again] = rowsOf(closed(1, 'a-1'), restored(2), closed(3));
    expect(again).to.deep.include({ status: 'closed', alarm_id: null, restored_at: null, closings: 2 });
  });
});
