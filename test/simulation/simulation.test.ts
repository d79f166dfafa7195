import { expect } from 'chai';
import { harmKinds } from './harms.ts';
import { expectReactionsSound } from './loop.ts';
import { expectRampsSettled, expectRampsSound } from './ramps.ts';
import { simulate } from './simulate.ts';
import type { History, Said } from './world.ts';

const SEEDS = 200;

/** A fact's type, and of some what it comes to. */
const kindOf = ({ type, data }: Said): string => {
  switch (type) {
    case 'attestations.AttestationRecorded':
      return data.route === 'receipts' ? `${type} ${data.verdict}` : type;
    case 'gates.WritePathRolledBack':
      return data.alarm_id === undefined ? type : `${type} for an alarm`;
    case 'gates.WritePathRestored':
      return `${type} ${data.grounds}`;
    default:
      return type;
  }
};

describe('simulation: a world out of a seed', function () {
  this.timeout(600_000);

  it(`the oracle holds in ${SEEDS} worlds, and what it watches over happens in them`, async () => {
    const happened = new Map<string, number>();
    const found = new Set<string>();
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      try {
        const ended = await simulate(seed);
        for (const said of ended.history) happened.set(kindOf(said), (happened.get(kindOf(said)) ?? 0) + 1);
        for (const what of ended.found) found.add(what);
      } catch (cause) {
        const again = `npm run fault:sagas -- --from ${seed} --seeds 1`;
        throw new Error(`seed ${seed}: ${(cause as Error).message} (${again})`, { cause });
      }
    }
    for (const kind of [
      'receipts.ReceiptRecorded',
      'attestations.AttestationRecorded clean',
      'attestations.AttestationRecorded divergent',
      'attestations.AttestationRecorded lag',
      'attestations.DriftLocated',
      'attestations.DriftAlarmRaised',
      'attestations.BackfillCompleted',
      'gates.WritePathRolledBack for an alarm',
      'gates.WritePathRestored attested',
      'flags.FlagRamped',
      'flags.FlagFrozen',
      'flags.RampAdvised',
      'timers.TimerFired',
    ])
      expect(happened.get(kind), kind).to.be.greaterThan(20);
    expect([...found].sort()).to.deep.equal([...harmKinds].sort());
  });

  it('a seed gives the same world again', async () => {
    const [first, again] = [await simulate(7), await simulate(7)];
    expect(again.history.map(({ hash }) => hash)).to.deep.equal(first.history.map(({ hash }) => hash));
    expect(again.stores).to.equal(first.stores);
    expect(again.stores).to.include('receipts_graph');
  });

  it('the oracle of ramps finds what it looks for', () => {
    const said = (type: string, data: object = {}, recordedAt = 0) =>
      ({ type, data: { feature: 'new-checkout', ...data }, recordedAt, actor: 'saga:ramps' }) as never;
    const policy = { ramp_id: 'r', from_pct: 0, steps: [10, 50], canaries: [], dry_run: false };
    const set = said('flags.FlagSet', { pct: 0 });
    const started = said('flags.RampStarted', policy);
    const ramped = said('flags.FlagRamped', { from_pct: 0, to_pct: 10 });
    const frozen = said('flags.FlagFrozen');
    const timer = { timer_id: 'r.1', due_at: '1970-01-01T00:00:01Z' };
    for (const [history, what] of [
      [
        [set, started, ramped, said('flags.FlagRamped', { from_pct: 10, to_pct: 50 })],
        'no step without data',
      ],
      [[set, started, frozen, ramped], 'no step past a freeze'],
      [[set, said('flags.RampStarted', { ...policy, dry_run: true }), ramped], 'a dry run changes nothing'],
      [[set, started, said('attestations.DriftAlarmRaised', {}, -1), ramped], 'after an alarm'],
      [[set, frozen, said('flags.FreezeAcknowledged')], 'a person ends a freeze'],
      [[said('timers.TimerScheduled', timer), said('timers.TimerFired', timer)], 'and not early'],
      [[said('timers.TimerFired', timer)], 'what was scheduled fires, once'],
    ] as const)
      expect(() => expectRampsSound(history)).to.throw(what);
    expect(() => expectRampsSettled(expectRampsSound([set, started, ramped]))).to.throw('without data');
  });

  it('the oracle finds what it looks for', () => {
    const said = (type: string, data: object) =>
      ({ id: 'x', seq: 0, type, data: { route: 'receipts', ...data } }) as never;
    const closed = said('gates.WritePathRolledBack', { epoch: 1, reason: 'x' });
    for (const [history, what] of [
      [[closed, closed], 'what is closed is not closed again'],
      [[closed, said('receipts.ReceiptRecorded', {})], 'past a path that was closed'],
      [
        [said('gates.WritePathRolledBack', { epoch: 1, alarm_id: 'a', reason: 'x' })],
        'nothing closes without',
      ],
      [[said('gates.WritePathRestored', { epoch: 1, grounds: 'ordered' })], 'only what is closed'],
      [[closed, said('gates.WritePathRestored', { epoch: 3, grounds: 'ordered' })], 'epochs have no gaps'],
      [
        [
          said('attestations.DriftAlarmRaised', { alarm_id: 'a' }),
          said('gates.WritePathRolledBack', { epoch: 1, alarm_id: 'a', reason: 'x' }),
          said('gates.WritePathRestored', { epoch: 2, grounds: 'attested' }),
        ],
        'nothing returns without proof',
      ],
    ] as const)
      expect(() => expectReactionsSound(history as History)).to.throw(what);
  });
});
