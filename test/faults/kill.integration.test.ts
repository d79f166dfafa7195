// The short form of kill.fault.ts: four kills by SIGKILL while 24 callers append.
import { expect } from 'chai';
import { runKills } from './kills.ts';

describe('kill -9 while ingesting', () => {
  it('of the process, of PostgreSQL, of both: every acknowledged fact is there exactly once, every chain verifies', async function () {
    this.timeout(180_000);
    const figures = await runKills({
      victims: ['process', 'postgres', 'both', 'process'],
      afterMs: [100, 500],
    });
    expect(figures.kills).to.equal(4);
    expect(figures.acknowledgedFacts, JSON.stringify(figures)).to.be.greaterThan(100);
    // What is stored and not acknowledged is at most what was under way at the last kill, and the tenants' openings.
    expect(figures.storedFacts - figures.acknowledgedFacts).to.be.within(3, 3 + 24 * 3);
    expect(figures.proofsVerified).to.be.greaterThan(100);
  });
});
