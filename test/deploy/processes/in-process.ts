// Runs commands as the program does, without a process around each: starting one costs most of a second. What a process
// does as one (signals, exit, memory, what stays open) is asked of a process (program.ts).
import { Readable } from 'node:stream';
import { commandLine } from '#deploy/processes/command-line.ts';
import { type Ended, inherited, type ProgramOptions } from './program.ts';

export const inProcess = async (args: readonly string[], { env, input }: ProgramOptions): Promise<Ended> => {
  const said = { stdout: '', stderr: '' };
  const code = await commandLine({
    argv: args,
    env: { ...inherited(), ...env },
    stdin: Readable.from(input === undefined ? [] : [input]),
    stdout: { write: (text) => (said.stdout += text) !== '' },
    stderr: { write: (text) => (said.stderr += text) !== '' },
    signal: new AbortController().signal,
  });
  return { code, ...said };
};
