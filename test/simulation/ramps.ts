// Flags and ramps in the simulated world: what people, reporters and the clock do to them in any order, and what must hold
// of the chain whoever ran the saga. The oracle knows the rules by itself and nothing of the saga.
import { expect } from 'chai';
import { type FlagCommand, flags } from '#commands/flags.ts';
import { runCommand } from '#commands/run.ts';
import { fireDue } from '#deploy/processes/keepers/timer-keeper.ts';
import type { Chance } from '#schemas/fixture.ts';
import { type Instant, instant, instantText } from '#schemas/ids.ts';
import type { LedgerEvent } from '#schemas/index.ts';
import type { StreamStore } from '#streams/stream.ts';
import { dueFrom } from '#test/sagas/due-timers.ts';
import { ACME } from '#test/support/memory-ledger.ts';

const FEATURES = ['new-checkout', 'dark-mode'] as const;
const POLICY = {
  steps: [10, 50, 100],
  holdSeconds: 300,
  ageMaxSeconds: 400,
  samplesMin: 100,
  errorPpmMax: 10_000,
  addedPpmMax: 1_000,
};

export interface RampWorld {
  readonly chance: Chance;
  readonly store: StreamStore;
  readonly clock: () => Instant;
}

/** Somebody does something about a flag, a reporter reports, or time passes. */
export const anyRampAction = async (world: RampWorld): Promise<void> => {
  const draw = world.chance.int(100);
  if (draw < 20) return await fire(world);
  const at = world.clock();
  await ask(world, anyCommand(world.chance, draw, at), at);
};

/** What every ramp needs. */
export const setFlags = async (world: RampWorld): Promise<void> => {
  for (const feature of FEATURES)
    await ask(world, { type: 'SetFlag', feature, pct: 0, reason: 'made' }, world.clock());
};

const ask = async ({ store, chance }: RampWorld, command: FlagCommand, at: Instant): Promise<void> => {
  const context = { tenant: ACME, actor: 'simulation', at, key: chance.hex(24) };
  const outcome = await runCommand({ store, decider: flags }, command, context);
  expect(outcome.kind).to.be.oneOf(['recorded', 'refused']);
};

/** Two services look at once. */
export const fire = async ({ store, clock, chance }: RampWorld): Promise<void> => {
  const parts = { store, due: dueFrom(store), clock };
  await Promise.all(chance.perMille(500) ? [fireDue(parts), fireDue(parts)] : [fireDue(parts)]);
};

const anyCommand = (chance: Chance, draw: number, at: Instant): FlagCommand => {
  const feature = chance.pick(FEATURES);
  const reason = 'by hand';
  if (draw < 22) return { type: 'SetFlag', feature, pct: chance.int(2) * 5, reason };
  if (draw < 35) {
    const canaries = chance.perMille(150) ? ['globex'] : [];
    const dryRun = chance.perMille(150);
    return { type: 'StartRamp', feature, rampId: chance.hex(12), ...POLICY, canaries, dryRun };
  }
  if (draw < 80) return observing(chance, feature, at);
  if (draw < 82) return { type: 'FreezeFlag', feature, cause: 'ordered', reason };
  return { type: draw < 98 ? 'AcknowledgeFreeze' : 'StopRamp', feature, reason };
};

const observing = (chance: Chance, feature: string, at: Instant): FlagCommand => {
  const strange = chance.perMille(40) ? chance.pick(['NaN', '+Inf', '-3', '']) : '1000';
  const errors = chance.perMille(60) ? chance.pick(['2', '500', '1000']) : '1';
  return {
    type: 'ObserveRamp',
    feature,
    of: chance.perMille(150) ? 'globex' : ACME,
    windowFrom: instantText((at - 1_000 * (1 + chance.skewed(200))) as Instant),
    windowTo: instantText(at),
    exposed: chance.perMille(150) ? { requests: '40', errors: '0' } : { requests: strange, errors },
    control: { requests: '1000', errors: '1' },
    source: 'simulation',
  };
};

// --- the oracle

type Said = LedgerEvent & { readonly recordedAt: Instant; readonly actor: string };
type Of<T extends LedgerEvent['type']> = Extract<LedgerEvent, { type: T }>['data'];

interface WatchedRamp {
  readonly policy: Of<'flags.RampStarted'>;
  pct: number;
  since: number;
  seen: ReadonlyMap<string, Of<'flags.RampObserved'>>;
  /** As of the last timer of its own. */
  fired: Pick<WatchedRamp, 'since' | 'seen'> & { readonly at: number };
  /** When a drift alarm was raised; from the freeze on, never. */
  alarmedAt: number;
}

export interface WatchedFlag {
  pct: number;
  frozen: boolean;
  ramp: WatchedRamp | undefined;
}

/** Throws with what does not hold. */
export const expectRampsSound = (history: readonly LedgerEvent[]): ReadonlyMap<string, WatchedFlag> => {
  const watched = new Map<string, WatchedFlag>();
  const timers = new Map<string, { readonly dueAt: number; fired: boolean }>();
  for (const fact of history as readonly Said[]) {
    if (fact.type === 'attestations.DriftAlarmRaised')
      for (const { frozen, ramp } of watched.values())
        if (ramp && !frozen) ramp.alarmedAt = Math.min(ramp.alarmedAt, fact.recordedAt);
    if (fact.type === 'timers.TimerScheduled') {
      expect(timers.has(fact.data.timer_id), 'a timer is scheduled once').to.equal(false);
      timers.set(fact.data.timer_id, { dueAt: instant(fact.data.due_at), fired: false });
    }
    if (fact.type === 'timers.TimerFired') {
      const timer = timers.get(fact.data.timer_id);
      expect(timer?.fired, 'what was scheduled fires, once').to.equal(false);
      expect(fact.recordedAt, 'and not early').to.be.at.least(timer?.dueAt ?? 0);
      if (timer) timer.fired = true;
      for (const { ramp } of watched.values())
        if (ramp && fact.data.timer_id.startsWith(`${ramp.policy.ramp_id}.`))
          ramp.fired = { since: ramp.since, seen: new Map(ramp.seen), at: fact.recordedAt };
    }
    if (fact.type.startsWith('flags.')) watch(watched, fact);
  }
  return watched;
};

const watch = (all: Map<string, WatchedFlag>, { type, data, recordedAt, actor }: Said): void => {
  const { feature = '' } = data as { readonly feature?: string };
  const flag = all.get(feature) ?? { pct: 0, frozen: false, ramp: undefined };
  all.set(feature, flag);
  const { ramp } = flag;
  switch (type) {
    case 'flags.FlagSet':
      if (flag.frozen) expect(data.pct, 'frozen, it goes down only').to.be.at.most(flag.pct);
      flag.pct = data.pct;
      break;
    case 'flags.RampStarted':
      expect(ramp, 'one ramp at a time').to.equal(undefined);
      flag.ramp = {
        policy: data,
        pct: data.from_pct,
        since: recordedAt,
        seen: new Map(),
        fired: { since: recordedAt, seen: new Map(), at: recordedAt },
        alarmedAt: Number.POSITIVE_INFINITY,
      };
      break;
    case 'flags.RampObserved':
      if (ramp) ramp.seen = new Map([...ramp.seen, [data.of, data]]);
      break;
    case 'flags.FlagRamped':
      expect(flag.frozen, 'no step past a freeze').to.equal(false);
      expect(ramp?.policy.dry_run, 'a dry run changes nothing').to.equal(false);
      expect(data.from_pct, 'from where it is').to.equal(flag.pct);
      stepped(ramp as WatchedRamp, data.to_pct, recordedAt);
      flag.pct = data.to_pct;
      break;
    case 'flags.RampAdvised':
      expect(ramp?.policy.dry_run, 'only a dry run advises').to.equal(true);
      if (data.to_pct !== undefined) stepped(ramp as WatchedRamp, data.to_pct, recordedAt);
      break;
    case 'flags.FlagFrozen':
      expect(flag.frozen, 'it is frozen once').to.equal(false);
      flag.frozen = true;
      if (ramp) ramp.alarmedAt = Number.POSITIVE_INFINITY;
      break;
    case 'flags.FreezeAcknowledged':
      expect(actor, 'a person ends a freeze').to.equal('simulation');
      flag.frozen = false;
      if (ramp) ramp.since = recordedAt;
      break;
    case 'flags.RampEnded':
      flag.ramp = undefined;
      break;
    default:
    // Nothing that a flag depends on.
  }
};

/** Whoever took the step had every figure that it needs. */
const stepped = (ramp: WatchedRamp, to: number, at: number): void => {
  const { policy, pct, fired } = ramp;
  expect(fired.at, 'no step on a timer that fired after an alarm').to.be.below(ramp.alarmedAt);
  expect(to, 'steps in their order').to.equal(policy.steps.find((each) => each > pct));
  for (const party of [...(pct > 0 ? [ACME as string] : []), ...policy.canaries]) {
    const seen = fired.seen.get(party);
    if (!seen || seen.unusable !== undefined) throw new Error(`no step without data of ${party}`);
    const { exposed_requests = 0, exposed_errors = 0, control_requests = 0, control_errors = 0 } = seen;
    if (party === ACME) expect(instant(seen.window_from), 'of this step').to.be.at.least(fired.since);
    expect(fired.at - instant(seen.window_to), 'fresh').to.be.at.most(policy.age_max_seconds * 1_000);
    expect(Math.min(exposed_requests, control_requests), 'enough').to.be.at.least(policy.samples_min);
    const share = exposed_errors / exposed_requests;
    expect(share * 1e6, 'few errors').to.be.at.most(policy.error_ppm_max);
    expect((share - control_errors / control_requests) * 1e6, 'few more').to.be.below(policy.added_ppm_max);
  }
  Object.assign(ramp, { pct: to, since: at });
};

/** At rest, long after the last observation: nothing goes on by itself. */
export const expectRampsSettled = (watched: ReadonlyMap<string, WatchedFlag>): void => {
  for (const [feature, { frozen, ramp }] of watched) {
    if (!ramp) continue;
    expect(frozen, `${feature}: without data a ramp freezes`).to.equal(true);
  }
};
