// What PostgreSQL may answer to a commit besides yes: lost races, deadlocks, serialization failures, dead connections.

import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { streamName, tenantId } from '#schemas/ids.ts';
import type { Client } from '#streams/postgres/connect.ts';
import type { StreamStore } from '#streams/stream.ts';
import {
  acme,
  append,
  at,
  draft,
  drafts,
  openTenants,
  other,
  readAll,
} from '#test/contracts/ledger-adapter.ts';
import { expectLedgerSound } from '#test/support/ledger-sound.ts';
import { interceptOnce, openPostgres } from './postgres-adapter.ts';

const answer = (code: string, constraint?: string): Error =>
  Object.assign(new Error(`injected ${code}`), { code, constraint });

describe('commits that PostgreSQL refuses or interrupts', () => {
  for (const isolation of ['read committed', 'repeatable read', 'serializable']) {
    it(`two processes under default_transaction_isolation = ${isolation}: 20 parallel appends and 20 decisions`, async function () {
      this.timeout(60_000);
      await using ledger = await openPostgres();
      await openTenants(ledger.store, acme, other);
      const { database } = ledger.database.connection;
      await ledger.owner.query(
        `ALTER DATABASE "${database}" SET default_transaction_isolation = '${isolation}'`,
      );
      const stores = [(await ledger.another()).store, (await ledger.another()).store];
      const store = (n: number) => stores[n % 2] as StreamStore;
      const list = drafts(20);
      const results = list.map((one, n) => append(store(n), n % 4 < 2 ? acme : other, one));
      const stream = streamName('tests', 'counter');
      const decide = async (_: unknown, n: number): Promise<void> => {
        for (let kind = ''; kind !== 'appended'; ) {
          const facts = await store(n).readStream(acme, stream);
          const request = {
            tenant: acme,
            drafts: [draft({ stream })],
            expect: at(stream, facts.at(-1)?.seq ?? 0),
          };
          kind = (await store(n).append(request)).kind;
          expect(kind).to.be.oneOf(['appended', 'conflict']);
        }
      };
      await Promise.all(Array.from({ length: 20 }, decide));
      expect((await Promise.all(results)).map(({ kind }) => kind)).to.deep.equal(Array(20).fill('appended'));
      expect(await ledger.store.readStream(acme, stream)).to.have.length(20);
      const acknowledged = list.map(({ id }, n) => ({ tenant: n % 4 < 2 ? acme : other, id }));
      expect((await expectLedgerSound(ledger, { acknowledged })).facts).to.equal(42);
    });
  }

  for (const [name, error] of [
    ['a serialization failure (40001)', answer('40001')],
    ['a deadlock (40P01)', answer('40P01')],
    ['a head that has moved (PL001)', answer('PL001')],
    ['a place that is taken (23505 on facts_place)', answer('23505', 'facts_place')],
    ['a server that shuts down (57P01)', answer('57P01')],
  ] as const) {
    it(`${name}, four times in a row, is tried again until the facts are stored once`, async () => {
      await using ledger = await openPostgres();
      await openTenants(ledger.store, acme);
      const pool = ledger.pool();
      interceptOnce(pool, error, 4);
      const { store } = await ledger.on(pool);
      const list = drafts(3);
      const results = await Promise.all(list.map((one) => append(store, acme, one)));
      expect(results.map(({ kind }) => kind)).to.deep.equal(Array(3).fill('appended'));
      const acknowledged = list.map(({ id }) => ({ tenant: acme, id }));
      expect((await expectLedgerSound(ledger, { acknowledged })).facts).to.equal(4);
    });
  }

  it('a real deadlock over two heads: the store is the victim, and its facts go in', async () => {
    await using ledger = await openPostgres();
    await openTenants(ledger.store, acme, other);
    const session = await ledger.owner.connect();
    await session.query(`SET deadlock_timeout = '60s'`);
    const lock = (tenant: string) =>
      session.query('SELECT FROM ledger.heads WHERE tenant = $1 FOR UPDATE', [tenant]);
    await session.query('BEGIN');
    // Heads are locked in the order of their numbers: the store gets the first and waits for the second.
    const { rows } = await session.query<{ tenant: string }>(
      'SELECT tenant FROM ledger.heads ORDER BY tenant_no',
    );
    await lock(rows[1]?.tenant as string);
    const appends = [append(ledger.store, acme, draft()), append(ledger.store, other, draft())];
    await pause(300);
    const second = lock(rows[0]?.tenant as string);
    await second;
    await session.query('ROLLBACK');
    session.release();
    expect((await Promise.all(appends)).map(({ kind }) => kind)).to.deep.equal(['appended', 'appended']);
    expect((await expectLedgerSound(ledger)).facts).to.equal(4);
  });

  describe('with a server that would not notice a deadlock within the hour', () => {
    const openPatient = async () => {
      const ledger = await openPostgres();
      await openTenants(ledger.store, acme, other);
      const { database } = ledger.database.connection;
      await ledger.owner.query(`ALTER DATABASE "${database}" SET deadlock_timeout = '1h'`);
      return ledger;
    };

    it('nobody waits for a head with facts in hand: who holds it can put facts behind it', async () => {
      await using ledger = await openPatient();
      const { store } = await ledger.another();
      const session = await ledger.owner.connect();
      await session.query('BEGIN');
      await session.query('SELECT FROM ledger.heads WHERE tenant = $1 FOR UPDATE', [acme]);
      const rival = append(store, acme, draft());
      await pause(200);
      await session.query(`INSERT INTO ledger.facts
        (seq, batch_no, recorded_at, occurred_at, tenant_no, schema_version, id, hash, type, payload)
        SELECT seq + 1, batch_no, f.recorded_at, occurred_at, tenant_no, schema_version, gen_random_uuid(), f.hash, type, payload
        FROM ledger.facts f JOIN ledger.heads USING (tenant_no, seq) WHERE tenant = '${acme}'`);
      await session.query('ROLLBACK');
      session.release();
      expect(await rival).to.have.property('kind', 'appended');
      expect((await expectLedgerSound(ledger)).facts).to.equal(3);
    });
  });

  it('every process takes the places of several tenants in one order, so that none wait for each other in a circle', async () => {
    await using ledger = await openPostgres();
    await openTenants(ledger.store, acme, other);
    // The first goes alone; the others wait for it and make one batch.
    const order = [acme, other, acme, other, acme];
    await Promise.all(order.map((tenant) => append(ledger.store, tenant, ...drafts(3))));
    const { rows } = await ledger.owner.query<{ batch: number; tenants: readonly number[] }>(
      'SELECT batch_no AS batch, array_agg(tenant_no ORDER BY ctid) AS tenants FROM ledger.facts GROUP BY 1 ORDER BY 1',
    );
    expect(rows.at(-1)?.tenants).to.have.length(12);
    for (const { tenants } of rows) expect(tenants).to.deep.equal(tenants.toSorted((a, b) => a - b));
  });

  it('every connection killed while 16 callers append: each caller gets an answer, each fact is stored once', async function () {
    this.timeout(60_000);
    await using ledger = await openPostgres();
    await openTenants(ledger.store, acme);
    const store = (await ledger.on(ledger.pool('victim'))).store;
    const over = new AbortController();
    const killing = (async () => {
      while (!over.signal.aborted) {
        await pause(25 + Math.random() * 40);
        await ledger.owner.query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'victim' AND datname = current_database()`,
        );
      }
    })();
    const callers = Array.from({ length: 16 }, async () => {
      const mine = drafts(25);
      for (const one of mine) {
        const { kind } = await append(store, acme, one);
        // A commit whose answer was lost is found again by its ids.
        expect(kind).to.be.oneOf(['appended', 'repeated']);
      }
      return mine;
    });
    const acknowledged = (await Promise.all(callers)).flat().map(({ id }) => ({ tenant: acme, id }));
    over.abort();
    await killing;
    expect((await expectLedgerSound(ledger, { acknowledged })).facts).to.equal(401);
  });

  it('a request the server cannot take fails alone: its neighbours in the batch are stored', async () => {
    await using ledger = await openPostgres();
    await openTenants(ledger.store, acme);
    await ledger.owner.query(
      `ALTER TABLE ledger.facts ADD CONSTRAINT no_poison CHECK (type <> 'tests.Poison')`,
    );
    const list = drafts(9, (n) => (n === 4 ? { type: 'tests.Poison' } : {}));
    const results = await Promise.allSettled(list.map((one) => append(ledger.store, acme, one)));
    expect(results.map(({ status }) => status)).to.deep.equal(
      list.map((_, n) => (n === 4 ? 'rejected' : 'fulfilled')),
    );
    expect((await readAll(ledger.store)).map(({ type }) => type)).to.not.include('tests.Poison');
    expect((await expectLedgerSound(ledger)).facts).to.equal(9);
  });

  it('a server that stays away fails appends as unavailable, within the time given', async () => {
    await using ledger = await openPostgres();
    const pool = ledger.pool();
    const { store } = await ledger.on(pool, 600);
    await openTenants(ledger.store, acme);
    Object.assign(pool, { connect: () => Promise.reject(answer('ECONNREFUSED')) });
    const start = performance.now();
    const error = await append(store, acme, draft()).catch((failure: unknown) => failure);
    expect(error).to.have.property('code', 'unavailable');
    expect(performance.now() - start).to.be.within(200, 5_000);
    expect(await readAll(ledger.store)).to.have.length(1);
  });

  it('an append whose connection is lost under way, and no other to be had, is in doubt; repeated, it is stored once', async () => {
    await using ledger = await openPostgres();
    await openTenants(ledger.store, acme);
    const pool = ledger.pool();
    interceptOnce(pool, 'cut-after-commit');
    const { store } = await ledger.on(pool, 600);
    const connect = pool.connect.bind(pool) as () => Promise<Client>;
    let left = 1;
    const connectOnce = () => (left-- > 0 ? connect() : Promise.reject(answer('ECONNREFUSED')));
    Object.assign(pool, { connect: connectOnce });
    const one = draft();
    const error = await append(store, acme, one).catch((failure: unknown) => failure);
    expect(error).to.have.property('code', 'in-doubt');
    Object.assign(pool, { connect });
    expect((await append(store, acme, one)).kind).to.equal('repeated');
    expect(await readAll(ledger.store)).to.have.length(2);
  });

  it('a full disk is the fault of no request: none is tried alone, all fail as out-of-space', async () => {
    await using ledger = await openPostgres();
    await openTenants(ledger.store, acme);
    const pool = ledger.pool();
    interceptOnce(pool, 'refused');
    const { store } = await ledger.on(pool);
    const results = await Promise.allSettled(drafts(20).map((one) => append(store, acme, one)));
    for (const result of results) expect(result).to.have.nested.property('reason.code', 'out-of-space');
    expect(await readAll(ledger.store)).to.have.length(1);
  });

  it('more waiting than the queue may hold is overloaded, and nothing of it is stored', async () => {
    await using ledger = await openPostgres();
    await openTenants(ledger.store, acme, tenantId('quiet'));
    const store = await ledger.storeWith({ maxQueuedFacts: 10 });
    const results = await Promise.allSettled(Array.from({ length: 30 }, () => append(store, acme, draft())));
    const stored = results.filter(({ status }) => status === 'fulfilled').length;
    const codes = results.flatMap((result) =>
      result.status === 'rejected' ? [(result.reason as { code: string }).code] : [],
    );
    expect(new Set(codes)).to.deep.equal(new Set(['overloaded']));
    expect(stored).to.be.at.least(7);
    expect((await readAll(ledger.store)).length).to.equal(1 + stored);
  });

  it('a tenant that has filled its share of the queue leaves room for another', async () => {
    await using ledger = await openPostgres();
    const quiet = tenantId('quiet');
    await openTenants(ledger.store, acme, quiet);
    const store = await ledger.storeWith({ maxQueuedFacts: 20, maxBatchFacts: 4 });
    const noisy = Promise.allSettled(Array.from({ length: 60 }, () => append(store, acme, draft())));
    expect(store.queueLoad()).to.be.within(0.5, 0.95);
    expect(await append(store, quiet, draft())).to.have.property('kind', 'appended');
    const refused = (await noisy).filter(({ status }) => status === 'rejected').length;
    expect(refused).to.be.at.least(40);
    expect(store.queueLoad()).to.equal(0);
  });
});
