// A byte stream cut into pieces that end at a line's end, each in an ArrayBuffer of its own, so that a piece can be
// handed to a worker thread without a copy.

export interface LineChunk {
  /** Whole lines; the last one of the stream may lack its newline. */
  readonly bytes: ArrayBuffer;
  /** Number of the first line, from 1. */
  readonly firstLine: number;
  /** Offset in the stream of the byte behind this piece. */
  readonly endOffset: number;
}

const NEWLINE = 0x0a;

export interface ChunkSizes {
  readonly chunkBytes?: number | undefined;
  readonly maxLineBytes?: number | undefined;
}

export class LineTooLong extends Error {
  override readonly name = 'LineTooLong';
}

const countLines = (bytes: Buffer): number => {
  let lines = 0;
  for (let at = bytes.indexOf(NEWLINE); at !== -1; at = bytes.indexOf(NEWLINE, at + 1)) lines += 1;
  return lines;
};

/** Pieces of about `chunkBytes`. A line longer than `maxLineBytes` throws `LineTooLong`. */
export const lineChunks = async function* (
  source: AsyncIterable<Uint8Array>,
  { chunkBytes = 1 << 20, maxLineBytes = 16 << 20 }: ChunkSizes = {},
): AsyncGenerator<LineChunk> {
  let parts: Uint8Array[] = [];
  let size = 0;
  let firstLine = 1;
  let endOffset = 0;
  const piece = (length: number): LineChunk => {
    const bytes = Buffer.from(new ArrayBuffer(length));
    let at = 0;
    let rest: Uint8Array | undefined;
    for (const part of parts) {
      const taken = Math.min(part.length, length - at);
      bytes.set(taken === part.length ? part : part.subarray(0, taken), at);
      at += taken;
      // Only the last part reaches beyond the line's end. Copied, so that what was taken can be freed.
      if (taken < part.length) rest = Uint8Array.from(part.subarray(taken));
    }
    parts = rest ? [rest] : [];
    size = rest?.length ?? 0;
    endOffset += length;
    const chunk = { bytes: bytes.buffer, firstLine, endOffset };
    firstLine += countLines(bytes);
    return chunk;
  };
  for await (const part of source) {
    parts.push(part);
    size += part.length;
    if (size < chunkBytes) continue;
    const end = Buffer.from(part.buffer, part.byteOffset, part.length).lastIndexOf(NEWLINE);
    if (end !== -1) yield piece(size - part.length + end + 1);
    else if (size > maxLineBytes)
      throw new LineTooLong(
        `line ${firstLine} is longer than ${maxLineBytes} bytes: is this NDJSON, one object a line?`,
      );
  }
  if (size > 0) yield piece(size);
};
