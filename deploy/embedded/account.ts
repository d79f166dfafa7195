// Whose server it is. PostgreSQL refuses to run as root, so under root it runs as the user `postgres`, and every
// folder on the way to its binaries and data must let that user through.

import { execFileSync } from 'node:child_process';
import { existsSync, type Stats, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { EmbeddedPostgresError } from './errors.ts';

/** The user and group the server runs as; undefined means: the one we are. */
export type ServerAccount = { readonly uid: number; readonly gid: number };

export const isRoot = (): boolean => process.getuid?.() === 0;

/**
 * The account for a server whose data is in `cluster`: nobody else than we ourselves for an ordinary user, the
 * folder's owner when it is there already (so that data made by an ordinary user stays theirs), else `postgres`.
 */
export function serverAccount(cluster: string): ServerAccount | undefined {
  if (!isRoot()) return undefined;
  if (existsSync(cluster)) {
    const { uid, gid } = statSync(cluster);
    if (uid !== 0) return { uid, gid };
  }
  return lookUp() ?? create();
}

function lookUp(): ServerAccount | undefined {
  try {
    const id = (flag: string): number =>
      Number(
        execFileSync('id', [flag, 'postgres'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }),
      );
    return { uid: id('-u'), gid: id('-g') };
  } catch {
    return undefined;
  }
}

function create(): ServerAccount {
  let cause: unknown;
  try {
    // --user-group: a group of the same name, also where the system's default would be another.
    execFileSync('useradd', ['--system', '--user-group', '--no-create-home', 'postgres'], { stdio: 'pipe' });
  } catch (error) {
    cause = error;
  }
  // Looked up also after a failure: another process may have made it at the same time.
  const account = lookUp();
  if (account !== undefined) return account;
  throw new EmbeddedPostgresError(
    'account_unavailable',
    'PostgreSQL does not run as root, and no user named postgres could be made: run "useradd --system postgres", or start as an ordinary user.',
    { cause },
  );
}

/** The first folder on the way to `path` that `account` may not enter (or `path` itself if unreadable), if any. */
export function firstBarrier(path: string, account: ServerAccount | undefined): string | undefined {
  if (account === undefined) return undefined;
  const steps: string[] = [];
  for (let step = path; ; step = dirname(step)) {
    steps.unshift(step);
    if (step === dirname(step)) break;
  }
  return steps.find((step) => existsSync(step) && !mayEnter(statSync(step), account));
}

function mayEnter(stats: Stats, account: ServerAccount): boolean {
  const shift = stats.uid === account.uid ? 6 : stats.gid === account.gid ? 3 : 0;
  const needed = stats.isDirectory() ? 0o1 : 0o4;
  return ((stats.mode >> shift) & needed) === needed;
}
