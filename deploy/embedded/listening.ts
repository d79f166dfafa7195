// Where the server listens: a Unix socket in a private folder, and loopback TCP for the user's own SQL tools.

import { chownSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { ServerAccount } from './account.ts';
import { readConnectionFile } from './connection.ts';
import { type ServerPlan, type Supervised, supervise } from './supervisor.ts';

const SETTINGS: Readonly<Record<string, string>> = {
  listen_addresses: '127.0.0.1',
  max_connections: '100',
  shared_buffers: '256MB',
  min_wal_size: '4GB',
  max_wal_size: '8GB',
  wal_compression: 'off',
  fsync: 'on',
  synchronous_commit: 'on',
  jit: 'off',
  timezone: 'UTC',
  log_timezone: 'UTC',
};

export type Listening = {
  /** Undefined where there are no Unix sockets. */
  readonly socketDir: string | undefined;
  /** The port to take when it is free: the one of the last start, which people may have noted. */
  readonly port: number | undefined;
  readonly settings: Readonly<Record<string, string>> | undefined;
};

// The port can be taken between our look and PostgreSQL's bind: then another one.
export async function startOnFreePort(
  base: Omit<ServerPlan, 'args'>,
  listening: Listening,
): Promise<{ supervised: Supervised; port: number }> {
  for (let attempt = 1; ; attempt += 1) {
    const port = await freePort(attempt === 1 ? listening.port : undefined);
    const directories =
      listening.socketDir === undefined ? '' : `"${listening.socketDir.replaceAll('"', '""')}"`;
    const settings = {
      ...SETTINGS,
      unix_socket_directories: directories,
      ...listening.settings,
      port: String(port),
    };
    const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    try {
      return { supervised: await supervise({ ...base, args }), port };
    } catch (error) {
      if (attempt === 5 || !(error as Error).message.includes('TCP/IP sockets')) throw error;
    }
  }
}

// Below 32768: a client that redials a dead port of the ephemeral range can connect to itself.
async function freePort(preferred: number | undefined): Promise<number> {
  for (let port = preferred ?? anyPort(); ; port = anyPort()) {
    if (await isFree(port)) return port;
  }
}

const anyPort = (): number => 20_000 + Math.floor(Math.random() * 12_000);

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen({ port, host: '127.0.0.1', exclusive: true }, () => probe.close(() => resolve(true)));
  });
}

// sockaddr_un holds 107 bytes on Linux and 103 on macOS, with the file name.
const SOCKET_PATH_BYTES_MAX = 103;

/** An empty folder for the server's socket that only its own user may enter; undefined where there are none. */
export function socketFolder(dataDir: string, account: ServerAccount | undefined): string | undefined {
  if (process.platform === 'win32') return undefined;
  removeEarlier(dataDir);
  const folder = makeFolder(join(dataDir, 'run'));
  if (account !== undefined) chownSync(folder, account.uid, account.gid);
  return folder;
}

function makeFolder(beside: string): string {
  if (fits(beside)) {
    rmSync(beside, { recursive: true, force: true });
    mkdirSync(beside, { mode: 0o700 });
    return beside;
  }
  // A random name: in a folder that all share, a fixed one could be somebody else's already.
  const base = [tmpdir(), '/tmp'].find((folder) => fits(join(folder, `${FAR_PREFIX}XXXXXX`))) ?? '/tmp';
  return mkdtempSync(join(base, FAR_PREFIX));
}

const FAR_PREFIX = 'prov-ledger-';

const fits = (folder: string): boolean =>
  Buffer.byteLength(join(folder, '.s.PGSQL.65535')) <= SOCKET_PATH_BYTES_MAX;

// What a killed owner left in the shared temporary folder.
function removeEarlier(dataDir: string): void {
  const earlier = readConnectionFile(dataDir)?.host;
  if (earlier !== undefined && basename(earlier).startsWith(FAR_PREFIX))
    rmSync(earlier, { recursive: true, force: true });
}
