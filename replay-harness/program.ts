// What program this is: for reports, which say what came to their results.
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { cpus, release, totalmem } from 'node:os';

export interface ProgramIdentity {
  readonly version: string;
  /** SHA-256 over the paths and contents of all source files of the rooms that a replay runs. */
  readonly source: string;
  /** SHA-256 of package-lock.json. */
  readonly lockfile: string;
  /** Of the checkout, where there is one; files may have been changed since. */
  readonly commit?: string | undefined;
}

export interface MachineIdentity {
  readonly node: string;
  readonly v8: string;
  readonly openssl: string;
  readonly platform: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryMiB: number;
}

const ROOT = new URL('../', import.meta.url);
const ROOMS = ['schemas', 'proofs', 'streams', 'commands', 'projectors', 'replay-harness'] as const;

export const programIdentity = async (): Promise<ProgramIdentity> => {
  const text = (path: string): Promise<string> => readFile(new URL(path, ROOT), 'utf8');
  const { version } = JSON.parse(await text('package.json')) as { readonly version: string };
  const lockfile = createHash('sha256')
    .update(await text('package-lock.json'))
    .digest('hex');
  return { version, source: await sourceDigest(), lockfile, commit: await commitOf(text) };
};

const sourceDigest = async (): Promise<string> => {
  const digest = createHash('sha256');
  for (const room of ROOMS) {
    const entries = await readdir(new URL(room, ROOT), { recursive: true, withFileTypes: true });
    const files = entries
      .filter((entry) => entry.isFile())
      .map((entry) => `${entry.parentPath}/${entry.name}`);
    for (const file of files.sort()) {
      const path = file.slice(file.lastIndexOf(`/${room}/`) + 1);
      const content = await readFile(file);
      digest.update(`${path}\n${content.length}\n`).update(content);
    }
  }
  return digest.digest('hex');
};

/** What HEAD stands on: a branch's file, a packed reference, or the commit itself. */
const commitOf = async (text: (path: string) => Promise<string>): Promise<string | undefined> => {
  try {
    const head = (await text('.git/HEAD')).trim();
    const name = /^ref: (.+)$/.exec(head)?.[1];
    if (name === undefined) return head;
    const loose = await text(`.git/${name}`).catch(() => undefined);
    if (loose !== undefined) return loose.trim();
    const packed = await text('.git/packed-refs');
    return packed
      .split('\n')
      .find((line) => line.endsWith(` ${name}`))
      ?.slice(0, 40);
  } catch {
    return undefined;
  }
};

export const machineIdentity = (): MachineIdentity => ({
  node: process.versions.node,
  v8: process.versions.v8,
  openssl: process.versions.openssl,
  platform: `${process.platform} ${process.arch} ${release()}`,
  cpu: cpus()[0]?.model.trim() ?? 'unknown',
  cores: cpus().length,
  memoryMiB: Math.round(totalmem() / 2 ** 20),
});
