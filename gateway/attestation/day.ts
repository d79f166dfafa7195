// One day of one tenant in the coverage report: how much of what was recorded is attested, what attestation found, and
// whether a ramp may go on. Pure: the same ledger and the same day give the same report.
import type { DriftEvent } from '#sagas/attestations.ts';
import type { Fact } from '#schemas/event.ts';
import type { Instant, TenantId } from '#schemas/ids.ts';
import { driftState } from './route-facts.ts';

export interface RouteDay {
  readonly route: string;
  /** By verdict, of those on record that day. */
  readonly attestations: { readonly clean: number; readonly divergent: number; readonly lag: number };
  /** Elements that differed when the stores were last compared that day; `null` when they were not. */
  readonly divergent: number | null;
  readonly alarms: number;
  /** As the day ended. */
  readonly write_path: 'open' | 'closed';
  readonly ramp: Recommendation;
}

/** `advance`: fresh and clean. `hold`: too little is known. `freeze`: something is wrong. */
export interface Recommendation {
  readonly recommendation: 'advance' | 'hold' | 'freeze';
  readonly reasons: readonly string[];
}

export interface TenantDay {
  readonly tenant: TenantId;
  /** Recorded that day, and how many of them are of attested types. */
  readonly facts: number;
  readonly attested_facts: number;
  /** Cut off; `null` on a day without facts. */
  readonly attested_pct: number | null;
  readonly routes: readonly RouteDay[];
  /** To the day before; `null` without a report of it. */
  readonly difference: Difference | null;
}

export interface Difference {
  readonly facts: number;
  readonly attested_pct: number | null;
  readonly divergent: number;
  readonly alarms: number;
}

export interface Day {
  readonly from: Instant;
  /** Exclusive. */
  readonly to: Instant;
}

/** Clean attestations in a day from which a ramp may go on. */
const CLEAN_MIN = 2;

/** `facts`: all of the route up to the end of the day, or further. */
export const routeDay = (route: string, facts: readonly Fact<DriftEvent>[], { from, to }: Day): RouteDay => {
  const known = facts.filter(({ recordedAt }) => recordedAt < to);
  const today = known.filter(({ recordedAt }) => recordedAt >= from);
  const attestations = { clean: 0, divergent: 0, lag: 0 };
  let divergent: number | null = null;
  let alarms = 0;
  for (const { type, data } of today) {
    if (type === 'attestations.DriftAlarmRaised') alarms += 1;
    if (type !== 'attestations.AttestationRecorded') continue;
    attestations[data.verdict] += 1;
    if (data.verdict !== 'lag') divergent = data.divergent;
  }
  const gate = known.findLast(({ type }) => type.startsWith('gates.'));
  const write_path = gate?.type === 'gates.WritePathRolledBack' ? 'closed' : 'open';
  const { standing } = driftState(known);
  const wrong = [
    ...(write_path === 'closed' ? ['the write path is closed'] : []),
    ...(write_path === 'open' && standing !== 'watching' ? ['an alarm is under way'] : []),
    ...(attestations.divergent > 0 ? [`${attestations.divergent} attestations found a difference`] : []),
    ...(alarms > 0 ? [`${alarms} alarms were raised`] : []),
  ];
  const lacking =
    attestations.clean < CLEAN_MIN
      ? [`${attestations.clean} clean attestations on record that day, ${CLEAN_MIN} are wanted`]
      : [];
  const recommendation = wrong.length > 0 ? 'freeze' : lacking.length > 0 ? 'hold' : 'advance';
  return {
    route,
    attestations,
    divergent,
    alarms,
    write_path,
    ramp: { recommendation, reasons: [...wrong, ...lacking] },
  };
};

export interface TenantDayParts {
  readonly tenant: TenantId;
  /** Facts of the day by type. */
  readonly types: ReadonlyMap<string, number>;
  /** Types that the mapper catalog covers. */
  readonly attestedTypes: ReadonlySet<string>;
  readonly routes: readonly RouteDay[];
  readonly before: TenantDay | undefined;
}

export const tenantDay = ({ tenant, types, attestedTypes, routes, before }: TenantDayParts): TenantDay => {
  let [facts, attested_facts] = [0, 0];
  for (const [type, count] of types) {
    facts += count;
    if (attestedTypes.has(type)) attested_facts += count;
  }
  const attested_pct = facts === 0 ? null : Math.floor((attested_facts * 100) / facts);
  const day = { tenant, facts, attested_facts, attested_pct, routes };
  return { ...day, difference: before === undefined ? null : differenceOf(day, before) };
};

const sum = (routes: readonly RouteDay[], of: (route: RouteDay) => number): number =>
  routes.reduce((total, route) => total + of(route), 0);

const differenceOf = (now: Omit<TenantDay, 'difference'>, before: TenantDay): Difference => ({
  facts: now.facts - before.facts,
  attested_pct:
    now.attested_pct === null || before.attested_pct === null ? null : now.attested_pct - before.attested_pct,
  divergent: sum(now.routes, (of) => of.divergent ?? 0) - sum(before.routes, (of) => of.divergent ?? 0),
  alarms: sum(now.routes, (of) => of.alarms) - sum(before.routes, (of) => of.alarms),
});
