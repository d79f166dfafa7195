// What `prov-ledger doctor` looks at: each check by itself, so that one that fails does not hide the others.
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { lostOf, lostText, readHeadsFile } from '#gateway/cli/heads.ts';
import { resumeLine } from '#gateway/cli/projections.ts';
import type { Finding } from '#gateway/cli/world.ts';
import { projectionStatus } from '#projectors/postgres/status.ts';
import type { LocalKeys } from '#proofs/keys/local.ts';
import { connect, type Pool, RUNTIME_ROLE } from '#streams/postgres/connect.ts';
import type { LedgerDatabases } from '#streams/postgres/databases.ts';
import type { StreamStore } from '#streams/stream.ts';
import type { Configuration, ReadConfiguration } from '../../configuration.ts';
import { type Database, openDatabase, pendingOf } from '../ledger/database.ts';
import { type OpenDatabases, openDatabases } from '../ledger/shards.ts';
import { openKeys } from '../ledger/wire.ts';
import { failed, ok, warning } from './finding.ts';

const NODE_WANTED = [24, 15] as const;
const SERVER_LEAST = 140_000;
const CLOCK_SKEW_MS_MAX = 2_000;

export const examine = async function* (read: ReadConfiguration): AsyncGenerator<Finding> {
  yield node();
  if (!read.ok) {
    for (const { name, message } of read.faults)
      yield failed('settings', `${name} ${message}`, `correct or unset ${name}`);
    return;
  }
  const { configuration } = read;
  yield ok('settings', 'every setting is usable');
  yield dataFolder(configuration);
  yield await keys(configuration);
  if (configuration.kafkaBrokers || configuration.registryUrl !== undefined) {
    // Loaded for whoever has them: the driver is a third of what the program would read at its start.
    const kafka = await import('./examine-kafka.ts');
    yield* kafka.examineServers(configuration);
  }
  let database: Database;
  try {
    database = await openDatabase(configuration);
  } catch (error) {
    yield failed(
      'database',
      (error as Error).message,
      'see the message; DATABASE_URL names a PostgreSQL of your own',
    );
    return;
  }
  await using _open = database;
  let usable = true;
  for await (const finding of examineServers(configuration, database)) {
    if (finding.state === 'failed' && /^(?:database|schema)/.test(finding.check)) usable = false;
    yield finding;
  }
  if (usable) yield* examineLedger(configuration, database.url);
};

const examineServers = async function* (
  { shards }: Configuration,
  { url: home, embedded }: Database,
): AsyncGenerator<Finding> {
  yield* examineServer(home, embedded);
  for (const { name, url } of shards)
    for await (const { check, ...found } of examineServer(url, false))
      yield { check: `${check} of ${name}`, ...found };
};

/** What is to be asked of all of the ledger. */
const examineLedger = async function* (configuration: Configuration, url: string): AsyncGenerator<Finding> {
  const { headsFile } = configuration;
  await using stack = new AsyncDisposableStack();
  const pool = connect({ url, max: 2, role: RUNTIME_ROLE, name: 'prov-ledger doctor' });
  stack.defer(() => pool.end());
  let opened: OpenDatabases;
  let signing: LocalKeys;
  try {
    signing = await openKeys(configuration);
    opened = stack.use(await openDatabases({ ...configuration, poolSize: 2 }, pool, signing));
  } catch (error) {
    yield failed('ledger', (error as Error).message, 'do as the message says');
    return;
  }
  yield* projectionFindings(opened.databases);
  if (configuration.kafkaBrokers) {
    const { examineMessages } = await import('./examine-kafka.ts');
    yield* examineMessages(configuration, opened.databases);
  }
  if (headsFile !== undefined) yield await heads(headsFile, opened.store, signing);
};

/** Whether the ledger still is what it was; the file itself is left as it is. */
const heads = async (file: string, store: StreamStore, { jwks }: LocalKeys): Promise<Finding> => {
  if (!existsSync(file))
    return warning('heads file', `${file} is not there yet`, 'start the service: it keeps the file');
  try {
    const statement = await readHeadsFile(file, jwks());
    const lost = await lostOf(store, { file, statement });
    if (lost.length === 0)
      return ok('heads file', `the ledger has all ${statement.heads.length} heads of ${file}`);
    return failed(
      'heads file',
      lost.map(lostText).join('; '),
      'restore the newer backup; or accept the loss with `prov-ledger heads export --out` to this file',
    );
  } catch (error) {
    return failed('heads file', (error as Error).message, 'do as the message says');
  }
};

const node = (): Finding => {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const fits = major > NODE_WANTED[0] || (major === NODE_WANTED[0] && minor >= NODE_WANTED[1]);
  return fits
    ? ok('node', `Node ${process.versions.node}`)
    : failed(
        'node',
        `Node ${process.versions.node} is too old`,
        `install Node ${NODE_WANTED.join('.')} or later`,
      );
};

const dataFolder = ({ dataDir }: Configuration): Finding => {
  if (!existsSync(dataDir)) return ok('data folder', `${dataDir} will be made at the first start`);
  try {
    accessSync(dataDir, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch {
    return failed(
      'data folder',
      `${dataDir} cannot be written`,
      'run as its owner, or set PROV_LEDGER_DATA_DIR to another folder',
    );
  }
  const { mode } = statSync(dataDir);
  if (process.platform !== 'win32' && (mode & 0o022) !== 0) {
    return failed(
      'data folder',
      `${dataDir} can be written by others (mode ${(mode & 0o777).toString(8)})`,
      `run chmod go-w ${dataDir}`,
    );
  }
  return ok('data folder', dataDir);
};

const keys = async (configuration: Configuration): Promise<Finding> => {
  try {
    const { signer, keys: all } = await openKeys(configuration);
    return ok('keys', `${signer.algorithm} ${signer.kid} signs; ${all.length} in ${configuration.keysDir}`);
  } catch (error) {
    return failed(
      'keys',
      (error as Error).message,
      'do as the message says; keys that others could read must be replaced (prov-ledger keys rotate)',
    );
  }
};

const examineServer = async function* (url: string, embedded: boolean): AsyncGenerator<Finding> {
  const owner = connect({ url, max: 2, name: 'prov-ledger doctor' });
  try {
    const server = await serverFinding(owner, embedded);
    yield server;
    if (server.state === 'failed') return;
    yield await clockFinding(owner);
    yield await durabilityFinding(owner);
    const schema = await schemaFinding(url);
    yield schema;
    if (schema.state === 'failed') return;
  } finally {
    await owner.end();
  }
  const pool = connect({ url, max: 2, role: RUNTIME_ROLE, name: 'prov-ledger doctor' });
  try {
    yield await rightsFinding(pool);
  } finally {
    await pool.end();
  }
};

const serverFinding = async (pool: Pool, embedded: boolean): Promise<Finding> => {
  try {
    const { rows } = await pool.query<{ number: number; version: string; encoding: string }>(
      "SELECT current_setting('server_version_num')::int AS number, current_setting('server_version') AS version, current_setting('server_encoding') AS encoding",
    );
    const { number = 0, version = '?', encoding = '?' } = rows[0] ?? {};
    if (number < SERVER_LEAST)
      return failed('database', `PostgreSQL ${version} is too old`, 'use PostgreSQL 14 or later');
    if (encoding !== 'UTF8')
      return failed(
        'database',
        `the database's encoding is ${encoding}`,
        "make one with ENCODING 'UTF8' TEMPLATE template0",
      );
    return ok('database', `PostgreSQL ${version}${embedded ? ', embedded' : ''}`);
  } catch (error) {
    return failed(
      'database',
      `cannot be reached: ${(error as Error).message}`,
      'start it, and check DATABASE_URL: host, port, user, password, database',
    );
  }
};

const clockFinding = async (pool: Pool): Promise<Finding> => {
  const before = Date.now();
  const { rows } = await pool.query<{ ms: number }>(
    'SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms',
  );
  const skew = (rows[0]?.ms ?? before) - (before + Date.now()) / 2;
  if (Math.abs(skew) <= CLOCK_SKEW_MS_MAX) return ok('clock', 'agrees with that of the database');
  return warning(
    'clock',
    `differs from that of the database by ${Math.round(skew)} ms`,
    'set both by NTP: facts carry the time of this clock',
  );
};

const durabilityFinding = async (pool: Pool): Promise<Finding> => {
  const { rows } = await pool.query<{ fsync: string; full: string; commit: string }>(
    "SELECT current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full, current_setting('synchronous_commit') AS commit",
  );
  const { fsync, full, commit } = rows[0] ?? {};
  if (fsync === 'on' && full === 'on' && commit !== 'off')
    return ok('durability', 'a commit is on disk before it is acknowledged');
  return failed(
    'durability',
    `fsync is ${fsync}, full_page_writes ${full}, synchronous_commit ${commit}`,
    'switch all three on: acknowledged facts could be lost',
  );
};

const schemaFinding = async (url: string): Promise<Finding> => {
  try {
    const pending = await pendingOf(url);
    if (pending === undefined)
      return warning(
        'schema',
        'this user may not read public.prov_ledger_migrations',
        'nothing, if somebody else migrates; else grant SELECT on it',
      );
    if (pending.length === 0) return ok('schema', 'is that of this program');
    return failed('schema', `${pending.length} migrations are pending`, 'run `prov-ledger migrate`');
  } catch (error) {
    return failed('schema', (error as Error).message, 'do as the message says');
  }
};

const rightsFinding = async (pool: Pool): Promise<Finding> => {
  try {
    const { rows } = await pool.query<{ may: boolean; must_not: boolean }>(
      `SELECT has_table_privilege('ledger.facts', 'SELECT') AND has_table_privilege('ledger.facts', 'INSERT') AND has_table_privilege('ledger.batches', 'INSERT') AS may,
              has_table_privilege('ledger.facts', 'UPDATE') OR has_table_privilege('ledger.facts', 'DELETE') OR has_table_privilege('ledger.facts', 'TRUNCATE') AS must_not`,
    );
    if (!rows[0]?.may)
      return failed(
        'rights',
        `${RUNTIME_ROLE} may not read and append facts`,
        'run `prov-ledger migrate` as the owner of the schema',
      );
    if (rows[0].must_not)
      return failed(
        'rights',
        `${RUNTIME_ROLE} may change facts`,
        `revoke UPDATE, DELETE and TRUNCATE on ledger.facts from ${RUNTIME_ROLE}`,
      );
    return ok('rights', `${RUNTIME_ROLE} may read and append facts, and not change them`);
  } catch (error) {
    return failed('rights', (error as Error).message, `grant ${RUNTIME_ROLE} to the user in DATABASE_URL`);
  }
};

const projectionFindings = async function* (databases: LedgerDatabases): AsyncGenerator<Finding> {
  const rows = await projectionStatus(databases);
  for (const { tenant, projection, state, fault } of rows) {
    if (state === 'halted')
      yield failed(
        'read models',
        `${projection} of ${tenant} has halted at fact ${fault?.seq}: ${fault?.message}`,
        `put the cause right, then run \`${resumeLine(projection, tenant)}\``,
      );
    if (state === 'ahead of ledger')
      yield failed(
        'read models',
        `${projection} of ${tenant} has seen facts that the ledger does not have`,
        'the ledger was restored to an older state: restore the newer one, or rebuild the read model',
      );
  }
  const behind = rows.filter(({ state }) => state === 'behind');
  const most = Math.max(0, ...behind.map(({ lagFacts }) => lagFacts));
  if (behind.length > 0)
    yield warning(
      'read models',
      `${behind.length} are behind, by ${most} facts at most`,
      'start the service (`npm start` or `prov-ledger serve`): it keeps them',
    );
  else
    yield ok(
      'read models',
      `${rows.filter(({ state }) => state === 'current').length} of ${rows.length} are current`,
    );
};
