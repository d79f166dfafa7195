// A disk of so many MiB, made in memory, that can be filled to its last byte and given its room back.
import { execFileSync } from 'node:child_process';
import { chmodSync, closeSync, mkdirSync, mkdtempSync, openSync, rmSync, statSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface SmallDisk extends Disposable {
  /** A folder on it that the server's user may enter. */
  readonly folder: string;
  /** Until nothing more goes onto it. Again after somebody else has given room back. */
  readonly fill: () => void;
  /** Bytes that `fill` holds. */
  readonly ballast: () => number;
  readonly empty: () => void;
}

const PAGE_BYTES = 4_096;

/** `undefined` where a file system cannot be mounted: not Linux, not root, or a container without the right. */
export const smallDisk = (mib: number): SmallDisk | undefined => {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return undefined;
  const mounted = mkdtempSync(join(tmpdir(), 'prov-ledger-disk-'));
  chmodSync(mounted, 0o711);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mib}m,mode=0711`, 'tmpfs', mounted], {
      stdio: 'ignore',
    });
  } catch {
    rmSync(mounted, { recursive: true });
    return undefined;
  }
  const folder = join(mounted, 'data');
  mkdirSync(folder, { mode: 0o711 });
  const file = join(mounted, 'ballast');
  return {
    folder,
    fill: () => {
      const to = openSync(file, 'a');
      for (const size of [1 << 20, PAGE_BYTES]) writeUntilFull(to, Buffer.alloc(size));
      closeSync(to);
    },
    ballast: () => statSync(file, { throwIfNoEntry: false })?.size ?? 0,
    empty: () => rmSync(file, { force: true }),
    [Symbol.dispose]: () => {
      // Lazily: whoever still writes there keeps what it has, and the folder is free all the same.
      execFileSync('umount', ['-l', mounted]);
      rmSync(mounted, { recursive: true });
    },
  };
};

const writeUntilFull = (to: number, bytes: Buffer): void => {
  try {
    while (writeSync(to, bytes) > 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  }
};
