import { expect } from 'chai';
import { expectReactionsSound, type History, simulate } from './simulated-world.ts';

const SEEDS = 200;

describe('sagas: a world out of a seed', function () {
  this.timeout(180_000);

  it(`the oracle holds in ${SEEDS} worlds, and what it watches over happens in them`, async () => {
    const types = new Map<string, number>();
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      try {
        for (const { type } of await simulate(seed)) types.set(type, (types.get(type) ?? 0) + 1);
      } catch (cause) {
        throw new Error(`seed ${seed}: ${(cause as Error).message}`, { cause });
      }
    }
    for (const type of [
      'attestations.DriftAlarmRaised',
      'gates.WritePathRolledBack',
      'gates.WritePathRestored',
    ])
      expect(types.get(type), type).to.be.greaterThan(20);
  });

  it('a seed gives the same world again', async () => {
    const told = (history: History) =>
      JSON.stringify(history.map(({ id, type, data }) => ({ id, type, data })));
    expect(told(await simulate(7))).to.equal(told(await simulate(7)));
  });

  it('the oracle finds what it looks for', () => {
    const said = (type: string, data: object) =>
      ({ id: 'x', type, data: { route: 'receipts', ...data } }) as never;
    const closed = said('gates.WritePathRolledBack', { epoch: 1, reason: 'x' });
    for (const [history, what] of [
      [[closed, closed], 'what is closed is not closed again'],
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
