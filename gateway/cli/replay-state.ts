// How far a replay came, kept in a folder: written whole or not at all, so that even a killed one goes on.
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ReplayState } from '#replay-harness/replay.ts';
import { CliError } from './exit.ts';

const STATE = 'replay.json';

export const stateFolder = async (folder: string): Promise<string> => {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  return folder;
};

export const readState = async (folder: string): Promise<ReplayState | undefined> => {
  try {
    return JSON.parse(await readFile(join(folder, STATE), 'utf8')) as ReplayState;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new CliError(
      'usage',
      'state-unusable',
      `${join(folder, STATE)} cannot be gone on from: remove ${folder} to begin anew`,
      { cause },
    );
  }
};

export const writeState = async (folder: string, state: ReplayState): Promise<void> => {
  await writeFile(join(folder, `${STATE}.new`), JSON.stringify(state));
  await rename(join(folder, `${STATE}.new`), join(folder, STATE));
};
