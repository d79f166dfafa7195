// One PostgreSQL child, kept running: started again when it ends without being asked to.

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, renameSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ServerAccount } from './account.ts';
import type { Binaries } from './binaries.ts';
import { serverEnvironment } from './cluster.ts';
import { EmbeddedPostgresError } from './errors.ts';
import {
  livePostmaster,
  removeStalePidFile,
  type StopMode,
  stopPostmaster,
  waitUntilReady,
} from './postmaster.ts';

/** What happened to the server, for a log line or a metric. */
export type ServerEvent =
  | { readonly type: 'started'; readonly pid: number; readonly tookMs: number }
  /** A server of a process that died ran on the folder; it was stopped. */
  | { readonly type: 'orphanStopped'; readonly pid: number }
  /** A crash had left `postmaster.pid` behind. */
  | { readonly type: 'staleLockRemoved' }
  | { readonly type: 'exited'; readonly code: number | null; readonly signal: string | null }
  | { readonly type: 'restartFailed'; readonly message: string; readonly retryInMs: number };

export type ServerPlan = {
  readonly cluster: string;
  readonly binaries: Binaries;
  readonly account: ServerAccount | undefined;
  /** Arguments after `-D <cluster>`. */
  readonly args: readonly string[];
  readonly logFile: string;
  readonly onEvent: (event: ServerEvent) => void;
};

export type Supervised = { pid: () => number; stop: (mode: StopMode) => Promise<void> };

// Long, because a start may have to replay all of max_wal_size after a crash.
const START_WITHIN_MS = 600_000;
const STOP_STEP_MS = 20_000;
const LOG_KEPT_BYTES = 16 * 1024 * 1024;
const BACKOFF_MS = { first: 100, last: 5_000 };

/** Starts the server, first clearing away what a killed one left, and restarts it whenever it ends by itself. */
export async function supervise(plan: ServerPlan): Promise<Supervised> {
  let child = await launch(plan);
  let stopping = false;
  let restarting: Promise<void> = Promise.resolve();

  const watch = (): void => {
    child.once('exit', (code, signal) => {
      if (stopping) return;
      plan.onEvent({ type: 'exited', code, signal });
      restarting = restart();
    });
  };
  const restart = async (): Promise<void> => {
    for (let wait = BACKOFF_MS.first; !stopping; wait = Math.min(wait * 2, BACKOFF_MS.last)) {
      try {
        child = await launch(plan);
        return watch();
      } catch (error) {
        plan.onEvent({ type: 'restartFailed', message: (error as Error).message, retryInMs: wait });
        await sleep(wait, undefined, { ref: false });
      }
    }
  };
  // The last line before our own end: the server shuts down by itself after this signal.
  const onExit = (): boolean => child.kill('SIGINT');
  process.once('exit', onExit);
  watch();

  return {
    pid: () => child.pid ?? 0,
    stop: async (mode) => {
      stopping = true;
      await restarting;
      process.off('exit', onExit);
      if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
      const { cluster, binaries } = plan;
      await stopPostmaster({
        cluster,
        pid: child.pid,
        pgCtl: binaries.pgCtl,
        mode,
        deadlineMs: STOP_STEP_MS,
      });
    },
  };
}

/** Stops what still runs on the cluster without an owner, and removes what a crash left. */
export async function clearLeftovers(plan: ServerPlan): Promise<void> {
  const orphan = livePostmaster(plan.cluster);
  if (orphan !== undefined) {
    const { cluster, binaries } = plan;
    await stopPostmaster({
      cluster,
      pid: orphan.pid,
      pgCtl: binaries.pgCtl,
      mode: 'fast',
      deadlineMs: STOP_STEP_MS,
    });
    plan.onEvent({ type: 'orphanStopped', pid: orphan.pid });
  }
  if (removeStalePidFile(plan.cluster)) plan.onEvent({ type: 'staleLockRemoved' });
}

async function launch(plan: ServerPlan): Promise<ChildProcess> {
  for (const end = performance.now() + START_WITHIN_MS; ; ) {
    await clearLeftovers(plan);
    const startedAt = performance.now();
    const logFrom = existsSync(plan.logFile) ? statSync(plan.logFile).size : 0;
    const child = spawnServer(plan);
    let ended = false;
    child.once('exit', () => (ended = true));
    child.once('error', () => (ended = true));
    if (await waitUntilReady(plan.cluster, child.pid ?? 0, () => ended, end - startedAt)) {
      plan.onEvent({ type: 'started', pid: child.pid ?? 0, tookMs: performance.now() - startedAt });
      return child;
    }
    child.kill('SIGQUIT');
    const said = readFileSync(plan.logFile, 'utf8').slice(logFrom).trim();
    // Sessions of a killed server hold its shared memory until they notice its death, a moment later.
    const lingering = said.includes('shared memory block') || said.includes('is still in use');
    if (lingering && performance.now() < end) await sleep(200);
    else throw startFailure(plan, ended, said);
  }
}

function startFailure(plan: ServerPlan, ended: boolean, said: string): EmbeddedPostgresError {
  const lines = said.split('\n').filter((line) => /FATAL|PANIC|ERROR|HINT|error/.test(line));
  const why = (lines.length > 0 ? lines : said.split('\n')).slice(-3).join(' | ');
  const what = ended
    ? 'PostgreSQL ended while starting'
    : `PostgreSQL was not ready within ${START_WITHIN_MS / 1000} s`;
  return new EmbeddedPostgresError(
    'start_failed',
    `${what}: ${why || 'it said nothing'} (log: ${plan.logFile})`,
  );
}

function spawnServer(plan: ServerPlan): ChildProcess {
  if (existsSync(plan.logFile) && statSync(plan.logFile).size > LOG_KEPT_BYTES)
    renameSync(plan.logFile, `${plan.logFile}.1`);
  const log = openSync(plan.logFile, 'a', 0o600);
  try {
    // A session of its own: ctrl-C in the terminal must reach us alone, who drain first and stop the server last.
    const child = spawn(plan.binaries.postgres, ['-D', plan.cluster, ...plan.args], {
      ...plan.account,
      cwd: '/',
      detached: true,
      env: serverEnvironment(),
      stdio: ['ignore', log, log],
      windowsHide: true,
    });
    child.unref();
    return child;
  } finally {
    closeSync(log);
  }
}
