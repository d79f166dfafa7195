// Schema migrations: numbered files, forward only, each in a transaction of its own, frozen by hash once applied.
// Two programs that start at once agree through an advisory lock: one migrates, the other waits and finds it done.
import { hash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { StreamError } from '#streams/errors.ts';
import { type Client, type Pool, streamError, withClient } from './connect.ts';

/** A folder of `NNNN_name.sql` files. The sets of one database are applied in the order they are given. */
export interface MigrationSet {
  readonly name: string;
  readonly directory: URL;
}

export interface Migration {
  readonly set: string;
  readonly number: number;
  readonly name: string;
  readonly sha256: string;
  readonly sql: string;
}

export const LEDGER_MIGRATIONS: MigrationSet = {
  name: 'ledger',
  directory: new URL('./migrations/', import.meta.url),
};

// An arbitrary constant: the key of the advisory lock that keeps two migrations apart.
const LOCK_KEY = 7_203_114;
const FILE = /^(\d{4})_([a-z0-9_]+)\.sql$/;

export const readMigrations = async (set: MigrationSet): Promise<readonly Migration[]> => {
  const files = (await readdir(set.directory)).filter((file) => file.endsWith('.sql')).sort();
  return await Promise.all(
    files.map(async (file, index) => {
      const match = FILE.exec(file);
      if (!match || Number(match[1]) !== index + 1) {
        throw new Error(
          `${set.name}/${file}: migrations are named NNNN_name.sql and count from 0001 without gaps`,
        );
      }
      const sql = await readFile(new URL(file, set.directory), 'utf8');
      return {
        set: set.name,
        number: index + 1,
        name: match[2] as string,
        sha256: hash('sha256', sql, 'hex'),
        sql,
      };
    }),
  );
};

const CREATE_REGISTER = `CREATE TABLE IF NOT EXISTS public.prov_ledger_migrations (
  set_name text NOT NULL, number integer NOT NULL, name text NOT NULL, sha256 text NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (set_name, number))`;

interface AppliedRow {
  readonly set_name: string;
  readonly number: number;
  readonly sha256: string;
}

const applied = async (client: Client): Promise<readonly AppliedRow[]> =>
  (await client.query<AppliedRow>('SELECT set_name, number, sha256 FROM public.prov_ledger_migrations')).rows;

/**
 * Brings the database to this program's schema, or with `upTo` (last number of each set) to an earlier one, as a restore
 * needs it. Returns what was applied now. Throws `StreamError`.
 */
export const migrate = async (
  pool: Pool,
  sets: readonly MigrationSet[],
  upTo?: ReadonlyMap<string, number>,
): Promise<readonly Migration[]> => {
  const wanted = (await Promise.all(sets.map(readMigrations))).flat();
  const isWanted = ({ set, number }: Migration): boolean =>
    upTo === undefined || number <= (upTo.get(set) ?? 0);
  try {
    return await withClient(pool, async (client) => {
      await client.query('SELECT pg_advisory_lock($1)', [LOCK_KEY]);
      try {
        await client.query(CREATE_REGISTER);
        const pending = pendingOf(wanted, await applied(client)).filter(isWanted);
        for (const migration of pending) await apply(client, migration);
        return pending;
      } finally {
        await client.query('SELECT pg_advisory_unlock($1)', [LOCK_KEY]);
      }
    });
  } catch (error) {
    throw streamError(error);
  }
};

const pendingOf = (wanted: readonly Migration[], done: readonly AppliedRow[]): readonly Migration[] => {
  const known = new Map(wanted.map((migration) => [`${migration.set}/${migration.number}`, migration]));
  for (const row of done) {
    const migration = known.get(`${row.set_name}/${row.number}`);
    if (!migration) {
      throw new StreamError(
        'schema-mismatch',
        `the database has migration ${row.set_name}/${row.number}, which this program does not know: run a newer program`,
      );
    }
    if (migration.sha256 !== row.sha256) {
      throw new StreamError(
        'schema-mismatch',
        `migration ${row.set_name}/${row.number} was changed after it had been applied: put the released file back`,
      );
    }
    known.delete(`${row.set_name}/${row.number}`);
  }
  return wanted.filter((migration) => known.has(`${migration.set}/${migration.number}`));
};

const apply = async (client: Client, migration: Migration): Promise<void> => {
  await client.query('BEGIN');
  try {
    await client.query(migration.sql);
    await client.query(
      'INSERT INTO public.prov_ledger_migrations (set_name, number, name, sha256) VALUES ($1, $2, $3, $4)',
      [migration.set, migration.number, migration.name, migration.sha256],
    );
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK').catch(() => undefined);
    throw error;
  }
};

/** The migrations this database still lacks; throws `schema-mismatch` when it is ahead of this program. */
export const pendingMigrations = async (
  pool: Pool,
  sets: readonly MigrationSet[],
): Promise<readonly Migration[]> => {
  const wanted = (await Promise.all(sets.map(readMigrations))).flat();
  return await withClient(pool, async (client) => {
    const register = await client.query<{ exists: boolean }>(
      "SELECT to_regclass('public.prov_ledger_migrations') IS NOT NULL AS exists",
    );
    return pendingOf(wanted, register.rows[0]?.exists ? await applied(client) : []);
  });
};
