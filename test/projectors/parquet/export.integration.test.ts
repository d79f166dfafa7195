// What is in the files is what the views say, value by value, as DuckDB reads it again.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { expect } from 'chai';
import type { AnyProjector } from '#projectors/batch.ts';
import { exportParquet } from '#projectors/parquet/export.ts';
import { CSV_OPTIONS, csvSelect, type ParquetColumn, parquetFromCsv } from '#projectors/parquet/parquet.ts';
import { takeSnapshot } from '#projectors/postgres/snapshots/snapshot.ts';
import { RebuildError } from '#projectors/rebuild/errors.ts';
import { withClient } from '#streams/postgres/connect.ts';
import { copyText } from '#streams/postgres/copy.ts';
import { oneDatabase } from '#streams/postgres/databases.ts';
import { ACME, GLOBEX } from '../chains.ts';
import { type History, history } from '../rebuild/history.ts';
import { both, counted, decode, log, mixture, TABLES, tally } from '../tally.ts';

const sound = (length: number) => mixture(length).map((said) => (said.payload ? { type: said.type } : said));

const asked = async (sql: string): Promise<readonly unknown[]> => {
  const database = await DuckDBInstance.create(':memory:');
  const connection = await database.connect();
  try {
    return (await connection.runAndReadAll(sql)).getRowObjectsJson();
  } finally {
    connection.closeSync();
    database.closeSync();
  }
};

describe('Parquet files of read models', function () {
  this.timeout(60_000);
  let past: History;
  let folder: string;
  beforeEach(async () => {
    past = await history();
    folder = mkdtempSync(join(tmpdir(), 'prov-ledger-parquet-'));
  });
  afterEach(async () => {
    rmSync(folder, { recursive: true });
    await past[Symbol.asyncDispose]();
  });

  const failureOf = (work: Promise<unknown>): Promise<Error> =>
    work.then(
      () => new Error('it was to fail'),
      (error: Error) => error,
    );

  it('hold the rows in use at one place, and say which', async () => {
    await past.say(ACME, sound(40));
    await past.say(GLOBEX, sound(15));
    await past.follow();
    const { position, files } = await exportParquet({ pool: past.pool, projectors: both, folder });
    expect(position.map(({ tenant, as_of_seq }) => [tenant, as_of_seq])).to.deep.equal([
      ['acme', 40],
      ['globex', 15],
    ]);
    const { rows } = await past.pool.query(
      `SELECT tenant, name, total::text, seqs, note FROM views.tally ORDER BY tenant, name`,
    );
    expect(await asked(`SELECT * FROM '${folder}/tally.parquet'`)).to.deep.equal(rows);
    expect(files.map(({ projection, rows: count }) => [projection, count])).to.deep.equal([
      ['tally', rows.length],
      ['log', (await past.shown('log')).length],
    ]);
    expect(JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8'))).to.deep.equal({
      position,
      files,
    });
    expect(readdirSync(folder).sort()).to.deep.equal(['log.parquet', 'manifest.json', 'tally.parquet']);
    const again = await failureOf(exportParquet({ pool: past.pool, projectors: both, folder }));
    expect(again).to.be.instanceOf(RebuildError).with.property('code', 'exists');
  });

  it('are refused while read models have not come equally far, and made of a snapshot then', async () => {
    await past.say(ACME, sound(20));
    await past.follow();
    await past.say(ACME, [counted(['ada'])]);
    await past.follow([tally]);
    const exporting = {
      pool: past.pool,
      projectors: both as readonly AnyProjector[],
      folder,
      patienceMs: 300,
    };
    const error = await failureOf(exportParquet(exporting));
    expect(error).to.be.instanceOf(RebuildError).with.property('code', 'never-level');
    expect(error.message).to.contain('--snapshot');
    expect(
      (await exportParquet({ ...exporting, folder: join(folder, 'one'), projectors: [log] })).files,
    ).to.have.length(1);
    await takeSnapshot({
      ...exporting,
      databases: oneDatabase(exporting.pool),
      store: past.store,
      folder: TABLES,
      decode,
      skips: async () => new Set(),
      name: 'level',
      asked: { kind: 'now' },
    });
    const { position } = await exportParquet({
      ...exporting,
      folder: join(folder, 'two'),
      snapshot: 'level',
      tenant: ACME,
    });
    expect(position.map(({ as_of_seq }) => as_of_seq)).to.deep.equal([21]);
    const [row] = await asked(`SELECT count(*)::INTEGER AS n FROM '${folder}/two/log.parquet'`);
    expect(row).to.deep.equal({ n: 19 });
  });

  it('keep every type, and tell nothing from empty', async () => {
    const columns: readonly ParquetColumn[] = [
      { name: 'a', type: 'text' },
      { name: 'b', type: 'bigint' },
      { name: 'c', type: 'integer' },
      { name: 'd', type: 'boolean' },
      { name: 'e', type: 'timestamptz' },
      { name: 'f', type: 'date' },
      { name: 'g', type: 'jsonb' },
      { name: 'h', type: 'text[]' },
      { name: 'i', type: 'bytea' },
    ];
    const values = String.raw`SELECT * FROM (VALUES
      ('', 9007199254740993, -1, true, timestamptz '2026-11-21 09:00:00.123+00', date '0001-01-01', '{"a":"b\nc, \"d\""}'::jsonb, ARRAY['x', '', 'y,"z"'], '\x00ff'::bytea),
      ('\N', NULL, NULL, false, NULL, NULL, NULL, NULL, NULL),
      (E'é,"\n''', 0, 0, NULL, timestamptz '0001-01-01 00:00:00+00', date '9999-12-31', '[]', '{}', '')) AS v (a, b, c, d, e, f, g, h, i)`;
    const csv = join(folder, 'types.csv');
    const select = columns.map(({ name, type }) => csvSelect(name, type)).join(', ');
    await withClient(past.pool, async (client) => {
      let text = '';
      for await (const chunk of copyText(client, `SELECT ${select} FROM (${values}) v`, CSV_OPTIONS))
        text += chunk.toString();
      writeFileSync(csv, text);
    });
    expect(await parquetFromCsv({ csv, file: join(folder, "it's.parquet"), columns })).to.equal(3);
    const rows = await asked(
      `SELECT a, b, c, d, epoch_ms(e) AS e, f, g::VARCHAR AS g, h, hex(i) AS i FROM '${folder}/it''s.parquet'`,
    );
    const nothing = { b: null, c: null, e: null, f: null, g: null, h: null, i: null };
    expect(rows).to.deep.equal([
      {
        a: '',
        b: '9007199254740993',
        c: -1,
        d: true,
        e: String(Date.UTC(2026, 10, 21, 9, 0, 0, 123)),
        f: '0001-01-01',
        g: String.raw`{"a": "b\nc, \"d\""}`,
        h: ['x', '', 'y,"z"'],
        i: '00FF',
      },
      { a: String.raw`\N`, d: false, ...nothing },
      { a: `é,"\n'`, b: '0', c: 0, d: null, e: '-62135596800000', f: '9999-12-31', g: '[]', h: [], i: '' },
    ]);
  });
});
