// Facts in a real ledger, for read models to fold: a tenant, and receipts of it.
import { expect } from 'chai';
import type { Draft } from '#schemas/event.ts';
import { factId, type Instant, type TenantId } from '#schemas/ids.ts';
import type { StreamStore } from '#streams/stream.ts';

const AT = Date.UTC(2026, 10, 3, 10, 30) as Instant;

const draft = (place: number, type: string, schemaVersion: number, data: object): Draft => ({
  id: factId(`00000000-0000-7000-8000-${place.toString(16).padStart(12, '0')}`),
  type,
  schemaVersion,
  payload: JSON.stringify(data),
  occurredAt: AT,
  actor: 'test',
});

const receipt = (tenant: TenantId, place: number): Draft =>
  draft(place, 'receipts.ReceiptRecorded', 3, {
    action: 'db.export',
    actor: 'test',
    created_at: '2026-11-03T10:30:00Z',
    decision: place % 3 ? 'allow' : 'deny',
    id: `r-${place}`,
    tenant,
  });

export const openTenant = async (store: StreamStore, tenant: TenantId): Promise<void> => {
  const drafts = [draft(1, 'tenants.TenantCreated', 1, { display_name: tenant, tenant })];
  expect(await store.append({ tenant, drafts, expect: { kind: 'new-tenant' } })).to.have.property(
    'kind',
    'appended',
  );
};

/** Receipts `r-<from>` and so on, of one actor. */
export const appendReceipts = async (
  store: StreamStore,
  tenant: TenantId,
  { from, count }: { readonly from: number; readonly count: number },
): Promise<void> => {
  const drafts = Array.from({ length: count }, (_, index) => receipt(tenant, from + index));
  expect(await store.append({ tenant, drafts, expect: { kind: 'any' } })).to.have.property(
    'kind',
    'appended',
  );
};
