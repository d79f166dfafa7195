// The data folder: what lies where in it, and how a cluster comes into being whole or not at all.
//
//   <dataDir>/postgres-18/       the cluster (PGDATA), owned by the account the server runs as
//   <dataDir>/owner.<n>          which prov-ledger process runs it (deploy/lock.mjs)
//   <dataDir>/connection.json    how to reach the running server, 0600
//   <dataDir>/server.log         what PostgreSQL says

import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  closeSync,
  cpSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { firstBarrier, isRoot, type ServerAccount } from './account.ts';
import type { Binaries } from './binaries.ts';
import { EmbeddedPostgresError } from './errors.ts';

/** Kept inside the cluster, so that it lives, moves and dies with it. */
export type Credentials = {
  readonly user: string;
  readonly password: string;
  readonly databases: readonly string[];
};

export type ClusterRequest = {
  readonly dataDir: string;
  readonly database: string;
  readonly binaries: Binaries;
  readonly account: ServerAccount | undefined;
  /** A finished cluster to copy instead of running `initdb` (tests: a tenth of the time). */
  readonly template?: string | undefined;
};

const CREDENTIALS = 'prov-ledger.json';
const SUPERUSER = 'prov_ledger';

export const clusterFolder = (dataDir: string, major: string): string => join(dataDir, `postgres-${major}`);

/**
 * Where a project keeps its data: `<project>/.data`. Under root in a place that the server's user cannot enter
 * (a clone in /root): /var/lib/prov-ledger/<hash of the project's path>.
 */
export function defaultDataDir(projectDir: string, account: ServerAccount | undefined): string {
  const beside = join(projectDir, '.data');
  if (!isRoot() || firstBarrier(projectDir, account) === undefined) return beside;
  const hash = createHash('sha256').update(projectDir).digest('hex').slice(0, 16);
  return join('/var/lib/prov-ledger', hash);
}

/** Makes the data folder when it is missing, and says in one line why the server could not use it. */
export function prepareDataDir(dataDir: string, account: ServerAccount | undefined): void {
  try {
    // Under root the server is another user, who must pass through; the cluster inside is closed to others.
    mkdirSync(dataDir, { recursive: true, mode: account === undefined ? 0o700 : 0o711 });
  } catch (cause) {
    throw new EmbeddedPostgresError(
      'folder_unreachable',
      `The data folder ${dataDir} cannot be made: choose another one.`,
      { cause },
    );
  }
  const barrier = firstBarrier(dataDir, account);
  if (barrier !== undefined) {
    throw new EmbeddedPostgresError(
      'folder_unreachable',
      `The server runs as another user than root, who may not enter ${barrier}: choose a data folder outside it, or run "chmod o+x ${barrier}".`,
    );
  }
  const owner = statSync(dataDir).uid;
  const self = process.getuid?.() ?? owner;
  if (self !== 0 && owner !== self) {
    throw new EmbeddedPostgresError(
      'folder_unreachable',
      `The data folder ${dataDir} belongs to another user (uid ${owner}): start as that user, or choose another data folder.`,
    );
  }
}

/** The cluster's folder and credentials; made when missing. Call only while holding the folder's lock. */
export function openCluster(request: ClusterRequest): { cluster: string; credentials: Credentials } {
  const { dataDir, binaries } = request;
  const cluster = clusterFolder(dataDir, binaries.major);
  refuseOtherVersion(dataDir, cluster);
  removeDrafts(dataDir);
  if (!existsSync(cluster)) build(request, cluster);
  const credentials = JSON.parse(readFileSync(join(cluster, CREDENTIALS), 'utf8')) as Credentials;
  return { cluster, credentials };
}

/** Makes `database` when the cluster has none of that name. Only while no server runs on the cluster. */
export function ensureDatabase(cluster: string, credentials: Credentials, request: ClusterRequest): void {
  if (credentials.databases.includes(request.database)) return;
  createDatabase(cluster, request);
  writeCredentials(
    cluster,
    { ...credentials, databases: [...credentials.databases, request.database] },
    request,
  );
}

function refuseOtherVersion(dataDir: string, cluster: string): void {
  if (existsSync(cluster)) return;
  const other = readdirSync(dataDir).find((name) => /^postgres-\d+$/.test(name));
  if (other === undefined) return;
  throw new EmbeddedPostgresError(
    'other_version',
    `${dataDir} holds ${other}, this release runs ${basename(cluster)}: export with the release that made it, or choose another data folder.`,
  );
}

const draftPattern = /^postgres-\d+\.draft/;

function removeDrafts(dataDir: string): void {
  for (const name of readdirSync(dataDir).filter((entry) => draftPattern.test(entry))) {
    rmSync(join(dataDir, name), { recursive: true, force: true, maxRetries: 5 });
  }
}

// A kill at any line before the rename leaves a draft, which the next start removes: never half a cluster.
// Each draft has a name of its own: an initdb that outlived its killed parent, finding its folder gone, empties it.
function build(request: ClusterRequest, cluster: string): void {
  const draft = `${cluster}.draft-${randomBytes(6).toString('hex')}`;
  try {
    if (request.template === undefined) initialise(draft, request);
    else copyTemplate(request.template, draft, request);
  } catch (cause) {
    removeDrafts(request.dataDir);
    const said =
      (cause as { stderr?: string }).stderr?.trim().split('\n').slice(-3).join(' | ') ?? String(cause);
    throw new EmbeddedPostgresError('init_failed', `initdb failed in ${request.dataDir}: ${said}`, { cause });
  }
  renameSync(draft, cluster);
  sync(dirname(cluster));
  // An initdb that outlived its killed parent may have written a file more after its folder was emptied.
  removeDrafts(request.dataDir);
}

function initialise(draft: string, request: ClusterRequest): void {
  const credentials = { user: SUPERUSER, password: randomBytes(24).toString('base64url'), databases: [] };
  mkdirSync(draft, { mode: 0o700 });
  give(draft, request.account);
  const passwordFile = `${draft}.password`;
  try {
    writeFileSync(passwordFile, `${credentials.password}\n`, { mode: 0o600 });
    give(passwordFile, request.account);
    run(request.binaries.initdb, request.account, [
      `--pgdata=${draft}`,
      `--username=${SUPERUSER}`,
      `--pwfile=${passwordFile}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      '--locale=C',
    ]);
  } finally {
    rmSync(passwordFile, { force: true });
  }
  createDatabase(draft, request);
  writeCredentials(draft, { ...credentials, databases: [request.database] }, request);
}

function copyTemplate(template: string, draft: string, { account }: ClusterRequest): void {
  cpSync(template, draft, { recursive: true, mode: 0 });
  chmodSync(draft, 0o700);
  if (account === undefined) return;
  for (const entry of readdirSync(draft, { recursive: true })) give(join(draft, String(entry)), account);
  give(draft, account);
}

// In single-user mode: no server, no port, no password, and no database driver in this room.
function createDatabase(cluster: string, request: ClusterRequest): void {
  const name = `"${request.database.replaceAll('"', '""')}"`;
  run(
    request.binaries.postgres,
    request.account,
    ['--single', '-D', cluster, 'postgres'],
    `CREATE DATABASE ${name}\n`,
  );
}

function writeCredentials(cluster: string, credentials: Credentials, request: ClusterRequest): void {
  const file = join(cluster, CREDENTIALS);
  writeFileSync(`${file}.draft`, `${JSON.stringify(credentials)}\n`, { mode: 0o600 });
  give(`${file}.draft`, request.account);
  sync(`${file}.draft`);
  renameSync(`${file}.draft`, file);
}

function run(program: string, account: ServerAccount | undefined, args: readonly string[], input = ''): void {
  execFileSync(program, args, {
    ...account,
    input,
    env: serverEnvironment(),
    cwd: '/',
    stdio: 'pipe',
    encoding: 'utf8',
  });
}

/** Ours without what would steer PostgreSQL behind our back (PGDATA, PGPORT, PGOPTIONS...), in plain English and UTC. */
export function serverEnvironment(): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !/^(PG|LC_|NODE_|npm_)/.test(name));
  return { ...Object.fromEntries(own), LANG: 'C', LC_ALL: 'C', TZ: 'UTC' };
}

function give(path: string, account: ServerAccount | undefined): void {
  if (account !== undefined) chownSync(path, account.uid, account.gid);
}

function sync(path: string): void {
  if (process.platform === 'win32') return;
  const handle = openSync(path, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
