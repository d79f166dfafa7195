// Where lines come from: a file or a stream, plain, gzip or zstd (told apart by their first bytes, not by name), cut
// into lines as bytes. A line that is too long is passed over in bounded memory and handed on as such.

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { Readable, type Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import zlib from 'node:zlib';

export type SourceErrorCode =
  /** There is no such file, or it may not be read: name another. */
  | 'unreadable'
  /** The compressed stream is damaged or cut off: get the file again. Lines before the damage were handed on. */
  | 'damaged'
  /** Compressed in a way that this Node cannot undo: decompress it first and pipe it in. */
  | 'unsupported';

export class SourceError extends Error {
  override readonly name = 'SourceError';
  readonly code: SourceErrorCode;
  constructor(code: SourceErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

export interface SourceLine {
  /** From 1. */
  readonly number: number;
  /** Without the line's end; `undefined` when the line is longer than allowed. */
  readonly bytes: Buffer | undefined;
}

export interface Source {
  readonly name: string;
  /** Bytes as stored, where they are known before reading. */
  readonly size: number | undefined;
  /** Bytes as stored, read so far. */
  readonly consumed: () => number;
  /** Decompressed. Throws `SourceError`; ends without an error when the signal aborts. */
  readonly bytes: (signal: AbortSignal) => AsyncIterable<Buffer>;
  /** In order, some at a time. Throws `SourceError`; ends without an error when the signal aborts. */
  readonly lines: (signal: AbortSignal) => AsyncIterable<readonly SourceLine[]>;
}

export const LINE_BYTES_MAX = 1 << 20;

export const fileSource = async (path: string, maxLineBytes = LINE_BYTES_MAX): Promise<Source> => {
  const { size, isFile } = await statOf(path);
  const source = streamSource(path, () => createReadStream(path, { highWaterMark: 256 << 10 }), maxLineBytes);
  return { ...source, size: isFile ? size : undefined };
};

const statOf = async (path: string) => {
  try {
    const stats = await stat(path);
    if (stats.isDirectory()) throw new SourceError('unreadable', `${path} is a folder: name one file`);
    await (await open(path)).close();
    return { size: stats.size, isFile: stats.isFile() };
  } catch (cause) {
    if (cause instanceof SourceError) throw cause;
    const why =
      (cause as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no such file' : (cause as Error).message;
    throw new SourceError('unreadable', `${path} cannot be read: ${why}`, { cause });
  }
};

/** SHA-256 of a file as stored. */
export const fileDigest = async (path: string): Promise<string> => {
  const digest = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), digest);
  return digest.digest('hex');
};

export const streamSource = (
  name: string,
  openStream: () => Readable,
  maxLineBytes = LINE_BYTES_MAX,
): Source => {
  let consumed = 0;
  const counted = async function* (raw: Readable): AsyncGenerator<Buffer> {
    for await (const chunk of raw as AsyncIterable<Buffer>) {
      consumed += chunk.length;
      yield chunk;
    }
  };
  const bytes = async function* (signal: AbortSignal): AsyncGenerator<Buffer> {
    const raw = openStream();
    const stop = (): void => void raw.destroy();
    signal.addEventListener('abort', stop, { once: true });
    try {
      if (!signal.aborted) yield* decompressed(counted(raw));
    } catch (error) {
      if (!signal.aborted) throw sourceError(name, error);
    } finally {
      signal.removeEventListener('abort', stop);
      raw.destroy();
    }
  };
  return {
    name,
    size: undefined,
    consumed: () => consumed,
    bytes,
    lines: (signal) => cut(bytes(signal), signal, maxLineBytes),
  };
};

const sourceError = (name: string, error: unknown): SourceError => {
  if (error instanceof SourceError) return error;
  const cause = error as NodeJS.ErrnoException;
  // node:zlib names its codes Z_... and ZSTD_error_...
  if (/^(?:Z_|ZSTD|ERR_ZLIB)/.test(cause.code ?? '')) {
    return new SourceError(
      'damaged',
      `${name} is damaged or cut off (${cause.message}): get the file again`,
      { cause },
    );
  }
  return new SourceError('unreadable', `${name} cannot be read any further: ${cause.message}`, { cause });
};

const decompressed = async function* (bytes: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  let start: Buffer = Buffer.alloc(0);
  while (start.length < 4) {
    const { value, done } = await bytes.next();
    if (done) break;
    start = start.length === 0 ? value : Buffer.concat([start, value]);
  }
  const unpack = unpackerFor(start);
  const all = (async function* () {
    if (start.length > 0) yield start;
    yield* bytes;
  })();
  if (!unpack) yield* all;
  else yield* Readable.from(all, { objectMode: false }).compose(unpack) as AsyncIterable<Buffer>;
};

/** RFC 1952 section 2.3.1 and RFC 8878 section 3.1.1: the magic numbers. */
const unpackerFor = (start: Buffer): Transform | undefined => {
  if (start[0] === 0x1f && start[1] === 0x8b) return zlib.createGunzip({ chunkSize: 256 << 10 });
  if (start.length < 4 || start.readUInt32LE(0) !== 0xfd2fb528) return undefined;
  if (typeof zlib.createZstdDecompress !== 'function') {
    throw new SourceError(
      'unsupported',
      'this Node cannot read zstd: decompress the file and pipe it in (zstd -dc FILE | ... -)',
    );
  }
  return zlib.createZstdDecompress({ chunkSize: 256 << 10 });
};

const NEWLINE = 0x0a;
const RETURN = 0x0d;
const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);

const cut = async function* (
  chunks: AsyncIterable<Buffer>,
  signal: AbortSignal,
  maxBytes: number,
): AsyncGenerator<readonly SourceLine[]> {
  let number = 0;
  let held: Buffer[] = [];
  let heldBytes = 0;
  const line = (end: Buffer): SourceLine => {
    number += 1;
    const tooLong = heldBytes + end.length > maxBytes;
    const bytes = tooLong
      ? undefined
      : trimmed(held.length === 0 ? end : Buffer.concat([...held, end]), number);
    held = [];
    heldBytes = 0;
    return { number, bytes };
  };
  for await (const chunk of chunks) {
    const lines: SourceLine[] = [];
    let from = 0;
    for (let at = chunk.indexOf(NEWLINE); at !== -1; at = chunk.indexOf(NEWLINE, from)) {
      lines.push(line(chunk.subarray(from, at)));
      from = at + 1;
    }
    const rest = chunk.subarray(from);
    heldBytes += rest.length;
    // Beyond the limit only the length goes on counting.
    if (heldBytes > maxBytes) held = [];
    else if (rest.length > 0) held.push(rest);
    if (lines.length > 0) yield lines;
  }
  // Cut off by the signal, what is held is the beginning of a line and not a line.
  if (heldBytes > 0 && !signal.aborted) yield [line(Buffer.alloc(0))];
};

/** Without the carriage return of other systems, and without the mark some programs put before the first line. */
const trimmed = (bytes: Buffer, number: number): Buffer => {
  const start = number === 1 && bytes.subarray(0, 3).equals(BYTE_ORDER_MARK) ? 3 : 0;
  return bytes.subarray(start, bytes.at(-1) === RETURN ? bytes.length - 1 : bytes.length);
};
