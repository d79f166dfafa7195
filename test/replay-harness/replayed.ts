// Fixtures and replays for the tests of the harness: small, in memory, in a folder that goes with the suite.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lineChunks } from '#gateway/ingest/chunks.ts';
import type { AnyProjector } from '#projectors/batch.ts';
import { projectors } from '#projectors/index.ts';
import { fixtureFeed, type LinePiece, type ReplayFeed } from '#replay-harness/feed.ts';
import { type GenerateOptions, generateFixture } from '#replay-harness/fixtures/generate.ts';
import { type ReplayOptions, type ReplayResult, replay } from '#replay-harness/replay.ts';

export interface Bench {
  readonly folder: string;
  readonly generate: (options?: Partial<GenerateOptions>) => string;
  readonly replay: (text: string | ReplayFeed, options?: Partial<ReplayOptions>) => Promise<ReplayResult>;
}

/** To be called in a `describe`. */
export const replayBench = (): Bench => {
  let folder = '';
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'prov-ledger-test-'));
  });
  after(() => rmSync(folder, { recursive: true }));
  return {
    get folder() {
      return folder;
    },
    generate: (options) =>
      [...generateFixture({ events: 900, seed: 7, tenants: 3, projectors, folder, ...options })].join(''),
    replay: (text, options) =>
      replay({
        feed: typeof text === 'string' ? textFeed(text) : text,
        projectors,
        workers: 0,
        folder,
        ...options,
      }),
  };
};

export interface TextFeedOptions {
  readonly chunkBytes?: number;
  readonly events?: number | undefined;
  /** In its stead. */
  readonly pieces?: Parameters<typeof fixtureFeed>[0]['pieces'];
}

/** A fixture in memory, cut into chunks of about so many bytes. */
export const textFeed = (
  text: string | Uint8Array,
  {
    chunkBytes = 40_000,
    events,
    pieces = (from) => textPieces(text, { chunkBytes, from }),
  }: TextFeedOptions = {},
): ReplayFeed => fixtureFeed({ name: 'test', events, pieces });

/** Its pieces from the beginning, or from a place in it. */
export const textPieces = async function* (
  text: string | Uint8Array,
  { chunkBytes = 40_000, from = { offset: 0, line: 1 } }: PiecesOptions = {},
): AsyncGenerator<LinePiece> {
  const bytes = Buffer.from(text as string).subarray(from.offset);
  const parts = async function* () {
    for (let at = 0; at < bytes.length; at += 10_000) yield bytes.subarray(at, at + 10_000);
  };
  for await (const piece of lineChunks(parts(), { chunkBytes }))
    yield {
      bytes: piece.bytes,
      firstLine: piece.firstLine + from.line - 1,
      endOffset: piece.endOffset + from.offset,
    };
};

interface PiecesOptions {
  readonly chunkBytes?: number;
  readonly from?: { readonly offset: number; readonly line: number } | undefined;
}

/** A read model over receipts whose fold is the caller's: one row per tenant. */
export const plantedProjector = (fold: AnyProjector['fold']): AnyProjector => ({
  name: 'planted',
  version: 1,
  handles: ['receipts.ReceiptRecorded'],
  columns: { value: 'text' },
  key: [],
  keys: () => [[]],
  fold,
});
