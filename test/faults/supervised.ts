// Processes of one kind that are started again when they could not start, as a supervisor does, and replaced when a test
// kills one.
import { setTimeout as pause } from 'node:timers/promises';
import { type Program, start } from '#test/deploy/processes/program.ts';

export interface Supervised extends AsyncDisposable {
  /** Processes that came or left. */
  readonly changes: () => number;
  /** Ends one of them, and starts another in its place. */
  readonly replace: (index: number, signal: NodeJS.Signals) => Promise<void>;
  readonly members: number;
  /** Times that any of them, those that are gone too, has said it on standard error. */
  readonly said: (text: string) => number;
  /** Throws when one of them has ended by itself. */
  readonly alive: () => Promise<void>;
  /** The last lines on standard error of those that run. */
  readonly lastWords: () => string;
}

export interface SupervisedOptions {
  readonly command: string;
  readonly members: number;
  readonly env: Readonly<Record<string, string>>;
  /** What is counted of what they say. */
  readonly heard?: readonly string[];
}

/** A database that recovers ends a process that starts on it with this: its supervisor starts it again. */
const UNAVAILABLE = 3;
const AGAIN_MS = 500;
const ENDS_WITHIN_MS = 90_000;
const LAST_LINES = 12;

export const supervise = ({ command, members: count, env, heard = [] }: SupervisedOptions): Supervised => {
  const members: Program[] = [];
  const ending = new Set<Program>();
  const words: string[][] = [];
  const counts = new Map(heard.map((text) => [text, 0]));
  let changes = 0;
  const keep = (index: number): void => {
    const program = start('cli.ts', [command], { env });
    changes += 1;
    members[index] = program;
    const last: string[] = [];
    words[index] = last;
    let line = '';
    program.child.stderr?.on('data', (text: string) => {
      const lines = (line + text).split('\n');
      line = lines.pop() ?? '';
      last.push(...lines);
      last.splice(0, last.length - LAST_LINES);
      for (const each of lines)
        for (const [wanted, times] of counts) if (each.includes(wanted)) counts.set(wanted, times + 1);
    });
    void program.ended.then(async ({ code }) => {
      if (code !== UNAVAILABLE || ending.has(program)) return;
      await pause(AGAIN_MS);
      if (!ending.has(program)) keep(index);
    });
  };
  for (let member = 0; member < count; member += 1) keep(member);
  const end = async (index: number, signal: NodeJS.Signals): Promise<void> => {
    const member = members[index] as Program;
    ending.add(member);
    changes += 1;
    member.child.kill(signal);
    const late = pause(ENDS_WITHIN_MS, 'late' as const, { ref: false });
    if ((await Promise.race([member.ended, late])) !== 'late') return;
    member.child.kill('SIGKILL');
    throw new Error(`${command} had not ended a minute and a half after ${signal}`);
  };
  return {
    members: count,
    changes: () => changes,
    lastWords: () => words.map((lines, index) => [`${command} ${index}:`, ...lines].join('\n  ')).join('\n'),
    said: (text) => counts.get(text) ?? 0,
    replace: async (index, signal) => {
      await end(index, signal);
      keep(index);
    },
    alive: async () => {
      for (const { child, ended } of members)
        if (child.exitCode !== null && child.exitCode !== UNAVAILABLE)
          throw new Error(`${command} ended: ${(await ended).stderr.slice(-2_000)}`);
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all(members.map((_, index) => end(index, 'SIGKILL')));
    },
  };
};
