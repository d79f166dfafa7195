import { expect } from 'chai';
import { foldBatch } from '#projectors/batch.ts';
import { placements } from '#projectors/placements.ts';
import { decodeFact } from '#schemas/index.ts';
import { ACME, chain, type Said } from './chains.ts';

describe('projectors/placements', () => {
  const begun = (epoch: number, from: string, to: string): Said => ({
    type: 'placements.MoveStarted',
    data: { placed_tenant: 'globex', from, to, epoch },
  });
  const placed = (epoch: number, shard: string): Said => ({
    type: 'placements.TenantPlaced',
    data: { placed_tenant: 'globex', shard, epoch },
  });

  /** Given these facts, the placements. */
  const rowsOf = (...said: readonly Said[]) => [
    ...foldBatch(placements, chain(ACME, said).map(decodeFact) as never, new Map()).changes.upserts.values(),
  ];

  it('shows where a tenant is while it moves, and where it is then', () => {
    const [moving, ...others] = rowsOf(begun(1, 'home', 'east'));
    expect(others).to.deep.equal([]);
    expect(moving).to.deep.include({
      placed_tenant: 'globex',
      shard: 'home',
      moving_to: 'east',
      epoch: 1,
      moved_by: 'test',
      placed_at: null,
      last_seq: 1,
    });
    const [there] = rowsOf(begun(1, 'home', 'east'), placed(1, 'east'));
    expect(there).to.deep.include({
      shard: 'east',
      moving_to: null,
      begun_at: moving?.begun_at,
      last_seq: 2,
    });
    expect(there?.placed_at).to.not.equal(null);
    const [again] = rowsOf(begun(1, 'home', 'east'), placed(1, 'east'), begun(2, 'east', 'home'));
    expect(again).to.deep.include({
      shard: 'east',
      moving_to: 'home',
      epoch: 2,
      placed_at: there?.placed_at,
    });
  });
});
