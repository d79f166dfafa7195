import { expect } from 'chai';
import { faultsOf } from '#schemas/index.ts';

describe('schemas/placements', () => {
  const begun = { placed_tenant: 'acme', from: 'home', to: 'east-2', epoch: 1 };
  const placed = { placed_tenant: 'acme', shard: 'east-2', epoch: 1 };

  it('a move has two shards, a placement one, both an epoch from 1', () => {
    expect(faultsOf('placements.MoveStarted', 1, begun)).to.deep.equal([]);
    expect(faultsOf('placements.TenantPlaced', 1, placed)).to.deep.equal([]);
    for (const [type, data, member, value] of [
      ['placements.MoveStarted', begun, 'to', 'East'],
      ['placements.MoveStarted', begun, 'placed_tenant', ''],
      ['placements.MoveStarted', begun, 'epoch', 0],
      ['placements.TenantPlaced', placed, 'shard', '2-east'],
    ] as const)
      expect(faultsOf(type, 1, { ...data, [member]: value }), member).to.have.nested.property(
        '[0].pointer',
        `/${member}`,
      );
  });
});
