// A running PostgreSQL as its own files tell of it: `postmaster.pid` says who runs, since when, and whether it is
// ready; a crash leaves the file behind, and the pid in it may belong to another program by now.

import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { processIdentity } from '../lock.mjs';

/** `fast` ends sessions and writes a checkpoint; `immediate` ends at once and recovers from the log at next start. */
export type StopMode = 'fast' | 'immediate';

export type Postmaster = { readonly pid: number; readonly ready: boolean };

const POLL_MS = 15;

/** What `postmaster.pid` says, true or not. Lines: 1 pid, 2 data folder, 3 start, 4 port, ... 8 status. */
export function readPidFile(cluster: string): Postmaster | undefined {
  let lines: string[];
  try {
    lines = readFileSync(join(cluster, 'postmaster.pid'), 'utf8').split('\n');
  } catch {
    return undefined;
  }
  const pid = Number(lines[0]);
  return Number.isInteger(pid) && pid > 0 ? { pid, ready: lines[7]?.trim() === 'ready' } : undefined;
}

/** The postmaster that runs on `cluster` now; a pid that another program got meanwhile does not count. */
export function livePostmaster(cluster: string): Postmaster | undefined {
  const found = readPidFile(cluster);
  if (found === undefined || processIdentity(found.pid) === undefined) return undefined;
  return isPostgresOn(found.pid, cluster) ? found : undefined;
}

function isPostgresOn(pid: number, cluster: string): boolean {
  const ask = (program: string, ...args: string[]): string =>
    execFileSync(program, args, { encoding: 'utf8' });
  try {
    if (process.platform === 'linux')
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(cluster);
    if (process.platform === 'win32')
      return ask('tasklist', '/NH', '/FI', `PID eq ${pid}`).includes('postgres.exe');
    return ask('ps', '-ww', '-o', 'command=', '-p', String(pid)).includes(cluster);
  } catch {
    return false;
  }
}

/**
 * PostgreSQL itself refuses to start when the pid in the file is alive under the same user, whatever program that is.
 * Call only when `livePostmaster` found none: its backends that outlived it are still detected, by shared memory.
 */
export function removeStalePidFile(cluster: string): boolean {
  const stale = readPidFile(cluster) !== undefined;
  rmSync(join(cluster, 'postmaster.pid'), { force: true });
  return stale;
}

/** Waits until `pid` runs no more; false when it still does after `withinMs`. */
export async function waitForEnd(pid: number, withinMs: number): Promise<boolean> {
  const identity = processIdentity(pid);
  for (const end = Date.now() + withinMs; identity !== undefined; await sleep(POLL_MS)) {
    if (processIdentity(pid) !== identity) return true;
    if (Date.now() >= end) return false;
  }
  return true;
}

export type StopOptions = {
  readonly cluster: string;
  readonly pid: number;
  readonly pgCtl: string;
  readonly mode: StopMode;
  /** How long each step may take before the next, harder one. */
  readonly deadlineMs: number;
};

/** Stops a postmaster: fast, then immediate, then by the kernel. Resolves when it is gone. */
export async function stopPostmaster(options: StopOptions): Promise<void> {
  const steps: readonly (StopMode | 'kill')[] =
    options.mode === 'fast' ? ['fast', 'immediate', 'kill'] : ['immediate', 'kill'];
  for (const step of steps) {
    ask(options, step);
    if (await waitForEnd(options.pid, options.deadlineMs)) return;
  }
}

const signals = { fast: 'SIGINT', immediate: 'SIGQUIT', kill: 'SIGKILL' } as const;

function ask({ cluster, pid, pgCtl }: StopOptions, step: StopMode | 'kill'): void {
  try {
    // Windows has no such signals; pg_ctl speaks to the server through a pipe of its own.
    if (process.platform === 'win32' && step !== 'kill')
      execFileSync(pgCtl, ['stop', '-D', cluster, '-m', step, '--no-wait']);
    else process.kill(pid, signals[step]);
  } catch {
    // Gone between the look and the signal: waitForEnd sees it.
  }
}

/** Resolves when the server accepts connections; false when `hasEnded` turns true or time is up first. */
export async function waitUntilReady(
  cluster: string,
  pid: number,
  hasEnded: () => boolean,
  withinMs: number,
): Promise<boolean> {
  for (const end = Date.now() + withinMs; Date.now() < end; await sleep(POLL_MS)) {
    if (hasEnded()) return false;
    const found = readPidFile(cluster);
    if (found?.pid === pid && found.ready) return true;
  }
  return false;
}
