// The tables and views of the read models. A read model's DDL is `projectors/<name>.sql`: the table, then, after a
// line `-- indexes`, what a rebuild creates only when the rows are in.
import { readFile } from 'node:fs/promises';
import type { AnyProjector } from '#projectors/batch.ts';
import { StreamError } from '#streams/errors.ts';
import { type Client, type Pool, RUNTIME_ROLE, streamError, transaction } from '#streams/postgres/connect.ts';
import type { MigrationSet } from '#streams/postgres/migrate.ts';
import { columnsOf } from './columns.ts';
import { attachToGate, createGate, gateOf } from './isolation.ts';
import { PROJECTORS_FOLDER, sourceDigest } from './source.ts';
import { tableOf } from './statements.ts';
import { BUILD_COLUMN, describeColumns, ensureView } from './view.ts';

/** Applied after the ledger's own set, whose role it grants rights to. */
export const PROJECTION_MIGRATIONS: MigrationSet = {
  name: 'projections',
  directory: new URL('./migrations/', import.meta.url),
};

const INDEXES = /^-- indexes\b.*$/m;
// An arbitrary constant: keeps two programs from making the same table at once.
const LOCK_KEY = 7_203_115;

export interface ReadModelDdl {
  readonly table: string;
  readonly indexes: string;
}

/** The DDL of one build's table, in two parts, with the table's name put in. */
export const readModelDdl = (
  projector: AnyProjector,
  folder: URL = PROJECTORS_FOLDER,
  build = 1,
): Promise<ReadModelDdl> => ddlFor(projector, tableOf(projector, build), folder);

/** The same for a table that is none of the builds. */
export const ddlFor = async (
  { name }: Pick<AnyProjector, 'name'>,
  ofTable: string,
  folder: URL = PROJECTORS_FOLDER,
): Promise<ReadModelDdl> => {
  const file = `${name}.sql`;
  const sql = (await readFile(new URL(file, folder), 'utf8')).replaceAll('{table}', ofTable);
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
  folder: URL = PROJECTORS_FOLDER,
): Promise<void> => {
  const models = await Promise.all(
    projectors.map(async (projector) => ({
      projector,
      ddl: await readModelDdl(projector, folder),
      digest: await sourceDigest(projector, folder),
    })),
  );
  try {
    await transaction(pool, async (client) => {
      await client.query('SELECT pg_advisory_xact_lock($1)', [LOCK_KEY]);
      for (const { projector, ddl, digest } of models) {
        const known = await isKnown(client, projector);
        if (!known) {
          await register(client, projector);
          await createBuild(client, { projector, build: 1, ddl, digest, state: 'live' });
          await client.query(ddl.indexes);
        }
        await adoptSource(client, projector, digest);
        await checkColumns(client, projector);
        if (await attachAll(client, projector)) await ensureView(client, projector.name);
      }
    });
  } catch (error) {
    throw streamError(error);
  }
};

/** Those that have no table in this database yet. Throws `StreamError`. */
export const missingReadModels = async (
  pool: Pool,
  projectors: readonly AnyProjector[],
): Promise<readonly AnyProjector[]> => {
  try {
    const { rows } = await pool.query<{ projection: string; version: number }>(
      'SELECT projection, version FROM projections.read_models',
    );
    return projectors.filter(
      ({ name, version }) => !rows.some((row) => row.projection === name && row.version === version),
    );
  } catch (error) {
    throw streamError(error);
  }
};

const isKnown = async (client: Client, { name, version }: AnyProjector): Promise<boolean> =>
  (
    await client.query('SELECT FROM projections.read_models WHERE projection = $1 AND version = $2', [
      name,
      version,
    ])
  ).rowCount === 1;

/** The first version of a read model is shown from the start; a later one when a rebuild has proved it. */
const register = (client: Client, { name, version }: AnyProjector): Promise<unknown> =>
  client.query(
    `INSERT INTO projections.read_models (projection, version, shown)
     SELECT $1, $2, NOT EXISTS (SELECT FROM projections.read_models WHERE projection = $1 AND shown)`,
    [name, version],
  );

export interface NewBuild {
  readonly projector: AnyProjector;
  readonly build: number;
  readonly ddl: Pick<ReadModelDdl, 'table'>;
  readonly digest: string;
  readonly state: 'building' | 'live';
  readonly onlyTenant?: string | undefined;
}

/** A build's table, without indexes, and its line in the register. */
export const createBuild = async (
  client: Client,
  { projector, build, ddl, digest, state, onlyTenant }: NewBuild,
): Promise<void> => {
  const table = tableOf(projector, build);
  await client.query(ddl.table);
  await client.query(
    `ALTER TABLE ${table} ADD COLUMN ${BUILD_COLUMN} integer NOT NULL DEFAULT ${build} CHECK (${BUILD_COLUMN} = ${build})`,
  );
  await client.query(
    `COMMENT ON COLUMN ${table}.${BUILD_COLUMN} IS 'The build that the row belongs to, the same in the whole table.'`,
  );
  await client.query(`GRANT SELECT, INSERT, UPDATE, DELETE ON ${table} TO ${RUNTIME_ROLE}`);
  await client.query(
    `INSERT INTO projections.builds (projection, version, build, state, source_digest, only_tenant, live_at)
     VALUES ($1, $2, $3, $4, $5, $6, CASE WHEN $4 = 'live' THEN now() END)`,
    [projector.name, projector.version, build, state, digest, onlyTenant ?? null],
  );
};

/** A build from the time before digests were kept is taken to be made by what is here now. */
const adoptSource = (client: Client, { name, version }: AnyProjector, digest: string): Promise<unknown> =>
  client.query(
    'UPDATE projections.builds SET source_digest = $3 WHERE projection = $1 AND version = $2 AND source_digest IS NULL',
    [name, version, digest],
  );

/** Makes the gate and puts all builds behind it; whether anything had to be done. */
const attachAll = async (client: Client, projector: AnyProjector): Promise<boolean> => {
  const { name, version } = projector;
  const { rows } = await client.query<{ build: number }>(
    `SELECT build FROM projections.builds WHERE projection = $1 AND version = $2 AND only_tenant IS NULL AND state <> 'building' ORDER BY build`,
    [name, version],
  );
  const gate = gateOf(projector);
  let changed = false;
  if ((await describeColumns(client, gate)).length === 0) {
    await createGate(client, projector, tableOf(projector, rows[0]?.build));
    changed = true;
  }
  for (const { build } of rows) {
    const { rowCount } = await client.query(
      'SELECT FROM pg_inherits WHERE inhparent = to_regclass($1) AND inhrelid = to_regclass($2)',
      [gate, tableOf(projector, build)],
    );
    if (rowCount === 1) continue;
    await attachToGate(client, projector, build);
    changed = true;
  }
  return changed;
};

const checkColumns = async (client: Client, projector: AnyProjector): Promise<void> => {
  const table = tableOf(projector);
  const found = new Map((await describeColumns(client, table)).map(({ name, type }) => [name, type]));
  // An older build may have been dropped; its gate says the same.
  if (found.size === 0)
    for (const { name, type } of await describeColumns(client, gateOf(projector))) found.set(name, type);
  found.delete(BUILD_COLUMN);
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
