import { expect } from 'chai';
import type { Rejection } from '#gateway/ingest/appending.ts';
import { type BulkImport, ingestInBulk } from '#gateway/ingest/bulk-progress.ts';
import type { ImportProgress, ImportSummary } from '#gateway/ingest/import.ts';
import { ACME } from '#test/support/memory-ledger.ts';

const FILE = Buffer.from('one\ntwo\nthree\nfour\n');

/** An importer that reads everything, then reports the given steps and faults. */
const reporting =
  (steps: readonly Partial<ImportProgress>[], seen: string[], faultLine?: number): BulkImport =>
  async (options) => {
    let text = '';
    for await (const bytes of options.source) text += Buffer.from(bytes).toString();
    seen.push(text);
    if (faultLine !== undefined) options.onFault?.({ line: faultLine, code: 'not-json', message: 'bad' });
    let progress: ImportProgress = { offset: 0, recorded: 0, repeated: 0, faults: 0 };
    for (const step of steps) {
      progress = { ...progress, ...step };
      options.onProgress?.(progress);
    }
    return { ...progress, interrupted: false, inline: [] } satisfies ImportSummary;
  };

const ingest = async (importInBulk: BulkImport, behind: number, chunkBytes: number) => {
  const rejections: Rejection[] = [];
  const bytes = (async function* () {
    for (let at = 0; at < FILE.length; at += chunkBytes) yield FILE.subarray(at, at + chunkBytes);
  })();
  const work = ingestInBulk({
    importInBulk,
    tenant: ACME,
    bytes,
    behind,
    onReject: (rejection) => rejections.push(rejection),
    signal: new AbortController().signal,
  });
  await work.done;
  return { rejections, counts: work.counts(), through: work.through() };
};

describe('gateway/ingest in bulk', () => {
  it('goes on behind what was acknowledged, and names lines as they stand in the file', async () => {
    for (const chunkBytes of [1, 3, 4, 7, 100]) {
      const seen: string[] = [];
      const { rejections, counts } = await ingest(
        reporting([{ offset: 11, recorded: 1, faults: 1 }], seen, 2),
        8,
        chunkBytes,
      );
      expect(seen, `chunks of ${chunkBytes}`).to.deep.equal(['three\nfour\n']);
      expect(rejections.map(({ line }) => line)).to.deep.equal([4]);
      expect(counts).to.deep.equal({ recorded: 1, repeated: 0, rejected: 1, skipped: 2, blank: 0 });
    }
  });

  it('stays before the first line that was rejected, so that it is tried again', async () => {
    const steps = [
      { offset: 4, recorded: 1 },
      { offset: 8, recorded: 2 },
      { offset: 14, faults: 1 },
      { offset: 19, recorded: 3 },
    ];
    expect((await ingest(reporting(steps, []), 0, 5)).through).to.equal(8);
    expect((await ingest(reporting([{ offset: 5, faults: 1 }], []), 4, 5)).through).to.equal(4);
    expect((await ingest(reporting([{ offset: 11, recorded: 2 }], []), 8, 5)).through).to.equal(19);
  });
});
