// Fixtures of placements: a tenant is moved, seldom, and is placed by the next thing that is said of it.
import type { Chance, EventGenerator, Saying, TenantSayings } from './fixture.ts';
import { type Instant, streamName } from './ids.ts';
import { HOME } from './placements.ts';

const MOVED = ['acme-labs', 'globex'] as const;
const SHARDS = ['east', 'west', HOME] as const;

export const placementsFixture: EventGenerator = {
  domain: 'placements',
  perTenThousand: 1,
  forTenant: (tenant, chance) => sayings(tenant, chance),
};

interface Place {
  readonly shard: string;
  readonly epoch: number;
  readonly to?: string;
}

const sayings = (tenant: string, chance: Chance): TenantSayings => {
  const places = new Map<string, Place>();
  const saying = (
    at: Instant,
    name: string,
    data: Saying['data'] & { readonly epoch: number; readonly placed_tenant: string },
  ): Saying => {
    const moved = data.placed_tenant;
    return {
      key: `${name} ${moved} ${data.epoch} of ${tenant}`,
      type: `placements.${name}`,
      schemaVersion: 1,
      data,
      stream: streamName('placements', moved),
      occurredAt: at,
      actor: 'on-call@example.org',
    };
  };
  return {
    next: (at) => {
      const placed_tenant = chance.pick(MOVED);
      const { shard, epoch, to } = places.get(placed_tenant) ?? { shard: HOME, epoch: 0 };
      if (to !== undefined) {
        places.set(placed_tenant, { shard: to, epoch });
        return saying(at, 'TenantPlaced', { epoch, placed_tenant, shard: to });
      }
      const next = chance.pick(SHARDS);
      places.set(placed_tenant, { shard, epoch: epoch + 1, to: next });
      return saying(at, 'MoveStarted', { epoch: epoch + 1, from: shard, placed_tenant, to: next });
    },
  };
};
