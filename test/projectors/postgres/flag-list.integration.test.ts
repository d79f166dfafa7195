// The list from the read model against the same folded from the store.
import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { type FlagCommand, flags } from '#commands/flags.ts';
import { runCommand } from '#commands/run.ts';
import { tenants } from '#commands/tenants.ts';
import { projectors } from '#projectors/index.ts';
import { flagList, flagShares } from '#projectors/postgres/flag-list.ts';
import { postgresRowSink } from '#projectors/postgres/sink.ts';
import { runProjectors } from '#projectors/run.ts';
import { type Instant, tenantId } from '#schemas/ids.ts';
import { postgresStreamFeed } from '#streams/postgres/feed.ts';
import { postgresStreamStore } from '#streams/postgres/store.ts';
import { flagsFrom } from '#test/gateway/http/listed-flags.ts';
import { testSigner } from '#test/support/test-signer.ts';
import { projectionDatabase } from '../chains.ts';

const said = { feature: 'new-checkout', reason: 'the release' };
const SAID: readonly FlagCommand[] = [
  { type: 'SetFlag', ...said, pct: 10, description: 'the new one' },
  { type: 'FreezeFlag', ...said, cause: 'ordered' },
  { type: 'SetFlag', ...said, feature: 'POST:/v1/orders', pct: 0 },
  {
    type: 'StartRamp',
    feature: 'POST:/v1/orders',
    rampId: 'r-1',
    steps: [10, 100],
    holdSeconds: 60,
    ageMaxSeconds: 60,
    samplesMin: 1,
    errorPpmMax: 0,
    addedPpmMax: 1,
    canaries: [],
    dryRun: true,
  },
  { type: 'SetFlag', ...said, feature: 'dark-mode', pct: 100 },
  { type: 'RetireFlag', ...said, feature: 'dark-mode' },
];

describe('projectors/postgres: the list of flags', () => {
  it('is what the store says, tenant by tenant, and figures are of those in force', async () => {
    await using db = await projectionDatabase(projectors);
    await using store = await postgresStreamStore({ pool: db.pool, signer: testSigner().signer });
    await using feed = postgresStreamFeed({ pool: db.pool, pollMs: 50 });
    const [acme, globex] = [tenantId('acme'), tenantId('globex')];
    for (const tenant of [acme, globex]) {
      const context = () => ({ tenant, actor: 'ada', at: 0 as Instant, key: randomUUID() });
      const open = { type: 'CreateTenant', displayName: tenant } as const;
      await runCommand({ store, decider: tenants }, open, context());
      for (const command of tenant === acme ? SAID : SAID.slice(0, 1))
        expect(await runCommand({ store, decider: flags }, command, context())).to.include({
          kind: 'recorded',
        });
    }
    const { signal } = new AbortController();
    const sink = postgresRowSink({ pool: db.pool });
    await runProjectors({ feed, sink, projectors, signal, untilCaughtUp: true });
    const [listed, told] = [flagList(db.pool), flagsFrom(store)];
    for (const tenant of [acme, globex]) {
      expect(await listed(tenant)).to.deep.equal(await told(tenant));
      expect(await listed(tenant)).to.have.length(tenant === acme ? 3 : 1);
    }
    const shares = await flagShares(db.pool, 10);
    expect(shares).to.have.deep.members([
      { tenant: 'acme', feature: 'new-checkout', pct: 10 },
      { tenant: 'acme', feature: 'POST:/v1/orders', pct: 0 },
      { tenant: 'globex', feature: 'new-checkout', pct: 10 },
    ]);
    expect(await flagShares(db.pool, 1)).to.have.length(1);
  });
});
