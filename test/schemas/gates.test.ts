import { expect } from 'chai';
import { faultsOf } from '#schemas/index.ts';

describe('schemas/gates', () => {
  const closed = { route: 'receipts', epoch: 1, reason: 'the stores differ' };
  const restored = { route: 'receipts', epoch: 2, grounds: 'ordered', reason: 'the second store is retired' };

  it('a closing has an epoch and a reason, and may name its alarm', () => {
    expect(faultsOf('gates.WritePathRolledBack', 1, closed)).to.deep.equal([]);
    expect(faultsOf('gates.WritePathRolledBack', 1, { ...closed, alarm_id: 'a-1' })).to.deep.equal([]);
    for (const [member, value] of [
      ['epoch', 0],
      ['reason', ''],
      ['alarm_id', 'two words'],
    ] as const)
      expect(
        faultsOf('gates.WritePathRolledBack', 1, { ...closed, [member]: value }),
      ).to.have.nested.property('[0].pointer', `/${member}`);
  });

  it('a return has grounds', () => {
    expect(faultsOf('gates.WritePathRestored', 1, restored)).to.deep.equal([]);
    expect(faultsOf('gates.WritePathRestored', 1, { ...restored, grounds: 'hope' })).to.have.nested.property(
      '[0].pointer',
      '/grounds',
    );
  });
});
