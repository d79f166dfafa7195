// Where a replay's history comes from. A feed hands out chunks in the order in which their facts arrived, each tenant's in
// the order of seq; what a chunk is, and how a thread comes to its facts, is the feed's own. More sources join here: a
// feed, and a kind of task that worker.ts knows.
import type { Seq, TenantId } from '#schemas/ids.ts';
import type { Expectation, FixtureHeader } from './fixtures/format.ts';

/** A place between two chunks, as the feed writes it: JSON. */
export type FeedCursor = { readonly [member: string]: unknown };

export interface LinesTask {
  readonly kind: 'lines';
  /** Whole lines of a fixture; handed over to the thread. */
  readonly bytes: ArrayBuffer;
  readonly firstLine: number;
}

/** Facts `from` to `to` of one tenant, as they are stored; a commit batch begins with `from` and ends with `to`. */
export interface StoredRange {
  readonly tenant: TenantId;
  readonly tenantNo: number;
  readonly from: Seq;
  readonly to: Seq;
}

/** Ranges of stored chains: the thread reads them over a connection of its own. */
export interface StoredTask {
  readonly kind: 'stored';
  readonly ranges: readonly StoredRange[];
}

export type LaneTask = LinesTask | StoredTask;

export interface FeedChunk {
  readonly task: LaneTask;
  /** The place behind the chunk. */
  readonly cursor: FeedCursor;
  /** Of the whole, from 0 to 1, once this chunk is done; where the feed knows. */
  readonly share?: number | undefined;
}

export interface ReplayFeed {
  readonly kind: 'fixture' | 'export' | 'ledger';
  /** The file or the ledger. */
  readonly name: string;
  /** From the beginning, or from where an earlier replay stopped. */
  readonly chunks: (from?: FeedCursor) => AsyncIterable<FeedChunk>;
  /** What must come out, where it is known beside the facts. */
  readonly expected?: Expectation;
  /** The facts that these read models pass over by decision; none where it is absent. */
  readonly skips?: (projections: readonly string[]) => Promise<readonly SkippedFacts[]>;
  /** The seq before each tenant's first fact, of those that do not begin with their chain; all do where it is absent. */
  readonly starts?: () => Promise<ReadonlyMap<TenantId, Seq>>;
  /** Needed by the threads of a stored feed. */
  readonly stored?: StoredSource;
}

export interface SkippedFacts {
  readonly projection: string;
  readonly tenant: TenantId;
  readonly seqs: ReadonlySet<Seq>;
}

export interface StoredSource {
  readonly url: string;
  readonly ledgerId: string;
  /** Public JWKs of the keys that may have signed. */
  readonly keys: readonly unknown[];
}

/** One piece of a byte stream, cut at a line's end; gateway/ingest/chunks.ts makes them. */
export interface LinePiece {
  readonly bytes: ArrayBuffer;
  readonly firstLine: number;
  readonly endOffset: number;
}

export interface FixtureFeedOptions {
  readonly name: string;
  /** The decompressed file from its beginning, or from the byte that a line begins with, whose number is `firstLine`. */
  readonly pieces: (from?: { readonly offset: number; readonly line: number }) => AsyncIterable<LinePiece>;
  /** Arrivals to take; all unless told. */
  readonly events?: number | undefined;
  readonly share?: (() => number | undefined) | undefined;
}

export const fixtureFeed = ({ name, pieces, events, share }: FixtureFeedOptions): ReplayFeed => ({
  kind: 'fixture',
  name,
  skips: async () => {
    const { skips = [] } = await headerOf(pieces);
    return skips.map(({ projection, tenant, seqs }) => ({ projection, tenant, seqs: new Set(seqs) }));
  },
  starts: async () => {
    const { before = [] } = await headerOf(pieces);
    return new Map(before.map(({ tenant, seq }) => [tenant, seq]));
  },
  chunks: async function* (from) {
    const start = from && { offset: Number(from['offset']), line: Number(from['line']) };
    for await (const { bytes, firstLine, endOffset } of pieces(start)) {
      const lines = linesIn(bytes);
      // The header is line 1.
      const left = events === undefined ? lines : events + 2 - firstLine;
      if (left <= 0) return;
      const kept = left < lines ? cutAfter(bytes, left) : bytes;
      yield {
        task: { kind: 'lines', bytes: kept, firstLine },
        cursor: { offset: endOffset, line: firstLine + lines },
        share: share?.(),
      };
    }
  },
});

const NEWLINE = 0x0a;

/** Of a file that has none: whoever reads the lines says so. */
const NO_HEADER: Pick<FixtureHeader, 'skips' | 'before'> = {};

const headerOf = async (pieces: FixtureFeedOptions['pieces']): Promise<typeof NO_HEADER> => {
  for await (const { bytes } of pieces()) {
    const view = Buffer.from(bytes);
    const end = view.indexOf(NEWLINE);
    try {
      const header = JSON.parse(view.toString('utf8', 0, end === -1 ? view.length : end)) as unknown;
      return typeof header === 'object' && header !== null ? header : NO_HEADER;
    } catch {
      return NO_HEADER;
    }
  }
  return NO_HEADER;
};

const linesIn = (bytes: ArrayBuffer): number => {
  const view = Buffer.from(bytes);
  let lines = 0;
  for (let at = view.indexOf(NEWLINE); at !== -1; at = view.indexOf(NEWLINE, at + 1)) lines += 1;
  return view.length > 0 && view.at(-1) !== NEWLINE ? lines + 1 : lines;
};

const cutAfter = (bytes: ArrayBuffer, lines: number): ArrayBuffer => {
  const view = Buffer.from(bytes);
  let at = -1;
  for (let left = lines; left > 0; left -= 1) at = view.indexOf(NEWLINE, at + 1);
  return bytes.slice(0, at + 1);
};
