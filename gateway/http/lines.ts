// NDJSON off the wire: lines in bounded memory. A line that is too long is passed over and named; the lines after it
// still count. At a limit of the whole batch the reading ends, and that is said too.

export interface LineLimits {
  readonly lineBytesMax: number;
  readonly batchBytesMax: number;
  readonly linesMax: number;
}

/** `number` counts from 1 and includes blank lines, as an editor does. */
export type Line = { readonly number: number } & (
  | { readonly kind: 'line'; readonly bytes: Buffer }
  | { readonly kind: 'line-too-long' }
  /** The last one: this line and what follows were not read. */
  | { readonly kind: 'batch-too-large' | 'too-many-lines' }
);

const LF = 0x0a;

export const readLines = async function* (
  chunks: AsyncIterable<Buffer>,
  limits: LineLimits,
): AsyncGenerator<Line> {
  const { lineBytesMax, batchBytesMax, linesMax } = limits;
  const tail = heldBytes(lineBytesMax);
  let number = 0;
  let taken = 0;
  let received = 0;
  const lineOf = (bytes: Buffer): Line | undefined => {
    number += 1;
    if (isBlank(bytes)) return undefined;
    taken += 1;
    if (taken > linesMax) return { kind: 'too-many-lines', number };
    return bytes.length > lineBytesMax ? { kind: 'line-too-long', number } : { kind: 'line', number, bytes };
  };
  for await (const chunk of chunks) {
    received += chunk.length;
    if (received > batchBytesMax) return yield { kind: 'batch-too-large', number: number + 1 };
    let start = 0;
    for (let end = chunk.indexOf(LF); end >= 0; end = chunk.indexOf(LF, start)) {
      const line = lineOf(tail.endWith(chunk.subarray(start, end)));
      if (line) yield line;
      if (line?.kind === 'too-many-lines') return;
      start = end + 1;
    }
    tail.hold(chunk.subarray(start));
  }
  const last = lineOf(tail.endWith(Buffer.alloc(0)));
  if (last) yield last;
};

/**
 * The beginning of a line whose end is yet to come, in one buffer that doubles: a sender of single bytes shall not
 * make us keep an object for each. One byte more than the limit is kept, which shows that the line is too long.
 */
const heldBytes = (bytesMax: number) => {
  let buffer = Buffer.alloc(0);
  let length = 0;
  const hold = (part: Buffer): void => {
    const kept = part.subarray(0, bytesMax + 1 - length);
    if (length + kept.length > buffer.length) {
      const grown = Buffer.allocUnsafe(Math.max(length + kept.length, buffer.length * 2));
      buffer.copy(grown, 0, 0, length);
      buffer = grown;
    }
    length += kept.copy(buffer, length);
  };
  return {
    hold,
    /** The whole line; not copied when it came in one piece. */
    endWith: (part: Buffer): Buffer => {
      if (length === 0) return part;
      hold(part);
      const line = buffer.subarray(0, length);
      length = 0;
      buffer = Buffer.alloc(0);
      return line;
    },
  };
};

const isBlank = (line: Buffer): boolean =>
  line.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d);
