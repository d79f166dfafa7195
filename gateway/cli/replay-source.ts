// Files as feeds of a replay: opened, decompressed, cut into pieces or lines.

import { EXPORT_LINE_BYTES_MAX } from '#proofs/export.ts';
import { keysFromJwks } from '#proofs/keys/public-key.ts';
import { exportFeed } from '#replay-harness/export-feed.ts';
import { fixtureFeed, type LinePiece, type ReplayFeed } from '#replay-harness/feed.ts';
import { lineChunks } from '../ingest/chunks.ts';
import { fileSource } from '../ingest/source.ts';
import { trustedKeys } from './verify-offline.ts';

interface SourceOptions {
  readonly events: number | undefined;
  readonly signal: AbortSignal;
}

// A row that many facts of a chunk change goes from thread to thread once.
const CHUNK_BYTES = 1 << 20;

/** Pieces of a fixture from its beginning, or from a place in its decompressed bytes. */
export const fixturePieces = async (path: string, signal: AbortSignal) => {
  const source = await fileSource(path);
  const pieces = async function* (from = { offset: 0, line: 1 }): AsyncGenerator<LinePiece> {
    const rest = from.offset === 0 ? source.bytes(signal) : behind(source.bytes(signal), from.offset);
    for await (const { bytes, firstLine, endOffset } of lineChunks(rest, { chunkBytes: CHUNK_BYTES }))
      yield { bytes, firstLine: firstLine + from.line - 1, endOffset: endOffset + from.offset };
  };
  return { pieces, share: () => (source.size ? source.consumed() / source.size : undefined) };
};

const behind = async function* (bytes: AsyncIterable<Buffer>, offset: number): AsyncGenerator<Buffer> {
  let passed = 0;
  for await (const chunk of bytes) {
    const over = Math.min(chunk.length, offset - passed);
    passed += over;
    if (over < chunk.length) yield over === 0 ? chunk : chunk.subarray(over);
  }
};

export const fixtureFeedOf = async (path: string, { events, signal }: SourceOptions): Promise<ReplayFeed> =>
  fixtureFeed({ name: path, events, ...(await fixturePieces(path, signal)) });

export const exportFeedOf = async (
  path: string,
  { jwks, events, signal }: SourceOptions & { readonly jwks: string },
): Promise<ReplayFeed> => {
  const keys = keysFromJwks(await trustedKeys({ jwks }));
  const source = await fileSource(path, EXPORT_LINE_BYTES_MAX);
  return exportFeed({
    name: path,
    keys,
    events,
    share: () => (source.size ? source.consumed() / source.size : undefined),
    lines: async function* () {
      for await (const some of source.lines(signal))
        for (const { bytes } of some) yield bytes?.toString('utf8') ?? '';
    },
  });
};
