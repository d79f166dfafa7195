// Placements: which store of a ledger has a tenant, in the chain of those who run it. A tenant without one is at home, in
// the store that has this chain. Each move counts the epoch up; what a mover began at an earlier one is over.
import { type Static, Type } from '@sinclair/typebox';
import type { DomainEvent, DomainSchema } from './event.ts';
import { versioned } from './faults.ts';

const closed = { additionalProperties: false } as const;
const placed = Type.String({
  pattern: '^[a-z0-9][a-z0-9_-]{0,62}$',
  description: 'the name of a tenant, as its chain has it',
});

/** Where a tenant is that was never placed. */
export const HOME = 'home';

/** The name of a shard: 1 to 32 of a-z, 0-9 and `-`, a letter first. */
export const SHARD = /^[a-z][a-z0-9-]{0,31}$/;

const shard = Type.String({
  pattern: SHARD.source,
  description:
    'the name of a shard: 1 to 32 of a-z, 0-9 and -, a letter first; home is the one that has this chain',
});
const epoch = Type.Integer({
  minimum: 1,
  maximum: 9_000_000_000_000_000,
  description: 'a whole number from 1: how often the tenant was moved, this time included',
});

export const moveStartedSchema = Type.Object(
  { placed_tenant: placed, from: shard, to: shard, epoch },
  { ...closed, description: 'MoveStarted' },
);
export const tenantPlacedSchema = Type.Object(
  { placed_tenant: placed, shard, epoch },
  { ...closed, description: 'TenantPlaced' },
);

export type MoveStarted = DomainEvent<'placements.MoveStarted', Static<typeof moveStartedSchema>>;
export type TenantPlaced = DomainEvent<'placements.TenantPlaced', Static<typeof tenantPlacedSchema>>;
export type PlacementEvent = MoveStarted | TenantPlaced;

export const placements = {
  name: 'placements',
  events: {
    'placements.MoveStarted': versioned({ names: ['1'], payloads: [moveStartedSchema] }),
    'placements.TenantPlaced': versioned({ names: ['1'], payloads: [tenantPlacedSchema] }),
  },
} as const satisfies DomainSchema;
