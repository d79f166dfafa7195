// The tables and views of the read models. A read model's DDL is `projectors/<name>.sql`: the table, then, after a
// line `-- indexes`, what a rebuild creates only when the rows are in.
import { readFile } from 'node:fs/promises';
import type { AnyProjector } from '#projectors/batch.ts';
import { StreamError } from '#streams/errors.ts';
import { type Client, type Pool, RUNTIME_ROLE, streamError, transaction } from '#streams/postgres/connect.ts';
import type { MigrationSet } from '#streams/postgres/migrate.ts';
import { columnsOf } from './columns.ts';
import { ANALYST_ROLE, createGate, gateOf, VIEWS_ROLE } from './isolation.ts';
import { tableOf, viewOf } from './statements.ts';

/** Applied after the ledger's own set, whose role it grants rights to. */
export const PROJECTION_MIGRATIONS: MigrationSet = {
  name: 'projections',
  directory: new URL('./migrations/', import.meta.url),
};

const DDL_FOLDER = new URL('../', import.meta.url);
const INDEXES = /^-- indexes\b.*$/m;
// An arbitrary constant: keeps two programs from making the same table at once.
const LOCK_KEY = 7_203_115;

export interface ReadModelDdl {
  readonly table: string;
  readonly indexes: string;
}

/** The DDL of a read model's table, in two parts, with the table's name put in. */
export const readModelDdl = async (
  projector: AnyProjector,
  folder: URL = DDL_FOLDER,
): Promise<ReadModelDdl> => {
  const file = `${projector.name}.sql`;
  const sql = (await readFile(new URL(file, folder), 'utf8')).replaceAll('{table}', tableOf(projector));
  const [table, indexes] = sql.split(INDEXES);
  if (table === undefined || indexes === undefined) {
    throw new Error(
      `${file}: put a line "-- indexes" between the table with its comments and its primary key and indexes`,
    );
  }
  return { table, indexes };
};

/**
 * Makes the tables and views that are missing and leaves the others alone; run it as the schema's owner. `folder`
 * holds the `.sql` files. Throws `StreamError`: `schema-mismatch` when a table is not as its projector writes it.
 */
export const ensureReadModels = async (
  pool: Pool,
  projectors: readonly AnyProjector[],
  folder: URL = DDL_FOLDER,
): Promise<void> => {
  const ddl = await Promise.all(
    projectors.map(async (projector) => ({ projector, ddl: await readModelDdl(projector, folder) })),
  );
  try {
    await transaction(pool, async (client) => {
      await client.query('SELECT pg_advisory_xact_lock($1)', [LOCK_KEY]);
      for (const model of ddl) {
        if (!(await exists(client, tableOf(model.projector))))
          await createTable(client, model.projector, model.ddl);
        await checkColumns(client, model.projector);
        if (!(await exists(client, gateOf(model.projector)))) await createGate(client, model.projector);
        // A view that stands on another version stays there: moving it is the switch at the end of a rebuild.
        if (!(await exists(client, viewOf(model.projector)))) await createView(client, model.projector);
      }
    });
  } catch (error) {
    throw streamError(error);
  }
};

const exists = async (client: Client, relation: string): Promise<boolean> =>
  (await client.query<{ found: boolean }>('SELECT to_regclass($1) IS NOT NULL AS found', [relation])).rows[0]
    ?.found === true;

const createTable = async (client: Client, projector: AnyProjector, ddl: ReadModelDdl): Promise<void> => {
  await client.query(ddl.table);
  await client.query(ddl.indexes);
  await client.query(`GRANT SELECT, INSERT, UPDATE, DELETE ON ${tableOf(projector)} TO ${RUNTIME_ROLE}`);
  await client.query(
    'INSERT INTO projections.read_models (projection, version) VALUES ($1, $2) ON CONFLICT DO NOTHING',
    [projector.name, projector.version],
  );
};

interface TableColumn {
  readonly name: string;
  readonly type: string;
  readonly comment: string | null;
}

const describe = async (client: Client, table: string): Promise<readonly TableColumn[]> =>
  (
    await client.query<TableColumn>(
      `SELECT a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS type, col_description(a.attrelid, a.attnum) AS comment
       FROM pg_attribute a WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`,
      [table],
    )
  ).rows;

const checkColumns = async (client: Client, projector: AnyProjector): Promise<void> => {
  const table = tableOf(projector);
  const found = new Map((await describe(client, table)).map(({ name, type }) => [name, type]));
  const wanted = [
    ['tenant', 'text'] as const,
    ...columnsOf(projector).map(({ name, codec }) => [name, codec.sqlType] as const),
  ];
  for (const [name, type] of wanted) {
    const actual = found.get(name);
    found.delete(name);
    if (actual === type) continue;
    const state = actual === undefined ? 'is missing' : `is ${actual}`;
    throw new StreamError(
      'schema-mismatch',
      `column ${name} of ${table} ${state}, the projector writes ${type}: give a changed read model a new version`,
    );
  }
  const [extra] = found.keys();
  if (extra !== undefined) {
    throw new StreamError(
      'schema-mismatch',
      `column ${extra} of ${table} is not known to the projector: give a changed read model a new version`,
    );
  }
};

const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;

const createView = async (client: Client, projector: AnyProjector): Promise<void> => {
  const table = tableOf(projector);
  const view = viewOf(projector);
  const columns = await describe(client, table);
  const { rows } = await client.query<{ comment: string | null }>(
    'SELECT obj_description(to_regclass($1)) AS comment',
    [table],
  );
  await client.query(
    `CREATE VIEW ${view} AS SELECT ${columns.map(({ name }) => name).join(', ')} FROM ${gateOf(projector)}`,
  );
  await client.query(`COMMENT ON VIEW ${view} IS ${literal(rows[0]?.comment ?? '')}`);
  for (const { name, comment } of columns)
    await client.query(`COMMENT ON COLUMN ${view}.${name} IS ${literal(comment ?? '')}`);
  await client.query(`GRANT SELECT ON ${view} TO ${RUNTIME_ROLE}, ${ANALYST_ROLE}`);
  await client.query(`ALTER VIEW ${view} OWNER TO ${VIEWS_ROLE}`);
};
