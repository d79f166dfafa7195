// A backup into an empty database: the schema as it was, all rows in one transaction, then the migrations that this
// program has beyond it. What is loaded here is not yet believed: the caller proves the chains afterwards.
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { from as copyFrom } from 'pg-copy-streams';
import { type Client, connect, type Pool, streamError, transaction } from '../connect.ts';
import { type MigrationSet, migrate } from '../migrate.ts';
import { type BackupManifest, type BackupTable, checkFiles } from './archive.ts';
import { BackupError } from './errors.ts';

export interface LoadOptions {
  /** Of a user who may make schemas in the database. */
  readonly url: string;
  readonly folder: string;
  readonly manifest: BackupManifest;
  /** All sets of this program, in the order they are applied. */
  readonly sets: readonly MigrationSet[];
  readonly onRows?: (rows: number) => void;
}

/** Every file is read and compared before the database is touched. Throws `BackupError`, `StreamError`. */
export const loadLedger = async (options: LoadOptions): Promise<void> => {
  const { url, folder, manifest, sets, onRows } = options;
  const pool = connect({ url, max: 2, name: 'prov-ledger restore' });
  try {
    await refuseLedger(pool, manifest);
    await checkFiles(folder, manifest);
    await migrate(pool, sets, levelsOf(manifest));
    await transaction(pool, async (client) => {
      await client.query('SET LOCAL row_security = off; SET LOCAL statement_timeout = 0');
      for (const table of manifest.tables) {
        await loadTable(client, folder, table);
        onRows?.(table.rows);
      }
      for (const { schema, sequence, value, called } of manifest.sequences)
        await client.query('SELECT setval($1::regclass, $2, $3)', [
          `"${schema}"."${sequence}"`,
          value,
          called,
        ]);
    });
    for (const table of manifest.tables) await pool.query(`ANALYZE ${nameOf(table)}`);
    await migrate(pool, sets);
  } catch (error) {
    if (error instanceof BackupError) throw error;
    throw (error as NodeJS.ErrnoException).syscall === 'open' ? error : streamError(error);
  } finally {
    await pool.end();
  }
};

/** A schema without tenants may be there already, if it is the backup's: the one that `prov-ledger migrate` made. */
const refuseLedger = async (pool: Pool, manifest: BackupManifest): Promise<void> => {
  const { rows } = await pool.query<{ found: boolean }>(
    "SELECT to_regclass('ledger.heads') IS NOT NULL AS found",
  );
  if (!rows[0]?.found) return;
  const { rows: heads } = await pool.query<{ tenants: number }>(
    'SELECT count(*) AS tenants FROM ledger.heads',
  );
  const tenants = heads[0]?.tenants ?? 0;
  const { rows: applied } = await pool.query<{ set: string; number: number }>(
    'SELECT set_name AS set, max(number) AS number FROM public.prov_ledger_migrations GROUP BY 1',
  );
  const levels = levelsOf(manifest);
  if (tenants === 0 && applied.every(({ set, number }) => number <= (levels.get(set) ?? 0))) return;
  const why = tenants > 0 ? `a ledger already, with ${tenants} tenants` : 'a newer schema than the backup';
  throw new BackupError(
    'not-empty',
    `the database has ${why}: restore into an empty database (another PROV_LEDGER_DATA_DIR, or a DATABASE_URL of a new one)`,
  );
};

const levelsOf = ({ migrations }: BackupManifest): ReadonlyMap<string, number> => {
  const levels = new Map<string, number>();
  for (const { set, number } of migrations) levels.set(set, Math.max(number, levels.get(set) ?? 0));
  return levels;
};

const nameOf = ({ schema, table }: Pick<BackupTable, 'schema' | 'table'>): string => `"${schema}"."${table}"`;

const loadTable = async (client: Client, folder: string, table: BackupTable): Promise<void> => {
  const { columns, rows, file } = table;
  const name = nameOf(table);
  await refuseOtherShape(client, table);
  // The triggers refuse to the owner what a restore must do: to take out the rows that migrations put in.
  await client.query(`ALTER TABLE ${name} DISABLE TRIGGER USER; DELETE FROM ${name}`);
  const names = columns.map((column) => `"${column.name}"`).join(', ');
  const into = client.query(copyFrom(`COPY ${name} (${names}) FROM STDIN (FORMAT binary)`));
  await pipeline(createReadStream(join(folder, file)), createGunzip(), into);
  if (into.rowCount !== rows)
    throw new BackupError('damaged', `${file} holds ${into.rowCount} rows, its manifest says ${rows}`);
  await client.query(`ALTER TABLE ${name} ENABLE TRIGGER USER`);
};

/** Binary rows do not name their types: into other ones they would go in as something else. */
const refuseOtherShape = async (client: Client, table: BackupTable): Promise<void> => {
  const { rows } = await client.query<{ name: string; type: string }>(
    `SELECT a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS type FROM pg_attribute a
     WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped`,
    [nameOf(table)],
  );
  const found = new Map(rows.map(({ name, type }) => [name, type]));
  for (const { name, type } of table.columns) {
    if (found.get(name) !== type)
      throw new BackupError(
        'malformed',
        `${nameOf(table)} has ${name} as ${found.get(name) ?? 'nothing'}, the backup as ${type}: restore it with the program that made it`,
      );
  }
};
