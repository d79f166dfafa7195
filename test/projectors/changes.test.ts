import { expect } from 'chai';
import { foldBatch } from '#projectors/batch.ts';
import { CHANGE_TYPES, type ChangeRow, changes } from '#projectors/changes.ts';
import { decodeFact, domains } from '#schemas/index.ts';
import { ACME, chain } from './chains.ts';

describe('projectors/changes', () => {
  it('has a row per fact, with the hash that stands for what it says', () => {
    const facts = chain(ACME, [
      { type: 'tenants.TenantCreated', data: { tenant: 'acme', display_name: 'acme' } },
      { type: 'tenants.TenantRenamed', data: { display_name: 'Acme AG' } },
    ]).map(decodeFact);
    const { changes: made, poison } = foldBatch(changes, facts, new Map());
    expect(poison).to.equal(undefined);
    const rows = made.inserts as readonly ChangeRow[];
    expect(rows.map(({ seq, type, hash }) => [seq, type, hash])).to.deep.equal(
      facts.map(({ seq, type, hash }) => [seq, type, hash]),
    );
    expect(rows[0]).to.include({ actor: 'test', stream: null, op_id: null, op_parent_id: null });
  });

  it('takes every type of fact but receipts, which have tables of their own', () => {
    const types = domains.flatMap(({ events }) => Object.keys(events));
    expect([...CHANGE_TYPES, 'receipts.ReceiptRecorded']).to.have.members(types);
  });
});
