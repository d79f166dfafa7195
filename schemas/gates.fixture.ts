// Fixtures of gates: a write path is closed, seldom, and opened again by the next thing that is said of it.
import type { Chance, EventGenerator, Saying, TenantSayings } from './fixture.ts';
import { type Instant, streamName } from './ids.ts';

// None that facts of this ledger come by: a fixture's own receipts go in whatever these gates say.
const ROUTES = ['POST:/v1/orders', 'nightly-import'] as const;

export const gatesFixture: EventGenerator = {
  domain: 'gates',
  perTenThousand: 2,
  forTenant: (tenant, chance) => sayings(tenant, chance),
};

interface Moved {
  readonly route: string;
  readonly epoch: number;
}

const sayings = (tenant: string, chance: Chance): TenantSayings => {
  const epochs = new Map<string, number>();
  const saying = (at: Instant, name: string, data: Saying['data'] & Moved): Saying => ({
    key: `${name} ${data.route} ${data.epoch} of ${tenant}`,
    type: `gates.${name}`,
    schemaVersion: 1,
    data,
    stream: streamName('gates', data.route),
    occurredAt: at,
    actor: chance.perMille(800) ? 'saga:drift' : 'on-call@example.org',
  });
  return {
    next: (at) => {
      const route = chance.pick(ROUTES);
      const epoch = (epochs.get(route) ?? 0) + 1;
      epochs.set(route, epoch);
      if (epoch % 2 === 0) {
        const grounds = chance.perMille(900) ? 'attested' : 'ordered';
        return saying(at, 'WritePathRestored', { epoch, grounds, reason: 'the stores agree', route });
      }
      const alarm = chance.perMille(900) && { alarm_id: `alarm-${chance.hex(12)}` };
      return saying(at, 'WritePathRolledBack', { ...alarm, epoch, reason: 'the stores differ', route });
    },
  };
};
