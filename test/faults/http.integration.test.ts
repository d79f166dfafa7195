// The short form of http.fault.ts: six kills by SIGKILL under open-loop load.
import { expect } from 'chai';
import { runHttpKills } from './http-kills.ts';

describe('kill -9 under HTTP load', () => {
  it('of the service, of PostgreSQL, of both: every acknowledged receipt is there once, with one answer', async function () {
    this.timeout(240_000);
    const figures = await runHttpKills({
      victims: ['service', 'postgres', 'both', 'service', 'postgres', 'service'],
      afterMs: [100, 600],
      rate: 100,
    });
    expect(figures.kills).to.equal(6);
    expect(figures.receipts, JSON.stringify(figures)).to.be.greaterThan(200);
    expect(figures.repeatedAnswers).to.be.greaterThan(20);
    // Three tenants with a token each; everything that was sent has been acknowledged.
    expect(figures.storedFacts).to.equal(6 + figures.receipts);
    expect(figures.proofsVerified).to.be.greaterThan(100);
    expect(Object.keys(figures.trouble), 'the kills were felt').to.not.have.length(0);
  });

  it('the oracle can tell: a server that answers before it has written loses acknowledged receipts', async function () {
    this.timeout(240_000);
    // Ten seconds is the most that PostgreSQL takes: where its log was written just before the kill, once more.
    const settings = { synchronous_commit: 'off', wal_writer_delay: '10s', wal_writer_flush_after: '1GB' };
    let error: unknown;
    for (let tries = 0; tries < 3 && !(error instanceof Error); tries += 1)
      error = await runHttpKills({ victims: ['both'], afterMs: [800, 900], rate: 100, settings }).catch(
        (failure: unknown) => failure,
      );
    expect(error).to.be.an('error');
    expect((error as Error).message).to.match(/is not stored|was acknowledged at|and was said to be at/);
  });
});
