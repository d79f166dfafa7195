import { projections } from '#commands/projections.ts';
import type { Seq } from '#schemas/ids.ts';
import type { FactSkipped, RebuildProved } from '#schemas/projections.ts';
import { given } from '#test/support/given.ts';

describe('commands/projections', () => {
  const skipped: FactSkipped = {
    type: 'projections.FactSkipped',
    data: { projection: 'receipts_daily', seq: 7, reason: 'a date of the year 0' },
  };
  const skip = {
    type: 'SkipFact',
    projection: 'receipts_daily',
    seq: 7 as Seq,
    reason: skipped.data.reason,
  } as const;
  const proved: RebuildProved = {
    type: 'projections.RebuildProved',
    data: {
      projection: 'receipts_daily',
      version: 1,
      build: 2,
      source_digest: 'a'.repeat(64),
      as_of_seq: 9,
      as_of_hash: 'b'.repeat(64),
      rows: 3,
      digest: 'c'.repeat(64),
    },
  };

  it('a fact is passed over once', () => {
    given(projections).when(skip).then(skipped);
    given(projections, proved, skipped).when(skip).thenRefused('FactAlreadySkipped');
    given(projections, skipped)
      .when({ ...skip, seq: 8 as Seq })
      .then({ ...skipped, data: { ...skipped.data, seq: 8 } });
  });

  it('every proof is recorded, also the same again', () => {
    const record = { type: 'RecordRebuildProved', projection: 'receipts_daily', proof: proved.data } as const;
    given(projections, proved).when(record).then(proved);
  });
});
