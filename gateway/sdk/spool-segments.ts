// The files of a spool: `<number>.seg`, append-only, each a row of frames. A frame is one group of receipts written
// and synced together, and counts as a whole or not at all:
//
//   "PLS1 " length of the body in bytes, 8 hexadecimal digits · " " · first 16 digits of its SHA-256 · "\n" · body · "\n"
//
// The body is one receipt's JSON a line. A process killed while it writes leaves a torn frame at the very end: its
// length or its checksum does not hold, nobody was told that it was kept, and it is cut. A broken frame with a whole
// one behind it was changed by something else, and is never cut in silence.
import { createHash } from 'node:crypto';
import { closeSync, fsyncSync, openSync, readdirSync, readFileSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { SpoolError } from './spool-error.ts';

const MARK = 'PLS1 ';
const HEAD_BYTES = MARK.length + 8 + 1 + 16 + 1;

export interface Frame {
  readonly receipts: readonly string[];
  /** Offset of what follows the frame. */
  readonly end: number;
}

export const frameOf = (receipts: readonly string[]): Buffer => {
  const body = Buffer.from(receipts.join('\n'));
  const length = body.length.toString(16).padStart(8, '0');
  return Buffer.concat([Buffer.from(`${MARK}${length} ${checksum(body)}\n`), body, Buffer.from('\n')]);
};

const checksum = (body: Uint8Array): string => createHash('sha256').update(body).digest('hex').slice(0, 16);

/** The whole frame at an offset, or `undefined` when there is none. */
export const frameAt = (bytes: Buffer, at: number): Frame | undefined => {
  const head = /^PLS1 ([0-9a-f]{8}) ([0-9a-f]{16})\n$/.exec(bytes.toString('latin1', at, at + HEAD_BYTES));
  if (!head) return undefined;
  const start = at + HEAD_BYTES;
  const end = start + Number.parseInt(head[1] as string, 16) + 1;
  const body = bytes.subarray(start, end - 1);
  if (end > bytes.length || bytes[end - 1] !== 0x0a || checksum(body) !== head[2]) return undefined;
  return { receipts: body.toString('utf8').split('\n'), end };
};

export const segmentFile = (folder: string, segment: number): string =>
  join(folder, `${String(segment).padStart(12, '0')}.seg`);

/** Numbers of the segments there are, ascending. */
export const segmentsIn = (folder: string): readonly number[] =>
  readdirSync(folder)
    .filter((file) => /^\d{12}\.seg$/.test(file))
    .map((file) => Number(file.slice(0, 12)))
    .sort((a, b) => a - b);

/**
 * Reads every segment through, and cuts a torn frame off the last one. Returns the bytes of each.
 * Throws SpoolError `corrupt`.
 */
export const recoverSegments = (folder: string): Map<number, number> => {
  const segments = segmentsIn(folder);
  const sizes = new Map<number, number>();
  for (const segment of segments) {
    const file = segmentFile(folder, segment);
    const bytes = readFileSync(file);
    let at = 0;
    for (let frame = frameAt(bytes, 0); frame; frame = frameAt(bytes, at)) at = frame.end;
    if (at < bytes.length) {
      if (segment !== segments.at(-1) || hasFrameBehind(bytes, at))
        throw new SpoolError(
          'corrupt',
          `${file} is broken at byte ${at}, before its end: move it aside, and look at it`,
        );
      truncateSync(file, at);
      syncPath(file);
    }
    sizes.set(segment, at);
  }
  return sizes;
};

const hasFrameBehind = (bytes: Buffer, broken: number): boolean => {
  for (let at = bytes.indexOf(MARK, broken + 1); at !== -1; at = bytes.indexOf(MARK, at + 1))
    if (frameAt(bytes, at)) return true;
  return false;
};

/** A new name in a folder lasts only when the folder is synced; Windows cannot, and need not. */
export const syncPath = (path: string): void => {
  if (process.platform === 'win32') return;
  const handle = openSync(path, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
};
