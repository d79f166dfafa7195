import { placements } from '#commands/placements.ts';
import { tenantId } from '#schemas/ids.ts';
import type { MoveStarted, TenantPlaced } from '#schemas/placements.ts';
import { given } from '#test/support/given.ts';

describe('commands/placements', () => {
  const placedTenant = tenantId('acme');
  const begun = (epoch: number, from: string, to: string): MoveStarted => ({
    type: 'placements.MoveStarted',
    data: { placed_tenant: 'acme', from, to, epoch },
  });
  const placed = (epoch: number, shard: string): TenantPlaced => ({
    type: 'placements.TenantPlaced',
    data: { placed_tenant: 'acme', shard, epoch },
  });
  const move = (to: string) => ({ type: 'BeginMove', placedTenant, to }) as const;
  const place = (epoch: number) => ({ type: 'PlaceTenant', placedTenant, epoch }) as const;

  it('a tenant begins at home, and each move counts the epoch up', () => {
    given(placements)
      .when(move('east'))
      .then(begun(1, 'home', 'east'));
    given(placements, begun(1, 'home', 'east'))
      .when(place(1))
      .then(placed(1, 'east'));
    given(placements, begun(1, 'home', 'east'), placed(1, 'east'))
      .when(move('home'))
      .then(begun(2, 'east', 'home'));
  });

  it('to where it is, or is moving already, it does not', () => {
    given(placements).when(move('home')).thenRefused('TenantIsThere');
    given(placements, begun(1, 'home', 'east'))
      .when(move('east'))
      .thenRefused('MoveUnderWay');
  });

  it('a move that is begun anew ends the one before, also back to where it is', () => {
    const first = begun(1, 'home', 'east');
    given(placements, first)
      .when(move('west'))
      .then(begun(2, 'home', 'west'));
    given(placements, first)
      .when(move('home'))
      .then(begun(2, 'home', 'home'));
    given(placements, first, begun(2, 'home', 'west'))
      .when(place(1))
      .thenRefused('MoveOver');
    given(placements, first, placed(1, 'east')).when(place(1)).thenRefused('MoveOver');
    given(placements).when(place(1)).thenRefused('MoveOver');
  });
});
