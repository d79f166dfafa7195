// A place to do harm in: a PostgreSQL of its own with the durable settings, a migrated ledger with tenants and tokens,
// and service processes as they run in production, on it or through something that stands in between.
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { runCommand } from '#commands/run.ts';
import { type TenantCommand, tenants as tenantsDecider } from '#commands/tenants.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '#deploy/embedded/server.ts';
import { migrateDatabase } from '#deploy/processes/ledger/database.ts';
import { newToken, SCOPES } from '#gateway/http/tokens.ts';
import { type LocalKeys, localKeys } from '#proofs/keys/local.ts';
import { type Instant, type TenantId, tenantId } from '#schemas/ids.ts';
import { connect, RUNTIME_ROLE } from '#streams/postgres/connect.ts';
import { type PostgresStore, postgresStreamStore } from '#streams/postgres/store.ts';
import { type Program, start } from '#test/deploy/processes/program.ts';
import { expectLedgerSound, type Soundness, type SoundOptions } from '#test/support/ledger-sound.ts';
import { clusterTemplate } from '#test/support/postgres.ts';

export type Settings = Readonly<Record<string, string>>;

const DURABLE: Settings = {
  fsync: 'on',
  synchronous_commit: 'on',
  full_page_writes: 'on',
  shared_buffers: '64MB',
};

export const TENANTS: readonly TenantId[] = ['acme', 'birch', 'cedar'].map(tenantId);

/** A folder that the server's user may enter, also when we are root. */
export const siteFolder = (): string => {
  const folder = mkdtempSync(join(tmpdir(), 'prov-ledger-fault-'));
  chmodSync(folder, 0o711);
  return folder;
};

/** A server that is started again whenever it ends, as an init system does. */
export const durableServer = async (dataDir: string, settings: Settings = {}): Promise<EmbeddedPostgres> =>
  await startEmbeddedPostgres({
    dataDir,
    template: await clusterTemplate(),
    settings: { ...DURABLE, ...settings },
  });

export interface Site extends AsyncDisposable {
  readonly server: EmbeddedPostgres;
  /** Over TCP, which a proxy can stand in front of. */
  readonly databaseUrl: string;
  readonly keys: LocalKeys;
  /** For a program that works on this ledger, with its database and keys. */
  readonly environment: Settings;
  /** One for each tenant, with every right of a tenant's own. */
  readonly tokens: ReadonlyMap<TenantId, string>;
  /** Runs until it is stopped or killed. */
  readonly service: (options?: ServiceOptions) => Promise<Service>;
  /** Work on a store of its own, beside the services. */
  readonly withStore: <T>(work: (store: PostgresStore) => Promise<T>) => Promise<T>;
  /** Asks the oracle. */
  readonly sound: (options?: SoundOptions) => Promise<Soundness>;
}

export interface ServiceOptions {
  /** Instead of the site's own. */
  readonly databaseUrl?: string;
  /** A free one unless told. */
  readonly port?: number;
  /** PROV_LEDGER_STORE_SECONDS. */
  readonly storeSeconds?: number;
  /** Beside what the site sets by itself. */
  readonly settings?: Settings;
}

export interface Service extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** False once it has ended, by whatever. */
  readonly alive: () => boolean;
  /** SIGKILL. */
  readonly kill: () => Promise<void>;
  readonly program: Program;
}

export interface SiteOptions {
  readonly settings?: Settings;
  /** Where the cluster lies; in a folder of its own unless told. */
  readonly dataDir?: string;
  /** `TENANTS` unless told. */
  readonly tenants?: readonly TenantId[];
}

const ORACLE_TRIES = 12;

/** Whoever examines is in no hurry: on a crowded machine a server that was just started may let connections wait. */
const patiently = async <T>(open: () => Promise<T>): Promise<T> => {
  for (let tried = 1; ; tried += 1) {
    try {
      return await open();
    } catch (error) {
      if (tried === ORACLE_TRIES || (error as { readonly code?: unknown }).code !== 'unavailable')
        throw error;
    }
  }
};

export const openSite = async ({ settings, dataDir, tenants = TENANTS }: SiteOptions = {}): Promise<Site> => {
  await using opening = new AsyncDisposableStack();
  const folder = siteFolder();
  opening.defer(() => rmSync(folder, { recursive: true, force: true }));
  const server = await durableServer(dataDir ?? join(folder, 'data'), settings);
  opening.defer(() => server.stop({ mode: 'immediate' }));
  await migrateDatabase(server.url);
  const { user, password, port, database } = server.connection;
  const databaseUrl = `postgresql://${user}:${encodeURIComponent(password)}@127.0.0.1:${port}/${database}`;
  const keysDir = join(folder, 'keys');
  const keys = await localKeys({ folder: keysDir });
  const withStore: Site['withStore'] = async (work) => {
    const pool = connect({ url: server.url, role: RUNTIME_ROLE, max: 2, name: 'oracle' });
    try {
      await using store = await patiently(() => postgresStreamStore({ pool, signer: keys.signer }));
      return await work(store);
    } finally {
      await pool.end();
    }
  };
  const tokens = await withStore((store) => openTenants(store, tenants));
  await checkpoint(server.url);
  const running = new Set<Service>();
  opening.defer(async () => {
    for (const service of running) await service.kill();
  });
  const env = { PROV_LEDGER_DATA_DIR: join(folder, 'service'), PROV_LEDGER_KEYS_DIR: keysDir };
  const open = opening.move();
  // Ctrl-C ends what is in its group; the server is in none, and its folder would stay. All at once, for whoever was at work
  // with it fails meanwhile.
  const interrupted = (): void => {
    for (const { program } of running) program.child.kill('SIGKILL');
    process.kill(server.pid, 'SIGKILL');
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    process.exit(130);
  };
  process.once('SIGINT', interrupted);
  open.defer(() => void process.off('SIGINT', interrupted));
  return {
    server,
    databaseUrl,
    keys,
    environment: { ...env, DATABASE_URL: databaseUrl },
    tokens,
    withStore,
    service: async (options = {}) => {
      const service = await startService({ ...env, DATABASE_URL: databaseUrl }, options);
      running.add(service);
      return service;
    },
    sound: async (options) =>
      await withStore((store) => expectLedgerSound({ store, keys: keys.keys }, options)),
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
};

/** What was made so far is on disk, whatever the settings: it is not at stake. */
const checkpoint = async (url: string): Promise<void> => {
  const owner = connect({ url, max: 1 });
  await owner.query('CHECKPOINT');
  await owner.end();
};

const openTenants = async (
  store: PostgresStore,
  tenants: readonly TenantId[],
): Promise<ReadonlyMap<TenantId, string>> => {
  const tokens = new Map<TenantId, string>();
  for (const tenant of tenants) {
    const send = async (command: TenantCommand): Promise<void> => {
      const context = { tenant, actor: 'operator', at: Date.now() as Instant, key: randomUUID() };
      const { kind } = await runCommand({ store, decider: tenantsDecider }, command, context);
      if (kind !== 'recorded') throw new Error(`${command.type} for ${tenant}: ${kind}`);
    };
    const { token, tokenId, tokenHash } = newToken(tenant);
    await send({ type: 'CreateTenant', displayName: tenant });
    await send({ type: 'IssueToken', tokenId, tokenHash, scopes: [...SCOPES] });
    tokens.set(tenant, token);
  }
  return tokens;
};

const startService = async (
  env: Readonly<Record<string, string>>,
  { databaseUrl, port, storeSeconds, settings }: ServiceOptions,
): Promise<Service> => {
  const at = port ?? (await freePort());
  const program = start('cli.ts', ['serve'], {
    env: {
      ...env,
      PROV_LEDGER_HTTP_PORT: String(at),
      ...(databaseUrl !== undefined && { DATABASE_URL: databaseUrl }),
      ...(storeSeconds !== undefined && { PROV_LEDGER_STORE_SECONDS: String(storeSeconds) }),
      ...settings,
    },
  });
  const [, url = ''] = await program.says(/"url":"(http:[^"]+)"/);
  const { child } = program;
  const alive = (): boolean => child.exitCode === null && child.signalCode === null;
  const kill = async (): Promise<void> => {
    if (!alive()) return;
    child.kill('SIGKILL');
    await program.ended;
  };
  return { url, port: at, program, alive, kill, [Symbol.asyncDispose]: kill };
};

/** Below 32768: a client that redials a dead port of the ephemeral range can connect to itself. */
export const freePort = async (): Promise<number> => {
  for (;;) {
    const port = 20_000 + (randomBytes(2).readUInt16BE() % 12_000);
    const probe = createServer();
    const listening = once(probe, 'listening').then(
      () => true,
      () => false,
    );
    probe.listen({ port, host: '127.0.0.1', exclusive: true });
    if (!(await listening)) continue;
    probe.close();
    await once(probe, 'close');
    return port;
  }
};

const BACK_WITHIN_MS = 90_000;

/** Kills the postmaster, and waits until another one takes connections: its sessions outlive it for a moment. */
export const killServer = async (server: EmbeddedPostgres): Promise<void> => {
  const { pid } = server;
  process.kill(pid, 'SIGKILL');
  const end = performance.now() + BACK_WITHIN_MS;
  for (;;) {
    await pause(20);
    if (server.pid !== pid && (await takesConnections(server.url))) return;
    if (performance.now() > end) throw new Error(`PostgreSQL was not back after ${BACK_WITHIN_MS / 1_000} s`);
  }
};

export const takesConnections = async (url: string): Promise<boolean> => {
  const pool = connect({ url, max: 1, patienceMs: 2_000 });
  try {
    await pool.query('SELECT 1');
    return true;
  } catch {
    return false;
  } finally {
    await pool.end();
  }
};
