// A tenant moves from one store of the ledger to another: begun, and placed when all of it is there. A stream for each
// tenant, in the chain of those who run the ledger. A move that is begun anew ends the one before, by its epoch.
import { streamName, type TenantId } from '#schemas/ids.ts';
import { HOME, type PlacementEvent } from '#schemas/placements.ts';
import { accept, type Decider, type Refusal, refuse } from './decider.ts';

export type PlacementCommand =
  | { readonly type: 'BeginMove'; readonly placedTenant: TenantId; readonly to: string }
  /** All facts are there, and the store that had the tenant has given it up. */
  | { readonly type: 'PlaceTenant'; readonly placedTenant: TenantId; readonly epoch: number };

export type PlacementRefusal = Refusal<'TenantIsThere' | 'MoveUnderWay' | 'MoveOver'>;

export interface PlacementState {
  readonly shard: string;
  /** How often it was moved. */
  readonly epoch: number;
  /** Where it is moving; absent while it stays. */
  readonly to?: string;
}

export const placements: Decider<PlacementCommand, PlacementState, PlacementEvent, PlacementRefusal> = {
  domain: 'placements',
  stream: ({ placedTenant }) => streamName('placements', placedTenant),
  initial: { shard: HOME, epoch: 0 },

  evolve: ({ shard }, { type, data }) => {
    switch (type) {
      case 'placements.MoveStarted':
        return { shard, epoch: data.epoch, to: data.to };
      case 'placements.TenantPlaced':
        return { shard: data.shard, epoch: data.epoch };
      default:
        return type satisfies never;
    }
  },

  decide: (command, { shard: from, epoch: before, to: under }) => {
    const placed_tenant = command.placedTenant;
    if (command.type === 'BeginMove') {
      const { to } = command;
      if (under === undefined && to === from)
        return refuse('TenantIsThere', `${placed_tenant} is on ${from} already`);
      if (under === to)
        return refuse('MoveUnderWay', `${placed_tenant} is moving to ${to} already, as of epoch ${before}`);
      const epoch = before + 1;
      return accept<PlacementEvent>({
        event: { type: 'placements.MoveStarted', data: { placed_tenant, from, to, epoch } },
      });
    }
    const { epoch } = command;
    // A mover that slept: another move has begun, or this one has ended.
    if (under === undefined || epoch !== before)
      return refuse(
        'MoveOver',
        `the move of ${placed_tenant} at epoch ${epoch} is over: it is on ${from} as of epoch ${before}; look again`,
      );
    return accept<PlacementEvent>({
      event: { type: 'placements.TenantPlaced', data: { placed_tenant, shard: under, epoch } },
    });
  },
};
