import { expect } from 'chai';
import { faultsOf } from '#schemas/index.ts';

describe('schemas/attestations', () => {
  const root = 'a'.repeat(64);
  const recorded = {
    route: 'POST:/v1/orders',
    left_store: 'postgres',
    left_seq: 7,
    left_root: root,
    right_store: 'neo4j',
    right_seq: 7,
    right_root: root,
    elements: 3,
    divergent: 0,
    verdict: 'clean',
  };
  const located = { route: 'receipts', as_of_seq: 7, class: 'value', element: 'receipt r-1' };

  it('an attestation has a root and a place for each store', () => {
    expect(faultsOf('attestations.AttestationRecorded', 1, recorded)).to.deep.equal([]);
    for (const [pointer, over] of [
      ['/left_root', { left_root: 'A' }],
      ['/right_seq', { right_seq: -1 }],
      ['/route', { route: 'POST /v1/orders' }],
    ] as const)
      expect(
        faultsOf('attestations.AttestationRecorded', 1, { ...recorded, ...over }),
      ).to.have.nested.property('[0].pointer', pointer);
  });

  it('lag is no class of drift', () => {
    expect(faultsOf('attestations.DriftLocated', 1, located)).to.deep.equal([]);
    for (const drift of ['missing', 'extra', 'order'])
      expect(faultsOf('attestations.DriftLocated', 1, { ...located, class: drift })).to.deep.equal([]);
    expect(faultsOf('attestations.DriftLocated', 1, { ...located, class: 'lag' })).to.have.nested.property(
      '[0].pointer',
      '/class',
    );
  });

  it('an alarm is raised over at least one element', () => {
    const alarm = { route: 'receipts', alarm_id: 'a-1', as_of_seq: 7, divergent: 1, in_a_row: 1 };
    expect(faultsOf('attestations.DriftAlarmRaised', 1, alarm)).to.deep.equal([]);
    expect(faultsOf('attestations.DriftAlarmRaised', 1, { ...alarm, divergent: 0 })).to.have.nested.property(
      '[0].pointer',
      '/divergent',
    );
  });
});
