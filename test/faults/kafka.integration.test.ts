// The small form of `npm run fault:kafka`: each victim once.
import { expect } from 'chai';
import { javaParts, PartsFault } from '#deploy/dev/parts.ts';
import { runKafkaKills } from './kafka-kills.ts';

describe('faults: messages while everything around them is killed', function () {
  this.timeout(300_000);

  it('loses none, doubles none, and keeps the order of each key', async function () {
    const parts = await javaParts().catch((error: unknown) => {
      if (error instanceof PartsFault) return this.skip();
      throw error;
    });
    const { received, accepted, duplicate, deadLettered } = await runKafkaKills({
      parts,
      messages: 6_000,
      victims: ['ingest', 'postgres', 'broker', 'group'],
      random: Math.random,
    });
    expect(received).to.be.at.least(6_000);
    expect(Math.min(accepted, duplicate, deadLettered)).to.be.greaterThan(0);
  });
});
