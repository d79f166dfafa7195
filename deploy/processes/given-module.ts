// A module that the user names by its file: it is run with all that this process may do.
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { CliError } from '#gateway/cli/exit.ts';

/** What it exports. Throws `CliError`: `no-such-module`. */
export const givenModule = async (file: string): Promise<readonly unknown[]> => {
  const path = resolve(file);
  try {
    return Object.values((await import(pathToFileURL(path).href)) as object);
  } catch (error) {
    throw new CliError('usage', 'no-such-module', `${path} cannot be loaded: ${(error as Error).message}`, {
      cause: error,
    });
  }
};
