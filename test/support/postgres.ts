// A real PostgreSQL for tests: one embedded server per mocha run, started when first asked for, and a database of its
// own for each caller. PROV_TEST_DATABASE_URL names a server to use instead (its user must be allowed to make databases).

import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
} from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { findNative } from '#deploy/embedded/native.mjs';
import { livePostmaster } from '#deploy/embedded/postmaster.ts';
import {
  type Connection,
  connectionUrl,
  type EmbeddedPostgres,
  startEmbeddedPostgres,
} from '#deploy/embedded/server.ts';
import { tryLock } from '#deploy/lock.mjs';

/** A named database made once per run and cloned for each caller, e.g. one with the migrations applied. */
export type DatabaseTemplate = {
  readonly name: string;
  readonly prepare: (connection: Connection) => Promise<void>;
};

export type FreshDatabaseOptions = {
  readonly template?: DatabaseTemplate;
  /** True: on a server with fsync on, for tests of durability. Default false, which is faster. */
  readonly durable?: boolean;
};

/** Disposing drops the database, and throws when connections to it were left open. */
export type FreshDatabase = AsyncDisposable & {
  readonly url: string;
  readonly connection: Connection;
};

type TestServer = {
  readonly admin: pg.Client;
  readonly connection: Connection;
  readonly templates: Map<string, Promise<string>>;
  readonly stop: () => Promise<void>;
};

/** An empty database, or a clone of `template`. Use with `await using`, or dispose it in `after`. */
export async function freshDatabase(options: FreshDatabaseOptions = {}): Promise<FreshDatabase> {
  const server = await testServer(options.durable === true ? 'durable' : 'fast');
  const source = options.template === undefined ? undefined : await prepared(server, options.template);
  const connection = await createDatabase(server, source);
  return {
    connection,
    url: connectionUrl(connection),
    [Symbol.asyncDispose]: () => dropDatabase(server, connection.database),
  };
}

/** Stops every server that this run started; called by the root hook. */
export async function stopTestServers(): Promise<void> {
  const running = [...servers.values()];
  servers.clear();
  for (const server of await Promise.allSettled(running)) {
    if (server.status === 'fulfilled') await server.value.stop();
  }
}

const VERSION = "SELECT current_setting('server_version_num')::int AS version";

async function createDatabase(server: TestServer, source: string | undefined): Promise<Connection> {
  const database = `test_${process.pid}_${randomBytes(5).toString('hex')}`;
  const { rows } = await server.admin.query<{ version: number }>(VERSION);
  // From 15 on the server copies through its log unless told: twice the work, here and when the database is dropped.
  const strategy = Number(rows[0]?.version) < 150_000 ? '' : 'STRATEGY file_copy';
  const template = source ?? 'template0';
  await server.admin.query(`CREATE DATABASE ${database} TEMPLATE ${template} ENCODING 'UTF8' ${strategy}`);
  return { ...server.connection, database };
}

function prepared(server: TestServer, template: DatabaseTemplate): Promise<string> {
  const made = server.templates.get(template.name) ?? makeTemplate(server, template);
  server.templates.set(template.name, made);
  return made;
}

async function makeTemplate(server: TestServer, template: DatabaseTemplate): Promise<string> {
  const connection = await createDatabase(server, undefined);
  await template.prepare(connection);
  const left = await openSessions(server, connection.database);
  if (left.length > 0)
    throw new Error(`prepare of template ${template.name} left connections open: ${left.join('; ')}`);
  return connection.database;
}

async function dropDatabase(server: TestServer, database: string): Promise<void> {
  const left = await openSessions(server, database);
  await server.admin.query(`DROP DATABASE IF EXISTS ${database} WITH (FORCE)`);
  if (left.length > 0)
    throw new Error(`${left.length} connections to ${database} were left open: ${left.join('; ')}`);
}

// A closed socket takes the server a moment to notice.
async function openSessions(server: TestServer, database: string): Promise<string[]> {
  const sql = `SELECT format('%s %s: %s', application_name, state, left(query, 80)) AS session
    FROM pg_stat_activity WHERE datname = $1 AND backend_type = 'client backend'`;
  for (let look = 1; ; look += 1) {
    const { rows } = await server.admin.query<{ session: string }>(sql, [database]);
    if (rows.length === 0 || look === 40) return rows.map((row) => row.session);
    await sleep(25);
  }
}

type ServerKind = 'fast' | 'durable';

const servers = new Map<ServerKind, Promise<TestServer>>();

function testServer(kind: ServerKind): Promise<TestServer> {
  const server = servers.get(kind) ?? start(kind);
  servers.set(kind, server);
  return server;
}

async function start(kind: ServerKind): Promise<TestServer> {
  const outside = process.env['PROV_TEST_DATABASE_URL'];
  if (outside !== undefined && outside !== '') return await outsideServer(outside);
  const { server, dataDir } = await startTestServer(kind);
  const admin = new pg.Client({ ...server.connection, database: 'postgres', application_name: 'test admin' });
  await admin.connect();
  const stop = async (): Promise<void> => {
    await admin.end();
    await server.stop({ mode: 'immediate' });
    rmSync(dataDir, { recursive: true, force: true });
  };
  return { admin, connection: server.connection, templates: new Map(), stop };
}

async function outsideServer(url: string): Promise<TestServer> {
  const admin = new pg.Client({ connectionString: url, application_name: 'test admin' });
  await admin.connect();
  const { host, port, user, database } = admin;
  const connection = {
    host,
    port,
    user: user ?? '',
    password: admin.password ?? '',
    database: database ?? '',
  };
  const templates = new Map<string, Promise<string>>();
  const stop = async (): Promise<void> => {
    for (const template of await Promise.allSettled(templates.values())) {
      if (template.status === 'fulfilled')
        await admin.query(`DROP DATABASE IF EXISTS ${template.value} WITH (FORCE)`);
    }
    await admin.end();
  };
  return { admin, connection, templates, stop };
}

const PREFIX = 'prov-ledger-test-';

const settings: Record<ServerKind, Record<string, string>> = {
  fast: { fsync: 'off', full_page_writes: 'off', shared_buffers: '128MB', min_wal_size: '160MB' },
  durable: { fsync: 'on', shared_buffers: '128MB', min_wal_size: '160MB' },
};

async function startTestServer(kind: ServerKind): Promise<{ server: EmbeddedPostgres; dataDir: string }> {
  removeAbandoned();
  const template = await clusterTemplate();
  const dataDir = temporaryFolder(kind === 'fast' ? memoryFolder() : undefined);
  return { server: await startEmbeddedPostgres({ dataDir, template, settings: settings[kind] }), dataDir };
}

/** A folder outside the tree that the server's user may enter, also when we are root. */
function temporaryFolder(parent = tmpdir()): string {
  const folder = mkdtempSync(join(parent, PREFIX));
  chmodSync(folder, 0o711);
  return folder;
}

const MEMORY = '/dev/shm';
const ROOM_WANTED_BYTES = 4 * 2 ** 30;

// Most of a test's time is the making and dropping of its database, which a disk makes five times as long.
function memoryFolder(): string | undefined {
  try {
    const { bavail, bsize } = statfsSync(MEMORY);
    return bavail * bsize >= ROOM_WANTED_BYTES ? MEMORY : undefined;
  } catch {
    return undefined;
  }
}

/** A finished cluster kept outside the tree, one per PostgreSQL version: copying it takes a tenth of `initdb`. */
export async function clusterTemplate(): Promise<string> {
  const version = findNative(fileURLToPath(new URL('../..', import.meta.url)))?.version ?? 'none';
  const { uid } = userInfo();
  const cache = join(tmpdir(), `prov-ledger-templates-${uid}`);
  mkdirSync(cache, { recursive: true, mode: 0o700 });
  if (process.platform !== 'win32' && statSync(cache).uid !== uid)
    throw new Error(`${cache} belongs to another user: remove it, or set TMPDIR`);
  const template = join(cache, version);
  if (existsSync(template)) return template;
  const dataDir = temporaryFolder();
  await using server = await startEmbeddedPostgres({ dataDir });
  await server.stop();
  const cluster = readdirSync(dataDir).find((name) => /^postgres-\d+$/.test(name)) ?? '';
  try {
    renameSync(join(dataDir, cluster), template);
  } catch (error) {
    // Another run made the same template first.
    if (!existsSync(template)) throw error;
  }
  rmSync(dataDir, { recursive: true, force: true });
  return template;
}

const ABANDONED_AFTER_MS = 60_000;

// What a killed run left: its server still runs. The age keeps us off a run that is just starting.
function removeAbandoned(): void {
  for (const parent of [tmpdir(), MEMORY].filter(existsSync)) removeAbandonedIn(parent);
}

function removeAbandonedIn(parent: string): void {
  for (const name of readdirSync(parent).filter((entry) => entry.startsWith(PREFIX))) {
    const folder = join(parent, name);
    const stats = statSync(folder, { throwIfNoEntry: false });
    if (
      stats === undefined ||
      Date.now() - stats.mtimeMs < ABANDONED_AFTER_MS ||
      stats.uid !== userInfo().uid
    )
      continue;
    if (!tryLock(folder, 'owner').held) continue;
    for (const cluster of readdirSync(folder).filter((entry) => entry.startsWith('postgres-'))) {
      const orphan = livePostmaster(join(folder, cluster));
      if (orphan !== undefined) process.kill(orphan.pid, 'SIGQUIT');
    }
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}
