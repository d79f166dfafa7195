// What PostgreSQL holds of the read models is held against the file that the ledger was loaded from.

import { join } from 'node:path';
import { expect } from 'chai';
import { projectors } from '#projectors/index.ts';
import { ensureReadModels, PROJECTION_MIGRATIONS } from '#projectors/postgres/read-models.ts';
import { postgresRowSink } from '#projectors/postgres/sink.ts';
import { runProjectors } from '#projectors/run.ts';
import { loadFixture } from '#replay-harness/load.ts';
import { prove } from '#replay-harness/prove/prove.ts';
import type { Way } from '#replay-harness/prove/way.ts';
import { replayWay, tableModels } from '#replay-harness/prove/ways.ts';
import { connect, type Pool, RUNTIME_ROLE } from '#streams/postgres/connect.ts';
import { postgresStreamFeed } from '#streams/postgres/feed.ts';
import { LEDGER_MIGRATIONS, migrate } from '#streams/postgres/migrate.ts';
import { postgresStreamStore } from '#streams/postgres/store.ts';
import { type FreshDatabase, freshDatabase } from '#test/support/postgres.ts';
import { testSigner } from '#test/support/test-signer.ts';
import { replayBench, textFeed, textPieces } from '../replayed.ts';

describe('replay-harness/prove: tables', function () {
  this.timeout(120_000);
  const bench = replayBench();
  let database: FreshDatabase;
  let owner: Pool;
  let pool: Pool;
  let text: string;
  before(async () => {
    database = await freshDatabase();
    owner = connect({ url: database.url, max: 2 });
    await migrate(owner, [LEDGER_MIGRATIONS, PROJECTION_MIGRATIONS]);
    await ensureReadModels(owner, projectors);
    pool = connect({ url: database.url, role: RUNTIME_ROLE });
    const { signer } = testSigner();
    await using store = await postgresStreamStore({ pool, signer });
    text = bench.generate({ events: 700 });
    await loadFixture({ pool, store, signer, pieces: textPieces(text) });
    await using feed = postgresStreamFeed({ pool, pollOnly: true });
    const { signal } = new AbortController();
    await runProjectors({ feed, sink: postgresRowSink({ pool }), projectors, signal, untilCaughtUp: true });
  });
  after(async () => {
    await pool.end();
    await owner.end();
    await database[Symbol.asyncDispose]();
  });

  const proveTables = () => {
    const file = replayWay({
      name: 'file',
      feed: async (events) => textFeed(text, { events }),
      projectors,
      workers: 0,
      batchSize: 1_000,
      folder: bench.folder,
    });
    const tables: Way = {
      name: 'tables',
      takesEvents: false,
      walk: ({ rows }) => tableModels({ pool, projectors, folder: bench.folder, rows }),
    };
    const ways = [file, tables];
    return prove({ ways, projectors, pieces: () => textPieces(text), folder: join(bench.folder, 'proof') });
  };

  it('live rows are those of the file', async () => {
    const { same, ways } = await proveTables();
    expect(ways[1]?.differences).to.deep.equal([]);
    expect(same).to.equal(true);
  });

  it('a row that was changed in the table is named, with the last fact that made it', async () => {
    const { rows } = await owner.query<{ receipt_id: string; seq: number }>(
      `UPDATE projections.receipts_v1 SET actor = 'eve' WHERE tenant = 'tenant-001' AND seq =
         (SELECT max(seq) FROM projections.receipts_v1 WHERE tenant = 'tenant-001') RETURNING receipt_id, seq`,
    );
    const { ways } = await proveTables();
    expect(ways[1]?.verdict).to.equal('differs');
    const row = ways[1]?.row;
    expect(row).to.deep.include({ projection: 'receipts', tenant: 'tenant-001', key: [rows[0]?.receipt_id] });
    expect(row?.fact?.seq).to.equal(rows[0]?.seq);
    expect(row?.other).to.include('"eve"');
    expect(row?.first).to.not.include('"eve"');
  });
});
