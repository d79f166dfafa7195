// The campaign of `npm run fault:drift-loop` in its short form.
import { expect } from 'chai';
import { tenantId } from '#schemas/ids.ts';
import { testNeo4j } from '#test/support/neo4j.ts';
import { runCampaign } from './drift-campaign.ts';
import { type DriftLoop, openDriftLoop } from './drift-loop.ts';
import { openSite, type Site } from './site.ts';

const harmed = ['acme', 'birch'].map(tenantId);

/** So that a slow machine comes to something between them. */
const KILLS = 4;

describe('drift at many places at once', function () {
  this.timeout(600_000);
  let site: Site;
  let loop: DriftLoop;

  before(async function () {
    const { url } = await testNeo4j(this);
    site = await openSite({ tenants: [...harmed, tenantId('quiet')] });
    loop = await openDriftLoop(site, url);
  });
  after(async () => {
    await loop?.[Symbol.asyncDispose]();
    await site?.[Symbol.asyncDispose]();
  });

  it('each is found, located and led back from, and nobody else is alarmed, while the service is killed', async () => {
    let kills = 0;
    const killed = async (): Promise<void> => {
      if (kills < KILLS) await loop.killed();
      kills += 1;
    };
    const { rounds, alarms } = await runCampaign({
      site,
      loop,
      harmed,
      mutations: 7,
      spreadMs: 0,
      disturbances: [{ what: 'service killed', stops: true, run: killed }],
      disturbEveryMs: 3_000,
    });
    expect(rounds).to.have.length(7);
    expect(alarms).to.equal(7);
    await site.sound();
  });
});
