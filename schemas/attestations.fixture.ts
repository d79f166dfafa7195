// Fixtures of attestations: routes whose stores are compared again and again. Nearly all comparisons are clean, some find
// one store behind; now and then one finds drift, which is located, raises an alarm, and is filled anew.
import type { Chance, EventGenerator, Saying, TenantSayings } from './fixture.ts';
import { type Instant, streamName } from './ids.ts';

const ROUTES = ['receipts', 'POST:/v1/orders', 'nightly-import'] as const;
const CLASSES = ['missing', 'extra', 'value', 'order'] as const;

export const attestationsFixture: EventGenerator = {
  domain: 'attestations',
  perTenThousand: 12,
  forTenant: (tenant, chance) => sayings(tenant, chance),
};

const sayings = (tenant: string, chance: Chance): TenantSayings => {
  let said = 0;
  /** What has still to be said of a divergence that was found, the next one last. */
  const due: Due[] = [];
  const saying = (at: Instant, name: string, data: Saying['data'] & { readonly route: string }): Saying => ({
    key: `${name} ${said} of ${tenant}`,
    type: `attestations.${name}`,
    schemaVersion: 1,
    data,
    stream: streamName('attestations', data.route),
    occurredAt: at,
    actor: 'attestation@example.org',
    opId: `compare-${said}`,
  });
  return {
    next: (at) => {
      said += 1;
      const next = due.pop();
      if (next) return saying(at, next.name, next.data);
      const route = chance.pick(ROUTES);
      if (chance.perMille(80))
        return saying(at, 'DriftPolicyChanged', { alarm_after: 2, clean_after: 2, divergent_min: 1, route });
      const data = comparison(chance, route, said * 10);
      if (data.divergent > 0) due.push(...consequences(chance, data));
      return saying(at, 'AttestationRecorded', data);
    },
  };
};

interface Due {
  readonly name: string;
  readonly data: Saying['data'] & { readonly route: string };
}

const comparison = (chance: Chance, route: string, seq: number) => {
  const draw = chance.int(100);
  const verdict = draw < 4 ? 'divergent' : draw < 12 ? 'lag' : 'clean';
  const root = chance.hex(64);
  return {
    divergent: verdict === 'divergent' ? 1 + chance.skewed(40) : 0,
    elements: chance.skewed(100_000),
    left_root: root,
    left_seq: seq,
    left_store: 'postgres',
    right_root: verdict === 'clean' ? root : chance.hex(64),
    right_seq: verdict === 'lag' ? seq - 1 - chance.int(9) : seq,
    right_store: 'neo4j',
    route,
    verdict,
  };
};

/** An operation of a service that attests its own writes: both stores hold the same. */
const writeOf = (chance: Chance, route: string) => {
  const digest = chance.hex(64);
  return {
    divergent: 0,
    elements: 1 + chance.int(4),
    left_digest: digest,
    left_store: 'postgres',
    op_id: `op-${chance.hex(8)}`,
    right_digest: digest,
    right_store: 'neo4j',
    route,
  };
};

const consequences = (
  chance: Chance,
  { route, divergent, left_seq: seq }: ReturnType<typeof comparison>,
): readonly Due[] => [
  { name: 'WriteAttested', data: writeOf(chance, route) },
  { name: 'BackfillCompleted', data: { operations: chance.skewed(100_000), route, to_seq: seq } },
  {
    name: 'SpanDigested',
    data: {
      elements: chance.skewed(100_000),
      fold_version: 1,
      from_seq: 1,
      operations: chance.skewed(50_000),
      root: chance.hex(64),
      route,
      to_seq: seq,
    },
  },
  {
    name: 'DriftAlarmRaised',
    data: { alarm_id: `alarm-${chance.hex(12)}`, as_of_seq: seq, divergent, in_a_row: 1, route },
  },
  {
    name: 'DriftLocated',
    data: {
      as_of_seq: seq,
      class: chance.pick(CLASSES),
      element: `receipt r-${chance.hex(8)}`,
      ...(chance.perMille(500) && { field: 'decision', left_digest: chance.hex(64) }),
      route,
    },
  },
];
