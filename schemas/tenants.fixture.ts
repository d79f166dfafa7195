// Fixtures of tenants: each is created once; now and then a token comes or goes, a name changes, and, rarely, a tenant is
// suspended and soon resumed.
import type { Chance, EventGenerator, Saying, TenantSayings } from './fixture.ts';
import { type Instant, instantText, streamName, type TenantId } from './ids.ts';

const SCOPES = ['receipts:write', 'receipts:read', 'facts:read', 'exports:read'] as const;
const OPERATORS = ['operator@example.org', 'on-call@example.org', 'zoë@example.org'] as const;
const REASONS = ['rotated', 'left the team', 'seen in a log', 'schlüssel verlegt'] as const;
const YEAR_MS = 31_536_000_000;

export const tenantsFixture: EventGenerator = {
  domain: 'tenants',
  perTenThousand: 15,
  forTenant: (tenant, chance) => sayings(tenant, chance),
};

const sayings = (tenant: TenantId, chance: Chance): TenantSayings => {
  const stream = streamName('tenants', tenant);
  const tokens: string[] = [];
  let said = 0;
  let suspended = false;
  const saying = (at: Instant, name: string, data: Saying['data']): Saying => ({
    key: `${name} ${++said} of ${tenant}`,
    type: `tenants.${name}`,
    schemaVersion: 1,
    data,
    stream,
    occurredAt: at,
    actor: chance.pick(OPERATORS),
  });
  const issue = (at: Instant): Saying => {
    const token = `t-${chance.hex(12)}`;
    tokens.push(token);
    return saying(at, 'TokenIssued', {
      ...(chance.perMille(500) && { expires_at: instantText((at + YEAR_MS) as Instant) }),
      ...(chance.perMille(700) && { label: `service ${chance.int(40)}` }),
      scopes: SCOPES.slice(0, 1 + chance.int(SCOPES.length)),
      token_hash: chance.hex(64),
      token_id: token,
    });
  };
  const revoke = (at: Instant): Saying => {
    const [token] = tokens.splice(chance.int(tokens.length), 1);
    return saying(at, 'TokenRevoked', { reason: chance.pick(REASONS), token_id: token });
  };
  return {
    opening: (at) => saying(at, 'TenantCreated', { display_name: `Tenant ${tenant}`, tenant }),
    next: (at) => {
      if (suspended) {
        suspended = false;
        return saying(at, 'TenantResumed', {});
      }
      const draw = chance.int(100);
      if (draw < 5) {
        suspended = true;
        return saying(at, 'TenantSuspended', { reason: 'an unpaid bill' });
      }
      if (draw < 15)
        return saying(at, 'TenantRenamed', { display_name: `Tenant ${tenant} ${chance.int(99)}` });
      return draw < 50 && tokens.length > 1 ? revoke(at) : issue(at);
    },
  };
};
