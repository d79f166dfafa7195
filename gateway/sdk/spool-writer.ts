// The writing end of a spool: receipts that come while a group is being synced make the next group.
import { type FileHandle, open } from 'node:fs/promises';
import { SpoolError } from './spool-error.ts';
import { frameOf, segmentFile, syncPath } from './spool-segments.ts';

export interface WriterOptions {
  readonly folder: string;
  /** Bytes of each segment, kept up to date here and by whoever deletes segments. */
  readonly sizes: Map<number, number>;
  readonly fsync: 'always' | 'never';
  readonly bytesMax: number;
  /** The first one to write; there is none of this number yet. */
  readonly segment: number;
  /** Told after each group. */
  readonly written: () => void;
}

interface Waiting {
  readonly json: string;
  readonly resolve: () => void;
  readonly reject: (error: SpoolError) => void;
}

const GROUP_RECEIPTS = 500;
const GROUP_BYTES = 1 << 20;

export const writerOf = ({ folder, sizes, segment, fsync, bytesMax, written }: WriterOptions) => {
  let waiting: Waiting[] = [];
  let running: Promise<void> | undefined;
  const segments = segmentWriter({
    folder,
    sizes,
    segment,
    fsync,
    segmentBytes: Math.min(8 << 20, bytesMax / 4),
  });

  const write = async (group: readonly Waiting[]): Promise<void> => {
    const frame = frameOf(group.map(({ json }) => json));
    const held = [...sizes.values()].reduce((sum, size) => sum + size, 0);
    if (held + frame.length > bytesMax) {
      const said = `the spool holds ${held} of ${bytesMax} bytes: it takes no more until some are delivered`;
      throw new SpoolError('full', said);
    }
    await segments.append(frame);
  };

  const run = async (): Promise<void> => {
    // What is recorded in this turn goes together.
    await Promise.resolve();
    while (waiting.length > 0) {
      const group = takeGroup(waiting);
      waiting = waiting.slice(group.length);
      try {
        await write(group);
        for (const { resolve } of group) resolve();
        written();
      } catch (cause) {
        const error =
          cause instanceof SpoolError
            ? cause
            : new SpoolError('storage', 'the spool cannot be written', cause);
        for (const { reject } of group) reject(error);
      }
    }
  };

  const start = (): void => {
    running ??= run().finally(() => {
      running = undefined;
      // Something may have come between the last look and this.
      if (waiting.length > 0) start();
    });
  };

  const idle = async (): Promise<void> => {
    while (running) await running;
  };

  return {
    /** Resolves when the receipt is in the file, and on the disk with `fsync: 'always'`. */
    append: (json: string): Promise<void> =>
      new Promise((resolve, reject) => {
        waiting.push({ json, resolve, reject });
        start();
      }),
    current: segments.current,
    idle,
    close: async (): Promise<void> => {
      await idle();
      await segments.close();
    },
  };
};

type Segments = Pick<WriterOptions, 'folder' | 'sizes' | 'segment' | 'fsync'> & {
  readonly segmentBytes: number;
};

const segmentWriter = ({ folder, sizes, segment: first, fsync, segmentBytes }: Segments) => {
  let segment = first;
  let file: FileHandle | undefined;
  let broken: SpoolError | undefined;

  const roll = async (): Promise<FileHandle> => {
    if (file) {
      // Segments before the last are whole on the disk: only the last can be torn.
      await file.sync();
      await file.close();
      segment += 1;
    }
    file = await open(segmentFile(folder, segment), 'ax');
    sizes.set(segment, 0);
    if (fsync === 'always') syncPath(folder);
    return file;
  };

  // After either of these failures what stands in the file cannot be known (a later sync may say that all is well,
  // though the pages are lost): nothing more is written until the spool is opened again.
  const stopAt = (what: string, cause: unknown): SpoolError => {
    broken = new SpoolError('storage', `${what}: open the spool again`, cause);
    return broken;
  };

  const cutBack = async (into: FileHandle, size: number, cause: unknown): Promise<never> => {
    await into.truncate(size).catch((error: unknown) => {
      throw stopAt('part of a frame was written', error);
    });
    throw new SpoolError('storage', 'the disk did not take the receipts', cause);
  };

  return {
    current: () => segment,
    append: async (frame: Buffer): Promise<void> => {
      if (broken) throw broken;
      const size = sizes.get(segment) ?? 0;
      const into = file && (size === 0 || size + frame.length <= segmentBytes) ? file : await roll();
      const before = sizes.get(segment) ?? 0;
      await into.appendFile(frame).catch((cause: unknown) => cutBack(into, before, cause));
      if (fsync === 'always')
        await into.datasync().catch((cause: unknown) => {
          throw stopAt('a sync failed', cause);
        });
      sizes.set(segment, before + frame.length);
    },
    close: async (): Promise<void> => await file?.close(),
  };
};

const takeGroup = (waiting: readonly Waiting[]): readonly Waiting[] => {
  let bytes = 0;
  const fits = waiting.slice(0, GROUP_RECEIPTS).findIndex(({ json }, index) => {
    bytes += json.length;
    return index > 0 && bytes > GROUP_BYTES;
  });
  return waiting.slice(0, fits === -1 ? GROUP_RECEIPTS : fits);
};
