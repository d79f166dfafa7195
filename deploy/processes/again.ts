// The program once more, in a process of its own with another environment: a time zone and a locale are set for a whole
// process, when it starts.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import type { RanAgain } from '#gateway/cli/world.ts';

export interface AgainOptions {
  readonly environment: NodeJS.ProcessEnv;
  /** Ends it. */
  readonly signal: AbortSignal;
}

const PROGRAM = fileURLToPath(new URL('cli.ts', import.meta.url));

export const runAgain = async (
  args: readonly string[],
  { environment, signal }: AgainOptions,
): Promise<RanAgain> => {
  const child = spawn(process.execPath, [...process.execArgv, PROGRAM, ...args], {
    env: environment,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const stop = (): boolean => child.kill('SIGTERM');
  signal.addEventListener('abort', stop, { once: true });
  try {
    const ended = once(child, 'close') as Promise<[number | null]>;
    const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
    return { code, stdout, stderr };
  } finally {
    signal.removeEventListener('abort', stop);
  }
};
