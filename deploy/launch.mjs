// node deploy/launch.mjs <script or npm program> [arguments]
//
// Runs one of this project's programs on a machine that has nothing but some Node >= 20: installs what is missing, then
// runs the program under Node >= 24.15 (the host's own, else the one from the npm package node-<platform>-<arch>).
// Plain JavaScript without a dependency, because it runs before there are any.

import { execFileSync, spawn } from 'node:child_process';
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { delimiter, dirname, isAbsolute, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findNative, linkLibraries } from './embedded/native.mjs';
import { install, LaunchError } from './install.mjs';

const PROJECT = fileURLToPath(new URL('..', import.meta.url)).replace(/[\\/]$/, '');
const NODE_WANTED = [24, 15];
const NODE_LEAST = [20, 0];

/**
 * Prepares the project and runs `command` (a .ts or .mjs path of the project, or a program that npm installed);
 * the promise settles with the exit code the caller should end with.
 */
export async function launch(command, args, { project = PROJECT } = {}) {
  try {
    requireNode(process.versions.node, NODE_LEAST);
    await install(project);
    const native = findNative(project);
    if (native !== undefined) linkLibraries(native.folder);
    const cache = command === 'c8' ? {} : compileCache(project);
    return await run([findNode(project), ...QUIET, commandFile(project, command), ...args], cache);
  } catch (error) {
    if (!(error instanceof LaunchError)) throw error;
    console.error(`prov-ledger: ${error.message}`);
    return 1;
  }
}

/** Whether `version` ("24.15.1") is at least `least` ([24, 15]). */
export function isAtLeast(version, least) {
  const [major, minor] = version.split('.').map(Number);
  return major > least[0] || (major === least[0] && minor >= least[1]);
}

function requireNode(version, least) {
  if (isAtLeast(version, least)) return;
  throw new LaunchError(
    `Node ${version} is too old: install Node ${NODE_WANTED[0]} (20 is the least that works).`,
  );
}

// --- finding Node

/** The Node >= 24.15 to run under: this one, or the installed package's, or an error that says which to install. */
function findNode(project) {
  if (isAtLeast(process.versions.node, NODE_WANTED)) return process.execPath;
  const require = createRequire(join(project, 'package.json'));
  const suffix = process.platform === 'win32' ? '.exe' : '';
  const platform = process.platform === 'win32' ? 'win' : process.platform;
  for (const name of [`node-${platform}-${process.arch}`, `node-bin-${platform}-${process.arch}`]) {
    for (const modules of require.resolve.paths(name) ?? []) {
      const binary = join(modules, name, 'bin', `node${suffix}`);
      if (existsSync(binary) && runs(binary)) return binary;
    }
  }
  throw new LaunchError(
    `Node ${process.versions.node} is too old, and there is no Node package for ${process.platform}-${process.arch} (musl counts as another): install Node ${NODE_WANTED.join('.')} or later.`,
  );
}

function runs(binary) {
  try {
    return isAtLeast(execFileSync(binary, ['--version'], { encoding: 'utf8' }).slice(1), NODE_WANTED);
  } catch {
    return false;
  }
}

// --- running

function commandFile(project, command) {
  if (!/\.[mc]?[jt]s$/.test(command)) return programFile(project, command);
  const script = isAbsolute(command) ? command : resolve(project, command);
  if (!existsSync(script)) throw new LaunchError(`there is no ${script}.`);
  return script;
}

// node_modules/.bin holds shell scripts on Windows: the program's own file runs everywhere.
function programFile(project, program) {
  const name = PACKAGE_OF[program] ?? program;
  const folder = join(project, 'node_modules', ...name.split('/'));
  if (!existsSync(folder)) throw new LaunchError(`no installed package has a program called ${program}.`);
  const { bin } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  return join(folder, typeof bin === 'string' ? bin : bin[program]);
}

// kafkajs 2.2.4 sets a timer into the past whenever nothing waits for its broker, of which Node tells every user once.
const QUIET = ['--disable-warning=TimeoutNegativeWarning'];

const PACKAGE_OF = { biome: '@biomejs/biome', buf: '@bufbuild/buf', tsc: 'typescript' };

const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'];

// Types stripped and code compiled once, not at every start, which takes half as long then. It is beside the packages,
// whose owner alone can write there; nobody else's code is ever run from it. Coverage wants code compiled anew.
function compileCache(project) {
  const folder = join(project, 'node_modules', '.cache', 'prov-ledger', 'compiled');
  return { NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? folder };
}

function run([node, ...command], more) {
  const env = { ...process.env, ...more, npm_node_execpath: node, NODE: node };
  const pathName = Object.keys(env).find((name) => name.toUpperCase() === 'PATH') ?? 'PATH';
  env[pathName] = [dirname(node), env[pathName]].filter(Boolean).join(delimiter);
  const child = spawn(node, command, { stdio: 'inherit', env });
  return new Promise((done, failed) => {
    for (const signal of FORWARDED) {
      process.on(signal, () => {
        if (!(FROM_TERMINAL.has(signal) && isForeground())) child.kill(signal);
      });
    }
    child.once('error', failed);
    child.once('exit', (code, signal) => done(signal === null ? code : 128 + constants.signals[signal]));
  });
}

const FROM_TERMINAL = new Set(['SIGINT', 'SIGQUIT']);

// A terminal sends ctrl-C to its whole foreground group, so the child has it already; sent again it would read as the
// impatient second one.
function isForeground() {
  try {
    const stat =
      process.platform === 'linux'
        ? readFileSync('/proc/self/stat', 'utf8').replace(/^.*\) \S+ \d+ /s, '')
        : execFileSync('ps', ['-o', 'pgid=,sess=,tty=,tpgid=', '-p', String(process.pid)], {
            encoding: 'utf8',
          });
    const [group, , , foreground] = stat.trim().split(/\s+/);
    return group === foreground;
  } catch {
    return process.stdin.isTTY === true;
  }
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const [command, ...args] = process.argv.slice(2);
  if (command === undefined) {
    console.error('usage: node deploy/launch.mjs <script or installed program> [arguments]');
    process.exitCode = 2;
  } else process.exitCode = await launch(command, args);
}
