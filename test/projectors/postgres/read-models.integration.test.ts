import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect } from 'chai';
import type { AnyProjector } from '#projectors/batch.ts';
import { acrossDomains, projectors, projectorsByDomain } from '#projectors/index.ts';
import { ANALYST_ROLE } from '#projectors/postgres/isolation.ts';
import { ensureReadModels, readModelDdl } from '#projectors/postgres/read-models.ts';
import { postgresRowSink } from '#projectors/postgres/sink.ts';
import { projectionStatus } from '#projectors/postgres/status.ts';
import { BUILD_COLUMN } from '#projectors/postgres/view.ts';
import { runProjectors } from '#projectors/run.ts';
import type { Recorded } from '#schemas/event.ts';
import { StreamError } from '#streams/errors.ts';
import { connect } from '#streams/postgres/connect.ts';
import { oneDatabase } from '#streams/postgres/databases.ts';
import { ACME, chain, chainsOf, feedOf, type ProjectionDatabase, projectionDatabase } from '../chains.ts';
import { both, decode, mixture, poison, TABLES, tally } from '../tally.ts';

const COLUMNS = `
  SELECT n.nspname AS schema, c.relname AS relation, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, a.attnum AS place,
         a.attcollation = 0 OR l.collname = 'C' AS collated, col_description(c.oid, a.attnum) AS comment, obj_description(c.oid) AS table_comment
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_collation l ON l.oid = a.attcollation
  WHERE n.nspname IN ('projections', 'views') AND c.relkind IN ('r', 'v') ORDER BY 1, 2, a.attnum`;

describe('the tables and views of the read models', () => {
  let db: ProjectionDatabase;
  beforeEach(async () => {
    db = await projectionDatabase(projectors);
  });
  afterEach(() => db[Symbol.asyncDispose]());

  it('are named after their projectors, which stand in the list under their domain', async () => {
    for (const [domain, models] of Object.entries(projectorsByDomain)) {
      for (const { name } of models as readonly AnyProjector[])
        expect(name === domain || name.startsWith(`${domain}_`), name).to.equal(true);
    }
    for (const [name, model] of Object.entries(acrossDomains)) expect(model.name).to.equal(name);
    const { rows } = await db.pool.query(
      `SELECT projection, version FROM projections.read_models ORDER BY 1`,
    );
    expect(rows).to.deep.equal(
      projectors
        .map(({ name, version }) => ({ projection: name, version }))
        .sort((one, other) => (one.projection < other.projection ? -1 : 1)),
    );
  });

  it('have a comment on each of them and on every column, and the view says what the table says', async () => {
    const { rows } = await db.owner.query(COLUMNS);
    const models = rows.filter(
      ({ schema, relation }) =>
        schema === 'views' || projectors.some(({ name, version }) => relation === `${name}_v${version}`),
    );
    expect(models).to.have.length.greaterThan(60);
    for (const { schema, relation, name, comment, table_comment } of models) {
      expect(comment, `${schema}.${relation}.${name}`).to.match(/^[A-Za-z].{3,}\.$/);
      expect(table_comment, `${schema}.${relation}`).to.match(/^[A-Z].{10,}\.$/);
    }
    for (const { name, version } of projectors) {
      const told = (schema: string, relation: string): unknown =>
        models
          .filter(
            (column) =>
              column.schema === schema && column.relation === relation && column.name !== BUILD_COLUMN,
          )
          .map((column) => [column.name, column.type, column.comment, column.table_comment]);
      expect(told('views', name)).to.deep.equal(told('projections', `${name}_v${version}`));
    }
  });

  it('begin with the tenant and sort every text in the order of its bytes', async () => {
    const { rows } = await db.owner.query(COLUMNS);
    for (const { schema, relation, name, place, collated } of rows) {
      if (schema === 'projections' && collated === false)
        expect.fail(`${relation}.${name} is not COLLATE "C"`);
      if (
        place === 1 &&
        projectors.some((projector) => relation === `${projector.name}_v${projector.version}`)
      )
        expect(name).to.equal('tenant');
    }
  });

  it('have the key of their projector as primary key', async () => {
    for (const { name, version, key } of projectors) {
      const { rows } = await db.owner.query<{ columns: readonly string[] }>(
        `SELECT array_agg(a.attname::text ORDER BY k.place) AS columns FROM pg_index i, unnest(i.indkey) WITH ORDINALITY k (attnum, place)
         JOIN pg_attribute a ON a.attnum = k.attnum WHERE i.indrelid = $1::regclass AND i.indisprimary AND a.attrelid = i.indrelid`,
        [`projections.${name}_v${version}`],
      );
      expect(rows[0]?.columns).to.deep.equal(['tenant', ...key]);
    }
  });

  it('are made once, also when several programs start at the same time', async () => {
    const fresh = await projectionDatabase([]);
    try {
      await Promise.all([1, 2, 3].map(() => ensureReadModels(fresh.owner, projectors)));
      await ensureReadModels(fresh.owner, projectors);
      expect((await fresh.pool.query('SELECT FROM projections.read_models')).rowCount).to.equal(
        projectors.length,
      );
    } finally {
      await fresh[Symbol.asyncDispose]();
    }
  });

  it('refuse a projector that has changed without a new version', async () => {
    const changed = (columns: object): Promise<unknown> => {
      const [receipts] = projectors.filter(({ name }) => name === 'receipts') as [AnyProjector];
      return ensureReadModels(db.owner, [
        { ...receipts, columns: { ...receipts.columns, ...columns } },
      ]).catch((error: unknown) => error);
    };
    expect(await changed({ seq: 'text' }))
      .to.be.instanceOf(StreamError)
      .with.property('message')
      .that.matches(/seq .* is bigint, the projector writes text: .* new version/);
    expect(await changed({ cost: 'bigint' }))
      .to.be.instanceOf(StreamError)
      .with.property('message')
      .that.matches(/cost .* is missing/);
    const [tenants] = projectors.filter(({ name }) => name === 'tenants') as [AnyProjector];
    const { status: _, ...fewer } = tenants.columns;
    const outcome = await ensureReadModels(db.owner, [{ ...tenants, columns: fewer }]).catch(
      (error: unknown) => error,
    );
    expect(outcome)
      .to.be.instanceOf(StreamError)
      .with.property('message')
      .that.matches(/status .* is not known/);
  });

  it('leave a view on the version it shows when a newer one gets its table', async () => {
    await ensureReadModels(db.owner, [tally], TABLES);
    await db.owner.query(`INSERT INTO projections.tally_v1 VALUES ('acme', 'ada', 1, '{}', NULL)`);
    await ensureReadModels(db.owner, [{ ...tally, version: 2 }], TABLES);
    await db.owner.query(`INSERT INTO projections.tally_v2 VALUES ('acme', 'bob', 2, '{}', NULL)`);
    const names = async (): Promise<unknown> =>
      (await db.pool.query('SELECT name FROM views.tally')).rows.map(({ name }) => name);
    expect(await names()).to.deep.equal(['ada']);
    await db.owner.query(`UPDATE projections.read_models SET shown = false WHERE projection = 'tally';
      UPDATE projections.read_models SET shown = true WHERE projection = 'tally' AND version = 2`);
    expect(await names()).to.deep.equal(['bob']);
  });

  it('keep every column that queries use: a version that lacks one, or changes its type, is refused', async () => {
    await ensureReadModels(db.owner, [tally], TABLES);
    const folder = mkdtempSync(join(tmpdir(), 'read-models-'));
    const ensure = async (columns: AnyProjector['columns'], sql: string): Promise<unknown> => {
      writeFileSync(
        join(folder, 'tally.sql'),
        `CREATE TABLE {table} (tenant text COLLATE "C", ${sql});\n-- indexes\n`,
      );
      return await ensureReadModels(
        db.owner,
        [{ ...tally, version: 2, columns }],
        pathToFileURL(`${folder}/`),
      ).catch(({ message }: Error) => message);
    };
    const { note: _, ...fewer } = tally.columns;
    expect(await ensure(fewer, 'name text, total bigint, seqs text[]')).to.match(
      /views\.tally shows a column note, and version 2 has none/,
    );
    expect(
      await ensure({ ...tally.columns, total: 'text' }, 'name text, total text, seqs text[], note text'),
    ).to.match(/views\.tally shows a column total, and version 2 makes it text, it was bigint/);
    expect(
      await ensure(
        { ...tally.columns, more: 'bigint' },
        'name text COLLATE "C", total bigint, seqs text[], note text COLLATE "C", more bigint',
      ),
    ).to.equal(undefined);
    expect(
      Object.keys((await db.owner.query('SELECT * FROM views.tally')).fields.map(({ name }) => name)),
    ).to.have.length(6);
    rmSync(folder, { recursive: true });
  });

  it('say what is missing from a DDL file', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'read-models-'));
    writeFileSync(join(folder, 'tally.sql'), 'CREATE TABLE {table} (tenant text);');
    const outcome = await readModelDdl(tally, pathToFileURL(`${folder}/`)).catch((error: unknown) => error);
    rmSync(folder, { recursive: true });
    expect(outcome)
      .to.be.instanceOf(Error)
      .with.property('message')
      .that.matches(/^tally\.sql: put a line "-- indexes"/);
  });

  it('are read by analysts through the views only, and changed by the projecting role only', async () => {
    await db.owner.query(`GRANT ${ANALYST_ROLE} TO CURRENT_USER`);
    const analyst = connect({ url: db.database.url, max: 1, role: ANALYST_ROLE });
    const refused = (sql: string): Promise<unknown> =>
      analyst.query(sql).then(
        () => 'allowed',
        ({ code }: { code: string }) => code,
      );
    try {
      for (const view of ['receipts', 'receipts_daily', 'tenants', 'projection_status'])
        await analyst.query(`SELECT FROM views.${view}`);
      for (const sql of [
        'SELECT FROM projections.receipts_v1',
        'SELECT FROM ledger.facts',
        'SELECT FROM projections.checkpoints',
        'DELETE FROM views.receipts',
        `UPDATE views.tenants SET status = 'active'`,
      ]) {
        expect(await refused(sql), sql).to.equal('42501');
      }
    } finally {
      await analyst.end();
    }
    const runtime = await db.pool.query('DROP TABLE projections.receipts_v1 CASCADE').then(
      () => 'allowed',
      ({ code }: { code: string }) => code,
    );
    expect(runtime).to.equal('42501');
  });
});

describe('the status of the read models', () => {
  it('says how far each has come, and what it halted at', async () => {
    await using db = await projectionDatabase(both, TABLES);
    const facts = chain(ACME, [...mixture(3), poison('bob')]);
    const before = facts.slice(0, 2);
    const setHead = (head: Recorded, seq: number = head.seq): Promise<unknown> =>
      db.owner.query(
        `INSERT INTO ledger.heads (tenant, seq, hash, recorded_at) VALUES ('acme', $1, $2, $3) ON CONFLICT (tenant) DO UPDATE SET seq = $1, recorded_at = $3`,
        [seq, Buffer.from(head.hash, 'hex'), new Date(head.recordedAt).toISOString()],
      );
    const run = (some: readonly Recorded[]): Promise<void> =>
      runProjectors({
        feed: feedOf(chainsOf(some)),
        sink: postgresRowSink({ pool: db.pool }),
        projectors: both,
        decode,
        signal: new AbortController().signal,
        untilCaughtUp: true,
      });
    const states = async (): Promise<unknown> =>
      (await projectionStatus(oneDatabase(db.pool), ACME)).map(
        ({ projection, state, lagFacts, lagSeconds, fault }) => [
          projection,
          state,
          lagFacts,
          lagSeconds,
          fault?.seq,
        ],
      );

    await setHead(before[1] as Recorded);
    expect(await states(), 'nothing read').to.deep.equal([
      ['log', 'behind', 2, undefined, undefined],
      ['tally', 'behind', 2, undefined, undefined],
    ]);
    await run(before);
    expect(await states(), 'all read').to.deep.equal([
      ['log', 'current', 0, 0, undefined],
      ['tally', 'current', 0, 0, undefined],
    ]);
    await setHead(facts[3] as Recorded);
    expect(await states(), 'two more recorded').to.deep.equal([
      ['log', 'behind', 2, 2, undefined],
      ['tally', 'behind', 2, 2, undefined],
    ]);
    await run(facts);
    expect(await states(), 'one halted').to.deep.equal([
      ['log', 'current', 0, 0, undefined],
      ['tally', 'halted', 1, 1, 4],
    ]);
    await setHead(facts[0] as Recorded);
    expect(await states(), 'ledger restored').to.deep.equal([
      ['log', 'ahead of ledger', -3, 0, undefined],
      ['tally', 'halted', -2, 0, 4],
    ]);
    expect(await projectionStatus(oneDatabase(db.pool), 'nobody' as never)).to.deep.equal([]);
  });
});
