// What /readyz says of a database, each time with one thing wrong about it.
import { expect } from 'chai';
import { readiness } from '#deploy/processes/running/readiness.ts';
import { projectors } from '#projectors/index.ts';
import { connect, type Pool, RUNTIME_ROLE } from '#streams/postgres/connect.ts';
import { projectionDatabase } from '#test/projectors/chains.ts';

type Database = Awaited<ReturnType<typeof projectionDatabase>>;

const idOf = async (pool: Pool): Promise<string> =>
  (await pool.query<{ id: string }>('SELECT id FROM ledger.identity')).rows[0]?.id ?? '';

describe('deploy/processes: readiness', function () {
  this.timeout(60_000);
  let db: Database;
  beforeEach(async () => {
    db = await projectionDatabase(projectors);
  });
  afterEach(() => db[Symbol.asyncDispose]());

  const ask = async ({
    pool = db.pool,
    ledgerId,
    lost = 0,
  }: {
    pool?: Pool;
    ledgerId?: string;
    lost?: number;
  } = {}) =>
    await readiness({
      pool,
      ledgerId: ledgerId ?? (await idOf(db.owner).catch(() => '')),
      projectors,
      withinMs: 5_000,
      lostHeads: () => lost,
    })();

  it('has nothing missing where everything is there', async () => {
    expect(await ask()).to.deep.equal({ ready: true, missing: [] });
  });

  it('names another ledger than the one it started on', async () => {
    const { ready, missing } = await ask({ ledgerId: '00000000-0000-4000-8000-000000000000' });
    expect(ready).to.equal(false);
    expect(missing).to.have.lengthOf(1);
    expect(missing[0]).to.match(/^the ledger: .* another one/);
  });

  it('names each read model that is not there', async () => {
    await db.owner.query('TRUNCATE projections.read_models CASCADE');
    const { missing } = await ask();
    expect(missing.map((part) => part.split(':')[0])).to.have.members(
      projectors.map(({ name, version }) => `the read model ${name} v${version}`),
    );
  });

  it('names a schema that is not there, and rights that are missing', async () => {
    await db.owner.query(`REVOKE SELECT ON ledger.identity FROM ${RUNTIME_ROLE}`);
    expect((await ask()).missing).to.deep.equal(['rights in the database: run `prov-ledger doctor`']);
    await db.owner.query('ALTER SCHEMA ledger RENAME TO elsewhere');
    expect((await ask()).missing).to.deep.equal(['the schema of the database: run `prov-ledger migrate`']);
  });

  it('names a database that takes no writes', async () => {
    const pool = connect({ url: db.database.url, max: 1, role: RUNTIME_ROLE });
    try {
      await pool.query('SET default_transaction_read_only = on');
      expect((await ask({ pool })).missing[0]).to.match(/^the database: it takes no writes/);
    } finally {
      await pool.end();
    }
  });

  it('names a database that does not answer, without saying where it is or who asks', async () => {
    const url = new URL(db.database.url);
    url.port = '1';
    const pool = connect({ url: url.href, max: 1, role: RUNTIME_ROLE });
    try {
      expect((await ask({ pool, lost: 2 })).missing).to.deep.equal([
        '2 heads that the heads file has: run `prov-ledger heads check` on it',
        'the database: it does not answer',
      ]);
    } finally {
      await pool.end();
    }
  });
});
