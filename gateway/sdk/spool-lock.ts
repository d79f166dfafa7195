// One holder of a spool at a time, across processes, with nothing but files; a holder that was killed holds nothing.
//
// A lock is a row of generations, `lock.1`, `lock.2`, ...; the highest one says who holds it. Taking over from a dead
// holder means creating the next generation, and a hard link appears either whole or not at all, so of any number of
// takers exactly one wins. The highest generation is never deleted (a release is written into it): a taker that
// slept through a take-over can therefore never bring an old generation back to life.
// Processes are told apart by pid: containers that share a folder but not their pids must not share a spool.
import { randomBytes } from 'node:crypto';
import { linkSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export type Lock =
  | { readonly held: true; readonly release: () => void }
  | { readonly held: false; readonly pid: number };

interface Holder {
  readonly pid: number;
  readonly identity?: string;
  readonly released?: boolean;
}

export const tryLock = (folder: string): Lock => {
  for (;;) {
    const top = Math.max(0, ...generations(folder));
    const holder = top === 0 ? undefined : readHolder(folder, top);
    if (holder && isAlive(holder)) return { held: false, pid: holder.pid };
    const mine = top + 1;
    if (!create(folder, mine)) continue;
    if (Math.max(...generations(folder)) !== mine) {
      rmSync(fileOf(folder, mine), { force: true });
      continue;
    }
    for (const old of generations(folder)) if (old < mine) rmSync(fileOf(folder, old), { force: true });
    return { held: true, release: () => replace(fileOf(folder, mine), { pid: process.pid, released: true }) };
  }
};

const fileOf = (folder: string, generation: number): string => join(folder, `lock.${generation}`);

const generations = (folder: string): readonly number[] =>
  readdirSync(folder)
    .filter((file) => /^lock\.\d+$/.test(file))
    .map((file) => Number(file.slice('lock.'.length)));

const readHolder = (folder: string, generation: number): Holder | undefined => {
  try {
    return JSON.parse(readFileSync(fileOf(folder, generation), 'utf8')) as Holder;
  } catch {
    return undefined;
  }
};

const isAlive = ({ pid, identity, released }: Holder): boolean =>
  released !== true && identity !== undefined && identityOf(pid) === identity;

/** A text that only this run of this pid has, where the system tells (Linux); elsewhere only that such a pid runs. */
const identityOf = (pid: number): string | undefined => {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return undefined;
  }
  if (process.platform !== 'linux') return 'running';
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the program's name in parentheses and may itself hold spaces and parentheses.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields[0] === 'Z' || fields[0] === 'X') return undefined;
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}/${fields[19]}`;
  } catch {
    return undefined;
  }
};

const create = (folder: string, generation: number): boolean => {
  const draft = join(folder, `.lock.${process.pid}.${randomBytes(6).toString('hex')}`);
  writeFileSync(draft, JSON.stringify({ pid: process.pid, identity: identityOf(process.pid) }));
  try {
    linkSync(draft, fileOf(folder, generation));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
};

const replace = (file: string, content: Holder): void => {
  const draft = `${file}.released-${process.pid}`;
  writeFileSync(draft, JSON.stringify(content));
  renameSync(draft, file);
};
