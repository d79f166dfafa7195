// Ten seconds of the soak; `npm run soak:drift -- --minutes 60` is the long form.
import { expect } from 'chai';
import { testNeo4j } from '#test/support/neo4j.ts';
import { soak } from './drift-soak.ts';
import { openSite } from './site.ts';

describe('writing while both stores are compared', function () {
  this.timeout(600_000);
  it('raises no alarm for ten seconds', async function () {
    const { url } = await testNeo4j(this);
    this.timeout(600_000);
    await using site = await openSite();
    const { taken, refused, clean, divergent, alarms } = await soak({ site, url, seconds: 10, callers: 2 });
    expect({ refused, divergent, alarms }).to.deep.equal({ refused: 0, divergent: 0, alarms: 0 });
    expect(taken).to.be.greaterThan(50);
    expect(clean).to.be.at.least(2);
  });
});
