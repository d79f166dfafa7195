import { expect } from 'chai';
import type { Skip } from '#gateway/projections/parked.ts';
import { type ReadModels, readModels, type WorkRequest } from '#gateway/projections/read-models.ts';
import { projectors } from '#projectors/index.ts';
import { PROJECTORS_FOLDER } from '#projectors/postgres/source.ts';
import type { Instant, Seq } from '#schemas/ids.ts';
import { oneDatabase } from '#streams/postgres/databases.ts';
import { refused } from '#test/contracts/ledger-adapter.ts';
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

  it('are verified to the end or not at all: what was cut off says nothing', async () => {
    const ending = new AbortController();
    const cut = models.verify(work({ signal: ending.signal, onProgress: () => ending.abort() }));
    expect(await refused(cut)).to.have.property('code', 'interrupted');
  });

  it('go back to what a rebuild replaced, forth again, and make room', async () => {
    const before = (await models.rebuild(work())).build;
    const after = (await models.rebuild(work())).build;
    const back = await models.rollback(work());
    expect([back.from.build, back.to.build, back.current]).to.deep.equal([after, before, true]);
    expect((await models.rollback(work())).to.build).to.equal(after);
    const dropped = await models.dropOld('receipts_daily');
    expect(dropped.map(({ build }) => build))
      .to.include(before)
      .and.not.include(after);
    expect(await models.dropOld('receipts_daily')).to.deep.equal([]);
    expect(await refused(models.rollback(work()))).to.have.property('code', 'nothing-there');
  });

  it('pass over a fact that they have halted at, by a reason in the chain', async () => {
    const skip = (over: Partial<Skip> = {}) =>
      models.skip({
        projection: 'receipts_daily',
        tenant: ACME,
        seq: 7 as Seq,
        reason: 'ticket 4711',
        actor: 'operators/ada',
        ...over,
      });
    expect(await skip()).to.deep.equal({ kind: 'not-halted' });
    await models.rebuild(work());
    await past.owner.query(
      `UPDATE projections.checkpoints c SET status = 'halted', fault_seq = 7, fault_id = 'f', fault_message = 'no such thing', fault_at = now()
       FROM projections.read_models m WHERE m.projection = 'receipts_daily' AND m.live_build = c.build AND c.projection = m.projection`,
    );
    const fact = {
      tenant: ACME,
      projection: 'receipts_daily',
      version: 1,
      seq: 7,
      id: 'f',
      message: 'no such thing',
    };
    expect(await models.parked('receipts_daily', 9)).to.deep.equal([fact]);
    expect(await models.parked('receipts_daily', 0)).to.deep.equal([]);
    expect(await models.parked('receipts', 9)).to.deep.equal([]);
    expect(await skip({ seq: 8 as Seq })).to.deep.equal({ kind: 'halted-elsewhere', at: 7 });
    expect((await skip({ reason: '' })).kind).to.equal('malformed');
    expect(await models.parked('receipts_daily', 9)).to.deep.equal([fact]);
    expect(await skip()).to.deep.equal({ kind: 'skipped' });
    expect(await models.parked('receipts_daily', 9)).to.deep.equal([]);
    const facts = (await Array.fromAsync(past.store.read(ACME))).flat();
    expect(facts.at(-1)).to.include({ type: 'projections.FactSkipped', actor: 'operators/ada' });
    expect(JSON.parse(facts.at(-1)?.payload ?? '')).to.include({ seq: 7, reason: 'ticket 4711' });
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
