import { expect } from 'chai';
import { foldBatch } from '#projectors/batch.ts';
import { type TenantRow, tenants } from '#projectors/tenants.ts';
import { decodeFact, domains } from '#schemas/index.ts';
import { ACME, chain, type Said } from './chains.ts';

const created: Said = { type: 'tenants.TenantCreated', data: { tenant: 'acme', display_name: 'Acme' } };
const issued: Said = {
  type: 'tenants.TokenIssued',
  data: { token_id: 't1', token_hash: 'ab'.repeat(32), scopes: ['receipts:write'] },
};
const receipt = (decision: string): Said => ({
  type: 'receipts.ReceiptRecorded',
  schemaVersion: 3,
  data: {
    id: 'r-1',
    tenant: 'acme',
    actor: 'bob',
    action: 'db.export',
    decision,
    created_at: '2026-11-03T10:30:00Z',
  },
});

/** Given these facts of one tenant, its row. */
const rowOf = (...said: readonly Said[]): TenantRow | undefined =>
  foldBatch(tenants, chain(ACME, said).map(decodeFact) as never, new Map()).changes.upserts.get('');

const second = (count: number): number => Date.UTC(2026, 10, 1, 8, 0, count);

describe('tenants', () => {
  it('has one row per tenant, from its creation', () => {
    expect(rowOf(created)).to.deep.equal({
      display_name: 'Acme',
      status: 'active',
      created_at: second(1),
      tokens_active: 0,
      receipts: 0,
      receipts_allowed: 0,
      receipts_denied: 0,
      last_receipt_at: null,
      last_fact_at: second(1),
      last_seq: 1,
    });
  });

  it('follows its name and state', () => {
    const renamed: Said = { type: 'tenants.TenantRenamed', data: { display_name: 'Acme Corp' } };
    const suspended: Said = { type: 'tenants.TenantSuspended', data: { reason: 'unpaid' } };
    expect(rowOf(created, renamed, suspended)).to.include({
      display_name: 'Acme Corp',
      status: 'suspended',
      created_at: second(1),
      last_seq: 3,
    });
    expect(rowOf(created, suspended, { type: 'tenants.TenantResumed' })).to.include({
      display_name: 'Acme',
      status: 'active',
    });
  });

  it('counts its tokens and receipts', () => {
    const revoked: Said = { type: 'tenants.TokenRevoked', data: { token_id: 't1' } };
    expect(
      rowOf(created, issued, issued, receipt('allow'), receipt('deny'), receipt('deny'), revoked),
    ).to.deep.include({
      tokens_active: 1,
      receipts: 3,
      receipts_allowed: 1,
      receipts_denied: 2,
      last_receipt_at: second(6),
      last_fact_at: second(7),
      last_seq: 7,
    });
  });

  it('has a row also for a chain that does not begin with the creation', () => {
    expect(rowOf(receipt('allow'))).to.include({
      display_name: null,
      status: 'active',
      receipts: 1,
      created_at: second(1),
    });
  });

  it('handles every event of its own domain', () => {
    const own = Object.keys(domains.find(({ name }) => name === 'tenants')?.events ?? {});
    expect(own).to.have.length.greaterThan(5);
    expect(tenants.handles).to.include.members(own);
  });
});
