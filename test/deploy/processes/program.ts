// Runs the project's programs as a user does: a process of its own, its output read, ctrl-C as a signal.
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const PROJECT = fileURLToPath(new URL('../../..', import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Program {
  readonly child: ChildProcess;
  /** Resolves when standard output or standard error has it; rejects when the program ends before. */
  readonly says: (wanted: string | RegExp) => Promise<RegExpMatchArray>;
  readonly ended: Promise<Ended>;
}

export interface ProgramOptions {
  readonly env: { readonly [name: string]: string };
  readonly input?: string;
}

const live = new Set<Program>();

/** For `after`: whatever a failed test left running. */
export const endAll = async (): Promise<void> => {
  for (const { child, ended } of live) {
    child.kill('SIGTERM');
    await ended;
  }
};

/** The environment, without the ledger that somebody has configured in it. */
export const inherited = (): NodeJS.ProcessEnv =>
  Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => name !== 'DATABASE_URL' && !name.startsWith('PROV_LEDGER_'),
    ),
  );

/** `script` is one of deploy/processes. */
export const start = (script: string, args: readonly string[], { env, input }: ProgramOptions): Program => {
  const child = spawn(process.execPath, [join(PROJECT, 'deploy/processes', script), ...args], {
    cwd: PROJECT,
    env: { ...inherited(), ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  const watchers = new Set<() => void>();
  const onText = (): void => {
    for (const watcher of watchers) watcher();
  };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    onText();
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
    onText();
  });
  // A program that does not read its input may end before it was written.
  child.stdin.on('error', () => undefined);
  child.stdin.end(input ?? '');
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, stdout, stderr }));
  });
  const says: Program['says'] = (wanted) =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        const match = `${stdout}\n${stderr}`.match(wanted);
        if (!match) return;
        watchers.delete(look);
        resolve(match);
      };
      watchers.add(look);
      look();
      ended.then(() => reject(new Error(`ended without saying ${wanted}:\n${stdout}\n${stderr}`)), reject);
    });
  const program = { child, says, ended };
  live.add(program);
  void ended.finally(() => live.delete(program)).catch(() => undefined);
  return program;
};

export const run = async (script: string, args: readonly string[], options: ProgramOptions): Promise<Ended> =>
  await start(script, args, options).ended;

/** A data folder that the embedded server's user may enter, also when we are root. */
export const dataFolder = (): string => {
  const folder = mkdtempSync(join(tmpdir(), 'prov-ledger-process-'));
  chmodSync(folder, 0o711);
  return join(folder, 'data');
};
