// The package as users get it: built once a run, and laid where an import of it is found.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildSdk } from '#deploy/sdk/build.ts';

export const PROJECT = fileURLToPath(new URL('../../..', import.meta.url)).replace(/[\\/]$/, '');

let made: Promise<Package> | undefined;

export interface Package {
  /** A program here imports `@prov-ledger/sdk`, express, fastify and OpenFeature. */
  readonly home: string;
  /** The package itself. */
  readonly folder: string;
}

export const builtPackage = (): Promise<Package> => (made ??= make());

const make = async (): Promise<Package> => {
  const home = mkdtempSync(join(tmpdir(), 'prov-ledger-sdk-'));
  process.once('exit', () => rmSync(home, { recursive: true, force: true }));
  const folder = join(home, 'node_modules/@prov-ledger/sdk');
  await buildSdk(folder);
  mkdirSync(join(home, 'node_modules/@openfeature'));
  for (const name of ['express', 'fastify', '@openfeature/core', '@openfeature/server-sdk'])
    symlinkSync(join(PROJECT, 'node_modules', name), join(home, 'node_modules', name), 'junction');
  mkdirSync(join(home, 'work'));
  return { home, folder };
};
