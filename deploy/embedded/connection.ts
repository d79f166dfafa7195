// How to reach the server, for us and for other processes of the same user.

import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** `host` is the folder of a Unix socket where there are any (it starts with `/`), else 127.0.0.1. */
export type Connection = {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
};

/** The connection as a URL that node-postgres and libpq read alike. */
export function connectionUrl(connection: Connection): string {
  const { host, port, user, password, database } = connection;
  const url = `postgresql://${encodeURIComponent(user)}:${encodeURIComponent(password)}@127.0.0.1:${port}/${encodeURIComponent(database)}`;
  return host.startsWith('/') ? `${url}?host=${encodeURIComponent(host)}` : url;
}

const CONNECTION_FILE = 'connection.json';

/**
 * `connection.json` in the data folder, 0600: written when the server is ready. It stays after a stop, without pids,
 * so that the next start can take the same port.
 */
export type ConnectionFile = Connection & {
  readonly ownerPid: number | undefined;
  readonly postmasterPid: number | undefined;
};

/** What the file says; undefined when there is none, or when it is not ours to read. */
export function readConnectionFile(dataDir: string): ConnectionFile | undefined {
  try {
    return JSON.parse(readFileSync(join(dataDir, CONNECTION_FILE), 'utf8')) as ConnectionFile;
  } catch {
    return undefined;
  }
}

/** Replaces the file in one step: a reader sees the old content or the new. */
export function writeConnectionFile(dataDir: string, content: ConnectionFile): void {
  const draft = join(dataDir, `.${CONNECTION_FILE}`);
  writeFileSync(draft, `${JSON.stringify(content, undefined, 2)}\n`, { mode: 0o600 });
  renameSync(draft, join(dataDir, CONNECTION_FILE));
}
