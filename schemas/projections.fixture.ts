// Fixtures of projections: a rebuild that was found equal, and, rarely, a fact that is passed over. Both name a read model
// of an earlier program, as old chains do: what is passed over by one that is folded today would have to be a fact that
// its fold refuses.
import type { Chance, EventGenerator, Saying, TenantSayings } from './fixture.ts';
import { type Instant, streamName } from './ids.ts';

const MODELS = ['receipts_weekly', 'actors'] as const;
const REASONS = ['written by a producer that was recalled', 'jenseits aller Tage', 'seen twice'] as const;
const OPERATORS = ['operator@example.org', 'on-call@example.org'] as const;

export const projectionsFixture: EventGenerator = {
  domain: 'projections',
  perTenThousand: 2,
  forTenant: (tenant, chance) => sayings(tenant, chance),
};

const sayings = (tenant: string, chance: Chance): TenantSayings => {
  let said = 0;
  const builds = new Map<string, number>();
  const saying = (
    at: Instant,
    name: string,
    data: Saying['data'] & { readonly projection: string },
  ): Saying => ({
    key: `${name} ${said} of ${tenant}`,
    type: `projections.${name}`,
    schemaVersion: 1,
    data,
    stream: streamName('projections', data.projection),
    occurredAt: at,
    actor: chance.pick(OPERATORS),
  });
  return {
    next: (at) => {
      said += 1;
      const projection = chance.pick(MODELS);
      if (chance.perMille(200)) {
        // A place that no other of these names, below the end of the chain.
        return saying(at, 'FactSkipped', { projection, reason: chance.pick(REASONS), seq: said });
      }
      const build = (builds.get(projection) ?? 0) + 1;
      builds.set(projection, build);
      return saying(at, 'RebuildProved', {
        as_of_hash: chance.hex(64),
        as_of_seq: said,
        build,
        digest: chance.hex(64),
        projection,
        rows: chance.skewed(100_000),
        source_digest: chance.hex(64),
        version: 1,
      });
    },
  };
};
