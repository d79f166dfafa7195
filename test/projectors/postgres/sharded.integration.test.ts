// Read models and sagas of a ledger on two databases: they are at home, and their facts are on both.
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import type { WiredLedger } from '#deploy/processes/ledger/wire.ts';
import { projectors } from '#projectors/index.ts';
import { projectionLag } from '#projectors/postgres/lag.ts';
import { rebuild } from '#projectors/postgres/rebuild/rebuild.ts';
import { rollback } from '#projectors/postgres/rebuild/rollback.ts';
import { verifyReadModel } from '#projectors/postgres/rebuild/verify.ts';
import { takeSnapshot } from '#projectors/postgres/snapshots/snapshot.ts';
import { projectionStatus } from '#projectors/postgres/status.ts';
import { skipsIn } from '#projectors/rebuild/skips.ts';
import { receipts } from '#projectors/receipts.ts';
import { allSagas } from '#sagas/index.ts';
import { sagaLag } from '#sagas/postgres/lag.ts';
import { postgresSagaShelf } from '#sagas/postgres/shelf.ts';
import { type Instant, type Seq, type TenantId, tenantId } from '#schemas/ids.ts';
import { oneDatabase } from '#streams/postgres/databases.ts';
import { ledgerTotals, typeTotals } from '#streams/postgres/totals.ts';
import { appendReceipts } from '#test/projectors/ledger-facts.ts';
import { type ShardedLedger, shardedLedger } from '#test/support/sharded-ledger.ts';

const acme = tenantId('acme');
const globex = tenantId('globex');
const NEVER = new AbortController().signal;

describe('read models of a ledger on two databases', function () {
  this.timeout(120_000);
  let sharded: ShardedLedger;
  let ledger: WiredLedger;
  beforeEach(async () => {
    sharded = await shardedLedger([acme, globex]);
    ({ ledger } = sharded);
    for (const tenant of [acme, globex]) await appendReceipts(ledger.store, tenant, { from: 2, count: 20 });
    await ledger.catchUp(NEVER);
    await sharded.move(globex, 'east');
    await appendReceipts(ledger.store, globex, { from: 22, count: 10 });
  });
  afterEach(() => sharded[Symbol.asyncDispose]());

  const rowsOf = async (tenant: TenantId): Promise<number> => {
    const { rows } = await ledger.pool.query<{ n: number }>(
      'SELECT count(*) AS n FROM views.receipts WHERE tenant = $1',
      [tenant],
    );
    return rows[0]?.n ?? 0;
  };
  const stateOf = async (tenant: TenantId) => {
    const all = await projectionStatus(ledger.databases, tenant);
    const { state, lagFacts, headSeq } = all.find(({ projection }) => projection === 'receipts') ?? {};
    return { state, lagFacts, headSeq };
  };
  const lagOf = async () =>
    (await projectionLag(ledger.databases, projectors)).find(({ projection }) => projection === 'receipts');
  const folding = () => ({
    pool: ledger.pool,
    databases: ledger.databases,
    store: ledger.store,
    feed: ledger.feed,
    projector: receipts,
    skips: skipsIn(ledger.store),
    signal: NEVER,
  });

  it('how far they are is asked of the server that has the tenant', async () => {
    expect(await stateOf(globex)).to.deep.equal({ state: 'behind', lagFacts: 10, headSeq: 31 });
    expect(await lagOf()).to.include({ haltedTenants: 0 });
    // Those of the operators' chain, which says where the tenant is, are not folded yet either.
    expect((await lagOf())?.lagFacts).to.be.at.least(10);
    await ledger.catchUp(NEVER);
    expect(await stateOf(globex)).to.deep.equal({ state: 'current', lagFacts: 0, headSeq: 31 });
    expect(await stateOf(acme)).to.deep.equal({ state: 'current', lagFacts: 0, headSeq: 21 });
    expect(await lagOf()).to.include({ lagFacts: 0, lagSecondsMax: 0 });
    // Who knows of one server only says that the tenant is not there, and not that facts were lost.
    const alone = await projectionStatus(oneDatabase(ledger.pool), globex);
    expect(new Set(alone.map(({ state }) => state))).to.deep.equal(new Set(['elsewhere']));
  });

  it('a tenant is counted once, where it is', async () => {
    const heads = await ledger.store.heads();
    const facts = heads.reduce((sum, { seq }) => sum + seq, 0);
    expect(await ledgerTotals(ledger.databases)).to.deep.equal({ tenants: heads.length, facts });
    const day = await typeTotals(ledger.databases, 0 as Instant, (Date.now() + 86_400_000) as Instant);
    const counted = day.filter(({ type }) => type === 'receipts.ReceiptRecorded');
    expect(counted.map(({ tenant, facts: of }) => [tenant, of])).to.deep.equal([
      [acme, 20],
      [globex, 30],
    ]);
  });

  it('workers keep them, each its part of the tenants of both', async () => {
    const ending = new AbortController();
    const working = ledger.work(ending.signal);
    for (const deadline = Date.now() + 60_000; Date.now() < deadline; await pause(50))
      if ((await stateOf(globex)).state === 'current') break;
    ending.abort();
    await working;
    expect(await rowsOf(globex)).to.equal(30);
  });

  it('are rebuilt from the facts of both, rolled back, and verified', async () => {
    const rebuilt = await rebuild({ ...folding(), attest: async () => undefined });
    expect(rebuilt.proofs.map(({ tenant, rows }) => [tenant, rows])).to.deep.include.members([
      [acme, 20],
      [globex, 30],
    ]);
    expect(await rowsOf(globex)).to.equal(30);
    await appendReceipts(ledger.store, globex, { from: 32, count: 5 });
    expect(await rollback(folding())).to.include({ current: true });
    expect(await rowsOf(globex)).to.equal(35);
    const verified = await verifyReadModel(folding());
    expect(verified.unequal).to.deep.equal([]);
    const one = await rebuild({ ...folding(), tenant: globex, attest: async () => undefined });
    expect(one.proofs.map(({ tenant, rows }) => [tenant, rows])).to.deep.equal([[globex, 35]]);
  });

  it('are not rebuilt by who knows of one server only', async () => {
    const alone = { ...folding(), databases: oneDatabase(ledger.pool), attest: async () => undefined };
    const error = await rebuild(alone).catch((failure: unknown) => failure);
    expect(error).to.include({ code: 'elsewhere' });
    expect((error as Error).message).to.match(/^globex is on a server that was not asked/);
  });

  it('are shown as of one place of all tenants', async () => {
    const { store, databases } = ledger;
    const options = { databases, store, projectors: [receipts], skips: skipsIn(store) };
    const now = await takeSnapshot({ ...options, name: 'today', asked: { kind: 'now' } });
    expect(now.position.map(({ tenant, seq }) => [tenant, seq])).to.deep.include.members([
      [acme, 21],
      [globex, 31],
    ]);
    const time = Date.now() as Instant;
    const then = await takeSnapshot({ ...options, name: 'then', asked: { kind: 'time', time } });
    expect(then.position.map(({ tenant, seq }) => [tenant, seq])).to.deep.include([globex, 31]);
    const asked = { kind: 'seq', tenant: globex, seq: 25 as Seq } as const;
    const one = await takeSnapshot({ ...options, name: 'one', asked });
    expect(one.models[0]?.proofs.map(({ rows }) => rows)).to.deep.equal([24]);
  });

  it('a saga that comes now is silent about what any server has, and behind by nothing', async () => {
    const shelf = postgresSagaShelf(ledger.databases);
    const [saga] = allSagas;
    if (!saga) throw new Error('no saga');
    await shelf.install(saga);
    const [position] = await shelf.positions(saga, globex);
    expect(position).to.include({ mutedTo: 31 });
    const lag = (await sagaLag(ledger.databases, allSagas)).find((of) => of.saga === saga.name);
    const heads = await ledger.store.heads();
    expect(lag?.lagFacts).to.equal(heads.reduce((sum, { seq }) => sum + seq, 0));
  });

  it('a whole chain is verified where it is', async () => {
    const keys = sharded.keys;
    const verified = await ledger.verifyWhole?.({ tenant: globex, keys, signal: NEVER } as never);
    expect(verified).to.have.nested.property('head.seq', 31);
  });
});
