// Fixtures of timers: a few are running at any time; what is said next is that one has fired, or that another runs.
import type { Chance, EventGenerator, Saying, TenantSayings } from './fixture.ts';
import { type Instant, instantText, streamName, type TenantId } from './ids.ts';

const RUNNING_MAX = 3;
const HOLD_MS = 60_000;

export const timersFixture: EventGenerator = {
  domain: 'timers',
  perTenThousand: 4,
  forTenant: (tenant, chance) => sayings(tenant, chance),
};

interface Timer {
  readonly timer_id: string;
  readonly due_at: string;
}

const sayings = (tenant: TenantId, chance: Chance): TenantSayings => {
  const running: Timer[] = [];
  const saying = (at: Instant, name: string, timer: Timer): Saying => ({
    key: `${name} ${timer.timer_id} of ${tenant}`,
    type: `timers.${name}`,
    schemaVersion: 1,
    data: { ...timer, key: 'ramps', saga: 'ramps' },
    stream: streamName('timers', timer.timer_id),
    occurredAt: at,
    actor: name === 'TimerFired' ? 'timers' : 'saga:ramps',
  });
  return {
    next: (at) => {
      if (running.length >= RUNNING_MAX) return saying(at, 'TimerFired', running.shift() as Timer);
      const due_at = instantText((at + HOLD_MS) as Instant);
      running.push({ timer_id: `${chance.hex(12)}.1`, due_at });
      return saying(at, 'TimerScheduled', running.at(-1) as Timer);
    },
  };
};
