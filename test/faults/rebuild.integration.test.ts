import { expect } from 'chai';
import { random } from '../load/receipts.ts';
import { killRebuilds } from './rebuild-kills.ts';

describe('rebuilds under live load, killed at random', function () {
  this.timeout(300_000);

  it('end equal to the history (the short form of `npm run fault:rebuild`)', async () => {
    const seed = Number(process.env['FC_SEED'] ?? Date.now());
    const { killed, meanwhile, faults } = await killRebuilds({
      kills: 4,
      facts: 1_500,
      chance: random(seed),
    });
    expect(faults, `seed ${seed}`).to.deep.equal([]);
    expect(killed).to.have.length(4);
    expect(meanwhile).to.be.greaterThan(0);
  });
});
