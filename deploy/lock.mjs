// One holder at a time, across processes, with nothing but files: plain JavaScript, because the launcher
// needs it before a Node that strips types is there.
//
// A lock is a row of generations, `<name>.1`, `<name>.2`, ...; the highest one says who holds it. Taking over from
// a dead holder means creating the next generation, and a hard link appears either whole or not at all, so of any
// number of waiters exactly one wins. The highest generation is never deleted (a release is written into it):
// a waiter that slept through a take-over can therefore never bring an old generation back to life.

import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { linkSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * A text that only this run of this pid has, so that a pid given to another program later is not mistaken for it.
 * Undefined when no such process runs. Linux: kernel start time; elsewhere: what `ps` calls the start time.
 */
export function processIdentity(pid) {
  if (!Number.isInteger(pid) || pid <= 0 || !exists(pid)) return undefined;
  if (process.platform === 'linux') return linuxIdentity(pid);
  if (process.platform === 'win32') return 'running';
  try {
    return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim() || undefined;
  } catch {
    return undefined;
  }
}

function exists(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

function linuxIdentity(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the program's name in parentheses and may itself hold spaces and parentheses.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [state, startTicks] = [fields[0], fields[19]];
    if (state === 'Z' || state === 'X') return undefined;
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}/${startTicks}`;
  } catch {
    return undefined;
  }
}

/** Takes the lock, or says who has it: `{ held: true, release }` or `{ held: false, holder: { pid } }`. */
export function tryLock(folder, name) {
  mkdirSync(folder, { recursive: true });
  for (;;) {
    const top = highest(folder, name);
    const holder = top === 0 ? undefined : readHolder(folder, name, top);
    if (holder !== undefined && isAlive(holder)) return { held: false, holder: { pid: holder.pid } };
    const mine = top + 1;
    if (!create(folder, name, mine)) continue;
    if (highest(folder, name) !== mine) {
      rmSync(join(folder, `${name}.${mine}`), { force: true });
      continue;
    }
    dropBelow(folder, name, mine);
    return { held: true, release: () => replace(join(folder, `${name}.${mine}`), { released: true }) };
  }
}

function isAlive(holder) {
  return !holder.released && holder.identity !== undefined && processIdentity(holder.pid) === holder.identity;
}

function generations(folder, name) {
  const prefix = `${name}.`;
  return readdirSync(folder)
    .filter((file) => file.startsWith(prefix) && /^\d+$/.test(file.slice(prefix.length)))
    .map((file) => Number(file.slice(prefix.length)));
}

function highest(folder, name) {
  return Math.max(0, ...generations(folder, name));
}

function readHolder(folder, name, generation) {
  try {
    return JSON.parse(readFileSync(join(folder, `${name}.${generation}`), 'utf8'));
  } catch {
    return undefined;
  }
}

function create(folder, name, generation) {
  const draft = join(folder, `.${name}.${process.pid}.${randomBytes(6).toString('hex')}`);
  writeFileSync(draft, JSON.stringify({ pid: process.pid, identity: processIdentity(process.pid) }));
  try {
    linkSync(draft, join(folder, `${name}.${generation}`));
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}

function dropBelow(folder, name, generation) {
  for (const old of generations(folder, name)) {
    if (old < generation) rmSync(join(folder, `${name}.${old}`), { force: true });
  }
}

function replace(file, content) {
  const draft = `${file}.released-${process.pid}`;
  try {
    writeFileSync(draft, JSON.stringify(content));
    renameSync(draft, file);
  } catch (error) {
    // The folder is gone (a test's temporary folder): then so is the lock.
    if (error.code !== 'ENOENT') throw error;
  }
}
