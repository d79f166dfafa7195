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

  it('the oracle can tell: a server that answers before it has written loses acknowledged facts', async function () {
    this.timeout(60_000);
    const settings = { synchronous_commit: 'off', wal_writer_delay: '10s', wal_writer_flush_after: '1GB' };
    const error = await runKills({ victims: ['both'], afterMs: [400, 600], settings }).catch(
      (failure: unknown) => failure,
    );
    expect(error)
      .to.be.an('error')
      .with.property('message')
      .that.includes('acknowledged facts that are not stored');
  });
});
