// A file taken in by the bulk importer, seen as ingest by appending is seen: the same counts, the same way to go on after
// an interruption. Here the place to go on from is a byte of the decompressed file.
import type { IngestCounts, IngestProgress, Rejection } from './appending.ts';
import type { ImportOptions, ImportProgress, ImportSummary } from './import.ts';

/** The importer, given all of what it needs but the work itself. */
export type BulkImport = (
  options: Omit<ImportOptions, 'pool' | 'ledgerId' | 'signer' | 'inline'>,
) => Promise<ImportSummary>;

export interface BulkIngestion
  extends Omit<Parameters<BulkImport>[0], 'source' | 'onFault' | 'onProgress' | 'signal'> {
  readonly importInBulk: BulkImport;
  /** The decompressed file. */
  readonly bytes: AsyncIterable<Buffer>;
  /** Bytes that an earlier run had acknowledged. */
  readonly behind: number;
  readonly onReject: (rejection: Rejection) => void;
  readonly signal: AbortSignal;
}

/** Starts at once. `through` counts bytes, and stays before the first line that was rejected: it is then tried again. */
export const ingestInBulk = ({
  importInBulk,
  bytes,
  behind,
  onReject,
  ...options
}: BulkIngestion): IngestProgress => {
  const skipped = { bytes: 0, lines: 0 };
  let progress: ImportProgress = { offset: 0, recorded: 0, repeated: 0, faults: 0 };
  let clean = behind;
  const done = importInBulk({
    ...options,
    source: rest(bytes, behind, skipped),
    onFault: (fault) => onReject({ ...fault, line: fault.line + skipped.lines }),
    onProgress: (now) => {
      progress = now;
      if (now.faults === 0) clean = behind + now.offset;
    },
  }).then(() => undefined);
  done.catch(() => undefined);
  const counts = (): IngestCounts => ({
    recorded: progress.recorded,
    repeated: progress.repeated,
    rejected: progress.faults,
    skipped: skipped.lines,
    blank: 0,
  });
  return { counts, through: () => clean, done };
};

const NEWLINE = 0x0a;

/** What stands behind the first `behind` bytes, which end with a line; counts what is passed over. */
const rest = async function* (
  bytes: AsyncIterable<Buffer>,
  behind: number,
  skipped: { bytes: number; lines: number },
): AsyncGenerator<Buffer> {
  for await (const chunk of bytes) {
    const over = Math.min(chunk.length, behind - skipped.bytes);
    for (let at = chunk.indexOf(NEWLINE); at !== -1 && at < over; at = chunk.indexOf(NEWLINE, at + 1))
      skipped.lines += 1;
    skipped.bytes += over;
    if (over < chunk.length) yield chunk.subarray(over);
  }
};
