// The schema: what has shipped is frozen by hash, and the whole of it stands in a golden file.
// UPDATE_GOLDEN=1 writes schema.golden.txt anew, and adds new migrations to migrations.golden.json; it never changes one
// that stands there.

import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect } from 'chai';
import { connect, type Pool, RUNTIME_ROLE } from '#streams/postgres/connect.ts';
import {
  LEDGER_MIGRATIONS,
  type MigrationSet,
  migrate,
  pendingMigrations,
  readMigrations,
} from '#streams/postgres/migrate.ts';
import { postgresStreamStore } from '#streams/postgres/store.ts';
import { freshDatabase } from '#test/support/postgres.ts';
import { testSigner } from '#test/support/test-signer.ts';
import { schemaText } from './schema-text.ts';

const FROZEN = new URL('migrations.golden.json', import.meta.url);
const SCHEMA = new URL('schema.golden.txt', import.meta.url);
const updating = (process.env['UPDATE_GOLDEN'] ?? '') !== '';

interface Owned extends AsyncDisposable {
  readonly url: string;
  readonly owner: Pool;
}

const emptyDatabase = async (): Promise<Owned> => {
  const database = await freshDatabase();
  const owner = connect({ url: database.url, max: 4, name: 'owner' });
  return {
    url: database.url,
    owner,
    [Symbol.asyncDispose]: async () => {
      await owner.end();
      await database[Symbol.asyncDispose]();
    },
  };
};

/** The ledger's migrations in a folder of their own, to be changed as a later or a careless release would. */
const copied = async (change: (folder: string) => Promise<void>): Promise<MigrationSet & AsyncDisposable> => {
  const folder = await mkdtemp(join(tmpdir(), 'prov-ledger-migrations-'));
  await cp(LEDGER_MIGRATIONS.directory, folder, { recursive: true });
  await change(folder);
  return {
    name: LEDGER_MIGRATIONS.name,
    directory: pathToFileURL(`${folder}/`),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
};

const released = (await readMigrations(LEDGER_MIGRATIONS)).length;
const numbered = (after: number, name: string): string =>
  `${String(released + after).padStart(4, '0')}_${name}.sql`;

const later = (folder: string): Promise<void> =>
  writeFile(join(folder, numbered(1, 'later')), 'CREATE TABLE ledger.later (n integer);');

describe('migrations of the ledger', () => {
  it('what has shipped is frozen by hash', async () => {
    const now = Object.fromEntries(
      (await readMigrations(LEDGER_MIGRATIONS)).map(({ number, name, sha256 }) => [
        `${String(number).padStart(4, '0')}_${name}`,
        sha256,
      ]),
    );
    const frozen = JSON.parse(await readFile(FROZEN, 'utf8').catch(() => '{}')) as Record<string, string>;
    if (updating) await writeFile(FROZEN, `${JSON.stringify({ ...now, ...frozen }, null, 2)}\n`);
    else expect(now, 'add a new migration instead of changing one').to.deep.equal(frozen);
  });

  it('make exactly the schema of schema.golden.txt (as PostgreSQL 18 words it)', async function () {
    await using database = await emptyDatabase();
    const { rows } = await database.owner.query<{ version: string }>(
      `SELECT current_setting('server_version_num') AS version`,
    );
    if (!rows[0]?.version.startsWith('18')) this.skip();
    await migrate(database.owner, [LEDGER_MIGRATIONS]);
    const text = await schemaText(database.owner, ['ledger', 'public']);
    for (const part of ['ledger.facts', 'ledger.seal_batch', 'TRIGGER immutable', RUNTIME_ROLE])
      expect(text).to.include(part);
    if (updating) await writeFile(SCHEMA, text);
    else expect(text).to.equal(await readFile(SCHEMA, 'utf8'));
  });

  it('are applied once, also by eight programs that start at once', async () => {
    await using database = await emptyDatabase();
    const pools = Array.from({ length: 8 }, () => connect({ url: database.url, max: 1 }));
    const applied = await Promise.all(pools.map((pool) => migrate(pool, [LEDGER_MIGRATIONS])));
    await Promise.all(pools.map((pool) => pool.end()));
    const all = await readMigrations(LEDGER_MIGRATIONS);
    expect(applied.filter((list) => list.length === 0)).to.have.length(7);
    expect(applied.flat()).to.have.length(all.length);
    expect(await migrate(database.owner, [LEDGER_MIGRATIONS])).to.deep.equal([]);
    expect(await pendingMigrations(database.owner, [LEDGER_MIGRATIONS])).to.deep.equal([]);
  });

  it('a database of a newer program is refused as schema-mismatch, and left as it is', async () => {
    await using database = await emptyDatabase();
    await using newer = await copied(later);
    await migrate(database.owner, [newer]);
    for (const attempt of [migrate, pendingMigrations]) {
      const error = await attempt(database.owner, [LEDGER_MIGRATIONS]).catch((failure: unknown) => failure);
      expect(error).to.be.an('error').with.property('code', 'schema-mismatch');
      expect((error as Error).message)
        .to.include(`ledger/${released + 1}`)
        .and.include('newer program');
    }
    expect(await schemaText(database.owner, ['ledger'])).to.include('ledger.later');
  });

  it('a migration changed after it was applied is refused as schema-mismatch', async () => {
    await using database = await emptyDatabase();
    await migrate(database.owner, [LEDGER_MIGRATIONS]);
    await using changed = await copied(async (folder) => {
      const file = join(folder, '0001_ledger.sql');
      await writeFile(file, `${await readFile(file, 'utf8')}\n-- a harmless remark\n`);
    });
    const error = await migrate(database.owner, [changed]).catch((failure: unknown) => failure);
    expect(error).to.have.property('code', 'schema-mismatch');
    expect((error as Error).message)
      .to.include('ledger/1')
      .and.include('released file');
  });

  it('a migration that fails leaves nothing of itself, and the ones before it in place', async () => {
    await using database = await emptyDatabase();
    await using broken = await copied((folder) =>
      writeFile(join(folder, numbered(1, 'broken')), 'CREATE TABLE ledger.half (n integer); SELECT 1 / 0;'),
    );
    const error = await migrate(database.owner, [broken]).catch((failure: unknown) => failure);
    expect(error).to.be.an('error').with.property('name', 'StreamError');
    const text = await schemaText(database.owner, ['ledger']);
    expect(text).to.include('ledger.facts').and.not.include('ledger.half');
    await using mended = await copied(later);
    expect((await migrate(database.owner, [mended])).map(({ name }) => name)).to.deep.equal(['later']);
  });

  it('a gap in the numbers is refused before anything is applied', async () => {
    await using database = await emptyDatabase();
    await using gap = await copied((folder) => writeFile(join(folder, numbered(2, 'late')), 'SELECT 1;'));
    const error = await migrate(database.owner, [gap]).catch((failure: unknown) => failure);
    expect((error as Error).message).to.include('without gaps');
    expect(await schemaText(database.owner, ['ledger'])).to.not.include('ledger.facts');
  });

  it('a store on a database without the schema is refused as schema-mismatch, which says what to run', async () => {
    await using database = await emptyDatabase();
    const error = await postgresStreamStore({ pool: database.owner, ...testSigner() }).catch(
      (failure: unknown) => failure,
    );
    expect(error).to.have.property('code', 'schema-mismatch');
    expect((error as Error).message).to.include('prov-ledger migrate');
  });
});
