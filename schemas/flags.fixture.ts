// Fixtures of flags: features that are set for nobody, ramped on what is observed, now and then frozen and looked at, and
// retired in the end.
import type { Chance, EventGenerator, Saying, TenantSayings } from './fixture.ts';
import { type Instant, instantText, streamName, type TenantId } from './ids.ts';

const STEPS = [10, 50, 100] as const;
const FEATURES = ['new-checkout', 'POST:/v1/orders', 'faster-search', 'dark-mode'] as const;

export const flagsFixture: EventGenerator = {
  domain: 'flags',
  perTenThousand: 10,
  forTenant: (tenant, chance) => sayings(tenant, chance),
};

interface Flag {
  readonly feature: string;
  pct: number;
  frozen: boolean;
  ramp: string;
  dryRun: 'none' | 'running' | 'advised';
  said: number;
}

type Said = readonly [name: string, data: Saying['data']];

const sayings = (tenant: TenantId, chance: Chance): TenantSayings => {
  let said = 0;
  const flags = FEATURES.map(unset);
  return {
    next: (at) => {
      said += 1;
      const place = chance.int(flags.length);
      const flag = flags[place] as Flag;
      flag.said += 1;
      const [name, data] = next({ flag, tenant, chance, at });
      // Retired names are not used again; names stay short however many came before.
      if (name === 'FlagRetired') flags[place] = unset(`${FEATURES[place]}.${said}`);
      return {
        key: `${name} ${said} of ${tenant}`,
        type: `flags.${name}`,
        schemaVersion: 1,
        data: { feature: flag.feature, ...data },
        stream: streamName('flags', flag.feature),
        occurredAt: at,
        actor: flag.ramp === '' ? 'release@example.org' : 'saga:ramps',
      };
    },
  };
};

const unset = (feature: string): Flag => ({
  feature,
  pct: 0,
  frozen: false,
  ramp: '',
  dryRun: 'none',
  said: 0,
});

interface Moment {
  readonly flag: Flag;
  readonly tenant: TenantId;
  readonly chance: Chance;
  readonly at: Instant;
}

const next = (moment: Moment): Said => {
  const { flag, chance } = moment;
  if (flag.said === 1) return ['FlagSet', { pct: 0, reason: 'made for the release' }];
  if (flag.frozen) {
    flag.frozen = false;
    return ['FreezeAcknowledged', { reason: 'the cause is put right' }];
  }
  if (flag.ramp === '') {
    if (flag.pct === 100 && chance.perMille(600)) return ['FlagRetired', { reason: 'everybody has it' }];
    return flag.pct === 100 ? setTo(flag, 0) : started(flag, chance);
  }
  return chance.perMille(400) ? observed(moment) : moved(flag, chance);
};

const setTo = (flag: Flag, pct: number): Said => {
  flag.pct = pct;
  return ['FlagSet', { pct, reason: 'taken back' }];
};

const started = (flag: Flag, chance: Chance): Said => {
  flag.ramp = chance.hex(12);
  flag.dryRun = chance.perMille(200) ? 'running' : 'none';
  return [
    'RampStarted',
    {
      added_ppm_max: 1_000,
      age_max_seconds: 300,
      canaries: [],
      dry_run: flag.dryRun === 'running',
      error_ppm_max: 10_000,
      from_pct: flag.pct,
      hold_seconds: 3_600,
      ramp_id: flag.ramp,
      samples_min: 1_000,
      steps: STEPS.filter((step) => step > flag.pct),
    },
  ];
};

const observed = ({ flag, tenant, chance, at }: Moment): Said => [
  'RampObserved',
  {
    ...(chance.perMille(20)
      ? { unusable: chance.pick(['empty', 'not_a_number'] as const) }
      : {
          control_errors: chance.skewed(20),
          control_requests: 20_000 + chance.skewed(90_000),
          exposed_errors: chance.skewed(20),
          exposed_requests: 20_000 + chance.skewed(90_000),
        }),
    of: tenant,
    ramp_id: flag.ramp,
    source: 'prometheus',
    window_from: instantText((at - 60_000) as Instant),
    window_to: instantText(at),
  },
];

const moved = (flag: Flag, chance: Chance): Said => {
  const ramp_id = flag.ramp;
  if (flag.dryRun === 'running') {
    flag.dryRun = 'advised';
    return ['RampAdvised', { cause: 'insufficient', ramp_id, reason: '40 of 1000 requests' }];
  }
  if (flag.dryRun === 'advised') {
    flag.dryRun = 'none';
    flag.ramp = '';
    return ['RampEnded', { outcome: 'stopped', ramp_id, reason: 'a dry run ends where it would freeze' }];
  }
  const to_pct = STEPS.find((step) => step > flag.pct);
  if (to_pct === undefined) {
    flag.ramp = '';
    return ['RampEnded', { outcome: 'completed', ramp_id, reason: 'the last step is taken' }];
  }
  if (chance.perMille(150)) {
    flag.frozen = true;
    return ['FlagFrozen', { cause: 'stale', ramp_id, reason: 'the last figures are 12 minutes old' }];
  }
  const from_pct = flag.pct;
  flag.pct = to_pct;
  return ['FlagRamped', { from_pct, ramp_id, reason: 'the figures are sound', to_pct }];
};
