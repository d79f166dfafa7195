import { expect } from 'chai';
import { faultsOf } from '#schemas/index.ts';

describe('schemas/projections', () => {
  const skipped = { projection: 'receipts_daily', seq: 7, reason: 'a date of the year 0' };

  it('a fact is passed over by one read model, for a reason', () => {
    expect(faultsOf('projections.FactSkipped', 1, skipped)).to.deep.equal([]);
    for (const [member, value] of [
      ['reason', ''],
      ['seq', 0],
      ['projection', 'Receipts'],
    ] as const)
      expect(faultsOf('projections.FactSkipped', 1, { ...skipped, [member]: value })).to.have.nested.property(
        '[0].pointer',
        `/${member}`,
      );
  });

  it('a proof names the rows, the place and the source, each by its digest', () => {
    const hex = '0'.repeat(64);
    const proof = {
      projection: 'receipts',
      version: 1,
      build: 2,
      source_digest: hex,
      as_of_seq: 0,
      as_of_hash: hex,
      rows: 0,
      digest: hex,
    };
    expect(faultsOf('projections.RebuildProved', 1, proof)).to.deep.equal([]);
    for (const member of ['source_digest', 'as_of_hash', 'digest'])
      expect(faultsOf('projections.RebuildProved', 1, { ...proof, [member]: 'x' })).to.have.nested.property(
        '[0].pointer',
        `/${member}`,
      );
  });
});
