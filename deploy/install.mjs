// Brings node_modules to what package-lock.json says. Plain JavaScript: runs on any Node >= 20.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { tryLock } from './lock.mjs';

/** A failure that the user can act on; printed as one line. */
export class LaunchError extends Error {}

const STAMP = '.prov-ledger-installed';
const LOCK_POLL_MS = 250;

/** Installs when node_modules is missing or stale. Of several processes at once, one installs and the others wait. */
export async function install(project) {
  for (let told = false; !isInstalled(project); told = true) {
    const lock = tryLock(lockFolder(project), 'install');
    if (lock.held) {
      try {
        if (!isInstalled(project)) runNpm(project);
      } finally {
        lock.release();
      }
      return;
    }
    if (!told)
      console.error(`prov-ledger: process ${lock.holder.pid} is installing the packages, waiting for it`);
    await sleep(LOCK_POLL_MS);
  }
}

// Outside the project: npm empties node_modules, and the tree stays clean.
function lockFolder(project) {
  const hash = createHash('sha256').update(project).digest('hex').slice(0, 16);
  return join(tmpdir(), `prov-ledger-install-${process.getuid?.() ?? 'user'}-${hash}`);
}

/**
 * Whether node_modules holds what the lock file asks for: by our own stamp, or by the record npm leaves in there
 * (somebody ran npm by hand). Optional packages count where they fit this machine: a folder that a Mac shares with
 * a Linux container holds the binaries of one of them.
 */
export function isInstalled(project) {
  try {
    if (readFileSync(join(project, 'node_modules', STAMP), 'utf8') === wantedStamp(project)) return true;
  } catch {
    // No stamp, or not readable: npm's record decides.
  }
  try {
    return agrees(project);
  } catch {
    return false;
  }
}

function wantedStamp(project) {
  const hash = createHash('sha256').update(JSON.stringify(askedFor(readJson(project, 'package.json'))));
  const lock = join(project, 'package-lock.json');
  if (existsSync(lock)) hash.update(readFileSync(lock));
  return `${process.platform}-${process.arch} ${hash.digest('hex')}\n`;
}

function agrees(project) {
  const wanted = readJson(project, 'package-lock.json').packages;
  const found = readJson(project, 'node_modules/.package-lock.json').packages;
  if (!isDeepStrictEqual(askedFor(readJson(project, 'package.json')), askedFor(wanted['']))) return false;
  return Object.entries(wanted).every(([path, entry]) => {
    if (path === '') return true;
    if (found[path] === undefined) return entry.optional === true && !fits(entry);
    return found[path].version === entry.version && found[path].integrity === entry.integrity;
  });
}

// A changed script or tool setting in package.json is no reason to install again.
function askedFor({ dependencies = {}, devDependencies = {}, optionalDependencies = {} }) {
  return { dependencies, devDependencies, optionalDependencies };
}

// Entries bound to one C library fit only where that library is; which one is here does not matter enough to find out.
function fits({ os, cpu, libc }) {
  return (
    libc === undefined &&
    (os ?? [process.platform]).includes(process.platform) &&
    (cpu ?? [process.arch]).includes(process.arch)
  );
}

function readJson(project, file) {
  return JSON.parse(readFileSync(join(project, file), 'utf8'));
}

const FAILED =
  'npm could not install the packages (its messages are above): check the network and who owns the folder, then try again.';

function runNpm(project) {
  console.error('prov-ledger: installing packages (first start, or the list of packages changed)');
  // A production setting or a user's `omit` would leave out the Node and the PostgreSQL that everything runs on.
  const flags = ['--include=optional', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'];
  // `ci` refuses a lock file that lacks the optional packages of other platforms (written where the registry had none of
  // them); `install --no-save` takes what the lock file names, adds this platform's, and writes nothing back.
  const done =
    (namesAllPlatforms(project) && npm(project, ['ci', ...flags], 'ignore')) ||
    npm(project, ['install', '--no-save', ...flags], 2);
  if (!done) throw new LaunchError(FAILED);
  const stamp = join(project, 'node_modules', STAMP);
  writeFileSync(`${stamp}.draft`, wantedStamp(project));
  renameSync(`${stamp}.draft`, stamp);
}

function namesAllPlatforms(project) {
  try {
    const { packages } = readJson(project, 'package-lock.json');
    const named = new Set(Object.keys(packages).map((path) => path.split('node_modules/').at(-1)));
    return Object.values(packages).every(({ optionalDependencies = {} }) =>
      Object.keys(optionalDependencies).every((name) => named.has(name)),
    );
  } catch {
    // No lock file, or none that can be read: npm says what it thinks of it.
    return true;
  }
}

function npm(project, args, output) {
  const options = { cwd: project, stdio: ['ignore', output, output] };
  // The npm that runs us, if one does; the shell finds npm.cmd on Windows.
  const script = process.env.npm_execpath;
  const done =
    script !== undefined && /npm-cli\.c?js$/.test(script) && existsSync(script)
      ? spawnSync(process.execPath, [script, ...args], options)
      : spawnSync('npm', args, { ...options, shell: process.platform === 'win32' });
  if (done.error?.code === 'ENOENT') {
    throw new LaunchError(
      'npm is not on the PATH: install Node together with npm, or run "npm ci" yourself.',
    );
  }
  if (done.error !== undefined) throw new LaunchError(`npm could not be run: ${done.error.message}`);
  if (done.signal !== null) throw new LaunchError(`npm was ended by ${done.signal}.`);
  return done.status === 0;
}
