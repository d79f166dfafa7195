// A file that appears under its name when it is complete, never before.
import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { Readable, type Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import zlib from 'node:zlib';
import { CliError } from './exit.ts';

/** Writes texts into a file, compressed when its name ends in .gz or .zst. Throws `CliError`, and what `texts` throws. */
export const writeWhole = async (
  path: string,
  texts: Iterable<string> | AsyncIterable<string>,
): Promise<void> => {
  const draft = `${path}.partial`;
  const packer = packerFor(path);
  try {
    const source = Readable.from(texts);
    const file = createWriteStream(draft, { flags: 'w', flush: true });
    if (packer) await pipeline(source, packer, file);
    else await pipeline(source, file);
    await rename(draft, path);
  } catch (error) {
    await rm(draft, { force: true });
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === undefined || !/^E[A-Z]+$/.test(code)) throw error;
    throw new CliError('unavailable', 'file-unwritable', `${path} cannot be written: ${message}`, {
      cause: error,
    });
  }
};

const packerFor = (path: string): Transform | undefined => {
  if (path.endsWith('.gz')) return zlib.createGzip();
  if (!path.endsWith('.zst')) return undefined;
  if (typeof zlib.createZstdCompress === 'function') return zlib.createZstdCompress();
  throw new CliError(
    'usage',
    'no-zstd',
    `this Node cannot write zstd: name ${path} .gz, or without an ending`,
  );
};
