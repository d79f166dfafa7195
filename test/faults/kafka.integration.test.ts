// The small form of `npm run fault:kafka`: each harm once.
import { expect } from 'chai';
import { ownParts } from '#test/support/kafka.ts';
import { runKafkaKills, VICTIMS } from './kafka-kills.ts';

describe('faults: messages while everything around them is harmed', function () {
  this.timeout(600_000);

  it('loses none, doubles none, keeps the order of each key, and gives out what the ledger has', async function () {
    const parts = await ownParts(this);
    const { received, accepted, duplicate, deadLettered, relayed } = await runKafkaKills({
      parts,
      messages: 6_000,
      victims: VICTIMS,
      random: Math.random,
    });
    expect(received).to.be.at.least(6_000);
    expect(Math.min(accepted, duplicate, deadLettered, relayed)).to.be.greaterThan(0);
  });
});
