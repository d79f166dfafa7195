import { expect } from 'chai';
import { completeReceipt, type ReceiptCommand, type ReceiptRefusal, receipts } from '#commands/receipts.ts';
import { instant, tenantId } from '#schemas/ids.ts';
import type { JsonObject, Receipt, ReceiptRecorded, ReceiptVersion } from '#schemas/receipts.ts';
import { given } from '#test/support/given.ts';

const receipt: Receipt = {
  id: 'r-1',
  action: 'db.export',
  actor: 'svc-export',
  tenant: 'acme',
  decision: 'allow',
  region: 'eu-central-1',
  op_id: 'op-2',
  op_parent_id: 'op-1',
  created_at: '2026-11-21T10:00:00.5+01:00',
};

const record = (document: JsonObject, schemaVersion: ReceiptVersion = 3): ReceiptCommand => ({
  type: 'RecordReceipt',
  receipt: document,
  schemaVersion,
});

const lifted = {
  occurredAt: instant('2026-11-21T09:00:00.5Z'),
  actor: 'svc-export',
  opId: 'op-2',
  opParentId: 'op-1',
  region: 'eu-central-1',
};

describe('commands/receipts', () => {
  it('records the document as it came, and lifts its authorship', () => {
    const event: ReceiptRecorded = { type: 'receipts.ReceiptRecorded', data: receipt };
    given(receipts)
      .when(record(receipt))
      .thenDecided({ event, schemaVersion: 3, ...lifted });
  });

  it('keeps an older document in its version, and lifts what only its ext can say', () => {
    const document = {
      version: '0.1',
      id: 'r-1',
      action: 'db.export',
      actor: 'svc-export',
      tenant: 'acme',
      decision: 'allow',
      timestamp: receipt.created_at,
      ext: {
        'prov-ledger/0.2': { region: 'eu-central-1' },
        'prov-ledger/1': { op_id: 'op-2', op_parent_id: 'op-1' },
      },
    };
    const event = { type: 'receipts.ReceiptRecorded', data: document } as unknown as ReceiptRecorded;
    given(receipts)
      .when(record(document, 1))
      .thenDecided({ event, schemaVersion: 1, ...lifted });
  });

  it('refuses a receipt of another tenant', () => {
    const { message } = given(receipts)
      .when(record(receipt), { tenant: tenantId('umbrella') })
      .thenRefused('TenantMismatch');
    expect(message).to.include('acme').and.include('umbrella');
  });

  it('refuses a malformed receipt and names every fault', () => {
    const refusal = given(receipts)
      .when(record({ ...receipt, decision: 'maybe', created_at: '2026-02-30T00:00:00Z', extra: 1 }))
      .thenRefused('MalformedReceipt');
    const { faults } = refusal as Extract<ReceiptRefusal, { refusal: 'MalformedReceipt' }>;
    expect(faults.map(({ pointer }) => pointer)).to.have.members(['/decision', '/created_at', '/extra']);
  });

  it('refuses a document read as another version than it is of', () => {
    given(receipts).when(record(receipt, 2)).thenRefused('MalformedReceipt');
  });

  describe('completeReceipt', () => {
    const defaults = { id: 'r-9', at: instant('2026-11-21T09:00:00Z'), tenant: tenantId('acme') };

    it('fills what is missing, in the words of the version', () => {
      expect(completeReceipt({ action: 'a' }, defaults)).to.deep.equal({
        id: 'r-9',
        tenant: 'acme',
        created_at: '2026-11-21T09:00:00.000Z',
        action: 'a',
      });
      expect(completeReceipt({ version: '0.2', id: 'mine' }, defaults)).to.deep.equal({
        id: 'mine',
        tenant: 'acme',
        timestamp: '2026-11-21T09:00:00.000Z',
        version: '0.2',
      });
    });

    it('hands back a complete document untouched, and never overrides', () => {
      expect(completeReceipt(receipt, defaults)).to.equal(receipt);
      expect(completeReceipt({ id: null }, defaults)).to.have.property('id', null);
    });
  });
});
