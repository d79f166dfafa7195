// One Java program of the developer's pair: started, waited for, ended, and killed when a test wants it.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { PartsFault } from './parts.ts';

export interface JavaProcess extends AsyncDisposable {
  readonly pid: number;
  /** Orderly, then by force after ten seconds. */
  readonly stop: () => Promise<void>;
  /** As a power cut would end it. */
  readonly kill: () => Promise<void>;
}

export interface JavaProgram {
  readonly name: string;
  readonly args: readonly string[];
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** True once the program answers. */
  readonly isReady: () => Promise<boolean>;
}

/** A program that can end and start again on the same address and data. */
export interface JavaServer extends AsyncDisposable {
  readonly pid: () => number;
  readonly stop: () => Promise<void>;
  readonly kill: () => Promise<void>;
  /** After `stop` or `kill`. */
  readonly restart: () => Promise<void>;
}

/** Small and quick to start: for tests and developers, not for throughput. */
export const QUICK = ['-Xmx512m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'];

/** Seconds, unless the machine does a great deal else: one that ends is noticed at once. */
const READY_WITHIN_MS = 180_000;

/** Starts it and waits until it answers. Throws `PartsFault` with its last words when it ends before that. */
export const startJava = async ({ name, args, cwd, env, isReady }: JavaProgram): Promise<JavaProcess> => {
  const child = spawn('java', [...QUICK, ...args], {
    ...(cwd !== undefined && { cwd }),
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-4_000);
    });
  }
  const ended = once(child, 'exit');
  const deadline = Date.now() + READY_WITHIN_MS;
  const onExit = (): void => void child.kill('SIGKILL');
  process.once('exit', onExit);
  while (!(await isReady())) {
    if (child.exitCode !== null || Date.now() > deadline) {
      child.kill('SIGKILL');
      process.off('exit', onExit);
      throw new PartsFault('not-started', `${name} did not start: ${said.trim().slice(-1_000)}`);
    }
    await pause(50);
  }
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    process.off('exit', onExit);
    await endChild(child, ended, signal);
  };
  return {
    pid: child.pid as number,
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
    [Symbol.asyncDispose]: () => end('SIGTERM'),
  };
};

/** Starts it as `startJava` does, and again as often as asked. Throws `PartsFault`. */
export const startJavaServer = async (program: JavaProgram): Promise<JavaServer> => {
  let running = await startJava(program);
  return {
    pid: () => running.pid,
    stop: () => running.stop(),
    kill: () => running.kill(),
    restart: async () => {
      running = await startJava(program);
    },
    [Symbol.asyncDispose]: () => running.stop(),
  };
};

const endChild = async (
  child: ChildProcess,
  ended: Promise<unknown>,
  signal: NodeJS.Signals,
): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return;
  // A stopped process takes no SIGTERM.
  child.kill('SIGCONT');
  child.kill(signal);
  const force = setTimeout(() => child.kill('SIGKILL'), 10_000);
  await ended;
  clearTimeout(force);
};

/**
 * A free port below those that the system hands out by itself: a client that redials a dead port of that range can be
 * given that very port as its own, and then talks to itself.
 */
export const freePort = async (): Promise<number> => {
  for (;;) {
    const port = 15_000 + Math.floor(Math.random() * 17_000);
    const server = createServer().listen(port, '127.0.0.1');
    const free = await Promise.race([
      once(server, 'listening').then(() => true),
      once(server, 'error').then(() => false),
    ]);
    server.close();
    if (free) return port;
  }
};
