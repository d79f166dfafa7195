import { expect } from 'chai';
import { type ReadModels, readModels, type WorkRequest } from '#gateway/projections/read-models.ts';
import { projectors } from '#projectors/index.ts';
import { PROJECTORS_FOLDER } from '#projectors/postgres/source.ts';
import type { Instant } from '#schemas/ids.ts';
import { oneDatabase } from '#streams/postgres/databases.ts';
import { ACME } from '#test/projectors/chains.ts';
import { appendReceipts, openTenant } from '#test/projectors/ledger-facts.ts';
import { type History, history } from '#test/projectors/rebuild/history.ts';

describe('gateway/projections: read models', function () {
  this.timeout(120_000);
  let past: History;
  let models: ReadModels;
  before(async () => {
    past = await history({ projectors, folder: PROJECTORS_FOLDER });
    await openTenant(past.store, ACME);
    await appendReceipts(past.store, ACME, { from: 2, count: 20 });
    models = readModels({
      databases: oneDatabase(past.pool),
      store: past.store,
      feed: () => past.feed,
      clock: () => Date.UTC(2026, 10, 21) as Instant,
    });
  });
  after(() => past[Symbol.asyncDispose]());

  const work = (over: Partial<WorkRequest> = {}): WorkRequest => ({
    projection: 'receipts_daily',
    actor: 'operators/ada',
    signal: new AbortController().signal,
    onProgress: () => undefined,
    ...over,
  });

  it('are rebuilt, and by whose word stands in the chain', async () => {
    const phases = new Set<string>();
    const rebuilt = await models.rebuild(work({ onProgress: ({ phase }) => void phases.add(phase) }));
    expect(rebuilt).to.include({ facts: 21, tenants: 1 });
    expect([...phases]).to.include.members(['filling', 'proving', 'switching']);
    const facts = (await Array.fromAsync(past.store.read(ACME))).flat();
    expect(facts.at(-1)).to.include({ type: 'projections.RebuildProved', actor: 'operators/ada' });
    expect((await models.verify(work())).unequal).to.deep.equal([]);
  });

  it('are verified: rows that no history produces are found', async () => {
    const { rows } = await past.owner.query<{ build: number }>(
      `SELECT live_build AS build FROM projections.read_models WHERE projection = 'receipts_daily'`,
    );
    await past.owner.query(`UPDATE projections.receipts_daily_v1_b${rows[0]?.build} SET receipts = 99`);
    const { unequal } = await models.verify(work());
    expect(unequal.map(({ tenant }) => tenant)).to.deep.equal([ACME]);
    await models.rebuild(work());
    expect((await models.verify(work())).unequal).to.deep.equal([]);
  });

  it('say how far they are, are paused once, and resumed once', async () => {
    const daily = (await models.lag()).find(({ projection }) => projection === 'receipts_daily');
    expect(daily).to.include({ haltedTenants: 0 });
    expect(await models.pause('receipts_daily', 'a test')).to.equal(true);
    expect(await models.pause('receipts_daily', 'a test')).to.equal(false);
    const status = await models.status(ACME);
    expect(status.find(({ projection }) => projection === 'receipts_daily')?.state).to.equal('paused');
    expect(await models.resume('receipts_daily')).to.equal(true);
    expect(await models.resume('receipts_daily')).to.equal(false);
    expect(await models.retry('receipts_daily', ACME)).to.equal(false);
  });
});
