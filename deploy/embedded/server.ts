// The embedded PostgreSQL: what `npm start` runs when no DATABASE_URL is set.
//
// One prov-ledger process owns a data folder and the server on it; others on the same folder use that server.
// The server outlives a kill -9 of its owner; the next owner stops it and starts its own, so that a server never runs
// with settings or binaries that nobody remembers.

import { realpathSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { tryLock } from '../lock.mjs';
import { type ServerAccount, serverAccount } from './account.ts';
import { findBinaries } from './binaries.ts';
import {
  clusterFolder,
  defaultDataDir as dataDirFor,
  ensureDatabase,
  openCluster,
  prepareDataDir,
} from './cluster.ts';
import {
  type Connection,
  type ConnectionFile,
  connectionUrl,
  readConnectionFile,
  writeConnectionFile,
} from './connection.ts';
import { EmbeddedPostgresError } from './errors.ts';
import { socketFolder, startOnFreePort } from './listening.ts';
import { findNative } from './native.mjs';
import type { StopMode } from './postmaster.ts';
import { clearLeftovers, type ServerEvent } from './supervisor.ts';

export { type Connection, connectionUrl } from './connection.ts';
export type { ServerEvent } from './supervisor.ts';

export type EmbeddedPostgres = AsyncDisposable & {
  readonly connection: Connection;
  /** For node-postgres and libpq: goes over the socket; a reader that ignores `?host=` goes over loopback TCP. */
  readonly url: string;
  /** Of the server now; another one after a restart. */
  readonly pid: number;
  /** False when another prov-ledger process owns the server; `stop` then does nothing. */
  readonly owned: boolean;
  /** Once is enough, further calls wait for the first. */
  readonly stop: (options?: { readonly mode?: StopMode }) => Promise<void>;
};

export type EmbeddedOptions = {
  readonly dataDir: string;
  /** Default `prov_ledger`; made when missing. */
  readonly database?: string;
  /** PostgreSQL settings on top of ours, e.g. `{ fsync: 'off' }`. */
  readonly settings?: Readonly<Record<string, string>>;
  readonly onEvent?: (event: ServerEvent) => void;
  /** A finished cluster to copy instead of running `initdb`. */
  readonly template?: string;
  /** Where node_modules with the binaries is looked for. Default: this project. */
  readonly projectDir?: string;
  /** Where the binaries are copied to when the server's user cannot read them in the project. */
  readonly cacheDir?: string;
};

const PROJECT = fileURLToPath(new URL('../..', import.meta.url)).replace(/[\\/]$/, '');
const WAIT_FOR_OWNER_MS = 120_000;

/** `<project>/.data`, or a folder under /var/lib/prov-ledger when root runs a clone that the server cannot enter. */
export function defaultDataDir(projectDir: string = PROJECT): string {
  const major = findNative(projectDir)?.version.split('.')[0] ?? '';
  return dataDirFor(projectDir, serverAccount(clusterFolder(join(projectDir, '.data'), major)));
}

/** Starts the server on a data folder, making the cluster at the first start. Throws `in_use` when one is owned. */
export async function startEmbeddedPostgres(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const started = await tryStart(options);
  if ('server' in started) return started.server;
  throw new EmbeddedPostgresError(
    'in_use',
    `The data folder ${options.dataDir} is in use by process ${started.holderPid}: stop it, or choose another data folder.`,
  );
}

/** The server on a data folder: the running one of another prov-ledger process, else one started here and owned. */
export async function connectOrStart(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  for (const end = performance.now() + WAIT_FOR_OWNER_MS; ; await sleep(100)) {
    const started = await tryStart(options);
    if ('server' in started) return started.server;
    const shared = readConnectionFile(options.dataDir);
    if (shared?.ownerPid === started.holderPid) return sharedServer(shared, options.database);
    if (performance.now() < end) continue;
    throw new EmbeddedPostgresError(
      'start_failed',
      `Process ${started.holderPid} owns ${options.dataDir} and has had no server ready for ${WAIT_FOR_OWNER_MS / 1000} s: see its output, or stop it.`,
    );
  }
}

async function tryStart(
  options: EmbeddedOptions,
): Promise<{ server: EmbeddedPostgres } | { holderPid: number }> {
  const projectDir = options.projectDir ?? PROJECT;
  const major = findNative(projectDir)?.version.split('.')[0] ?? '';
  const account = serverAccount(clusterFolder(options.dataDir, major));
  prepareDataDir(options.dataDir, account);
  const dataDir = realpathSync(options.dataDir);
  const lock = tryLock(dataDir, 'owner');
  if (!lock.held) return { holderPid: lock.holder.pid };
  try {
    const server = await startOwned({ ...options, projectDir, dataDir }, account, lock.release);
    return { server };
  } catch (error) {
    lock.release();
    throw error;
  }
}

type OwnedOptions = EmbeddedOptions & { readonly projectDir: string };

async function startOwned(
  options: OwnedOptions,
  account: ServerAccount | undefined,
  release: () => void,
): Promise<EmbeddedPostgres> {
  const { dataDir, database = 'prov_ledger', onEvent = () => {} } = options;
  const binaries = findBinaries(account, options);
  const request = { dataDir, database, binaries, account, template: options.template };
  const { cluster, credentials } = openCluster(request);
  const base = { cluster, binaries, account, logFile: join(dataDir, 'server.log'), onEvent };
  await clearLeftovers({ ...base, args: [] });
  ensureDatabase(cluster, credentials, request);
  const previous = readConnectionFile(dataDir);
  const socketDir = socketFolder(dataDir, account);
  const { supervised, port } = await startOnFreePort(base, {
    socketDir,
    settings: options.settings,
    port: previous?.port,
  });
  const { user, password } = credentials;
  const connection = { host: socketDir ?? '127.0.0.1', port, user, password, database };
  writeConnectionFile(dataDir, { ...connection, ownerPid: process.pid, postmasterPid: supervised.pid() });
  let stopped: Promise<void> | undefined;
  const stopOnce = async (mode: StopMode): Promise<void> => {
    await supervised.stop(mode);
    writeConnectionFile(dataDir, { ...connection, ownerPid: undefined, postmasterPid: undefined });
    if (socketDir !== undefined) rmSync(socketDir, { recursive: true, force: true });
    release();
  };
  const stop: EmbeddedPostgres['stop'] = ({ mode = 'fast' } = {}) => (stopped ??= stopOnce(mode));
  return {
    connection,
    url: connectionUrl(connection),
    get pid() {
      return supervised.pid();
    },
    owned: true,
    stop,
    [Symbol.asyncDispose]: () => stop(),
  };
}

function sharedServer(file: ConnectionFile, database: string = file.database): EmbeddedPostgres {
  const { host, port, user, password } = file;
  const connection = { host, port, user, password, database };
  const stop = async (): Promise<void> => {};
  return {
    connection,
    url: connectionUrl(connection),
    pid: file.postmasterPid ?? 0,
    owned: false,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
