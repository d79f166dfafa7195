// A fixture loaded into a real PostgreSQL and replayed from there comes to what the file comes to; what was tampered with in
// the store is named.
import { expect } from 'chai';
import { lineChunks } from '#gateway/ingest/chunks.ts';
import { PROJECTION_MIGRATIONS } from '#projectors/postgres/read-models.ts';
import type { Expectation } from '#replay-harness/fixtures/format.ts';
import { ledgerFeed } from '#replay-harness/ledger-feed.ts';
import { LoadFault, loadFixture } from '#replay-harness/load.ts';
import { connect, type Pool, RUNTIME_ROLE } from '#streams/postgres/connect.ts';
import { LEDGER_MIGRATIONS, migrate } from '#streams/postgres/migrate.ts';
import { postgresStreamStore } from '#streams/postgres/store.ts';
import { type FreshDatabase, freshDatabase } from '#test/support/postgres.ts';
import { testSigner } from '#test/support/test-signer.ts';
import { replayBench } from './replayed.ts';

describe('a replay of a stored ledger', function () {
  this.timeout(120_000);
  const bench = replayBench();
  const { signer } = testSigner();
  let database: FreshDatabase;
  let owner: Pool;
  let pool: Pool;
  let store: Awaited<ReturnType<typeof postgresStreamStore>>;
  let text: string;
  let wanted: Expectation | undefined;

  const load = (fixture: string) =>
    loadFixture({
      pool,
      store,
      signer,
      pieces: lineChunks(
        (async function* () {
          yield Buffer.from(fixture);
        })(),
        { chunkBytes: 50_000 },
      ),
    });
  const feed = (options: { readonly chunkFacts?: number; readonly events?: number } = {}) =>
    ledgerFeed({
      pool,
      url: database.url,
      ledgerId: store.ledgerId,
      keys: [signer.publicJwk],
      chunkFacts: 100,
      ...options,
    });

  before(async () => {
    database = await freshDatabase();
    owner = connect({ url: database.url, max: 2 });
    await migrate(owner, [LEDGER_MIGRATIONS, PROJECTION_MIGRATIONS]);
    pool = connect({ url: database.url, role: RUNTIME_ROLE });
    store = await postgresStreamStore({ pool, signer });
    text = bench.generate({ events: 1_500 });
    wanted = await load(text);
  });
  after(async () => {
    await store[Symbol.asyncDispose]();
    await pool.end();
    await owner.end();
    await database[Symbol.asyncDispose]();
  });

  it('comes to what the file comes to, with any chunks and threads', async () => {
    const { outcome } = await bench.replay(text);
    expect(wanted?.chains).to.deep.equal(outcome.chains);
    for (const [chunkFacts, workers] of [
      [7, 0],
      [100, 2],
      [5_000, 1],
    ] as const) {
      const stored = await bench.replay(await feed({ chunkFacts }), { workers });
      expect(stored.fault).to.equal(undefined);
      expect(stored.outcome.chains).to.deep.equal(outcome.chains);
      expect(stored.outcome.models).to.deep.equal(outcome.models);
    }
  });

  it('goes on from where it was stopped, at one position of the ledger', async () => {
    const stop = new AbortController();
    const first = await bench.replay(await feed(), { signal: stop.signal, onProgress: () => stop.abort() });
    expect(first.verdict).to.equal('interrupted');
    const second = await bench.replay(await feed(), { from: first.state });
    expect(second.outcome.chains).to.deep.equal(wanted?.chains);
    expect(second.outcome.models).to.deep.equal(wanted?.models);
  });

  it('takes no more than it is told, whole commit batches always', async () => {
    const { outcome, fault } = await bench.replay(await feed({ events: 10 }));
    expect(fault).to.equal(undefined);
    expect(outcome.facts).to.be.within(10, wanted?.facts ?? 0);
  });

  it('a fixture is loaded into an empty ledger only', async () => {
    const error = await load(text).catch((caught: unknown) => caught);
    expect(error).to.be.instanceOf(LoadFault);
  });

  it('a signature that does not hold is found, with a key that is not trusted as well', async () => {
    const other = testSigner().signer;
    const untrusted = await ledgerFeed({
      pool,
      url: database.url,
      ledgerId: store.ledgerId,
      keys: [other.publicJwk],
    });
    expect((await bench.replay(untrusted)).fault).to.include({ code: 'unsigned', seq: 1 });
  });

  it('a fact changed in the store is found and named', async () => {
    await owner.query('ALTER TABLE ledger.facts DISABLE TRIGGER immutable');
    await owner.query(
      `UPDATE ledger.facts SET payload = replace(convert_from(payload, 'UTF8'), 'tenant-001', 'tenant-009')::text::bytea
       WHERE tenant_no = (SELECT tenant_no FROM ledger.heads WHERE tenant = 'tenant-001') AND seq = 1`,
    );
    const { verdict, fault } = await bench.replay(await feed());
    expect(verdict).to.equal('unsound');
    expect(fault).to.include({ code: 'hash-mismatch', tenant: 'tenant-001', seq: 1 });
  });
});
