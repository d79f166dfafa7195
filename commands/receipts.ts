// Recording a receipt: a pure insert. Nothing that was recorded before can forbid it, so no state is loaded.
import type { Fault } from '#schemas/event.ts';
import { type Instant, instant, instantText, type TenantId } from '#schemas/ids.ts';
import { faultsOf } from '#schemas/index.ts';
import {
  type JsonObject,
  type ReceiptDocument,
  type ReceiptRecorded,
  type ReceiptVersion,
  receiptVersion,
  toVersion,
} from '#schemas/receipts.ts';
import { accept, type Decider, type Refusal, refuse } from './decider.ts';

/** `receipt` is the document as it came, of the version it claims (`receiptVersion`). The context's key is its id. */
export interface RecordReceipt {
  readonly type: 'RecordReceipt';
  readonly receipt: JsonObject;
  readonly schemaVersion: ReceiptVersion;
}

export type ReceiptCommand = RecordReceipt;

export type ReceiptRefusal =
  | (Refusal<'MalformedReceipt'> & { readonly faults: readonly Fault[] })
  | Refusal<'TenantMismatch'>;

export const receipts: Decider<ReceiptCommand, undefined, ReceiptRecorded, ReceiptRefusal> = {
  domain: 'receipts',
  initial: undefined,
  evolve: (state) => state,
  decide: ({ receipt, schemaVersion }, _, { tenant }) => {
    const faults = faultsOf('receipts.ReceiptRecorded', schemaVersion, receipt);
    if (faults.length > 0) return malformed(faults);
    const document = receipt as unknown as ReceiptDocument;
    if (document.tenant !== tenant) {
      return refuse(
        'TenantMismatch',
        `the receipt names the tenant ${document.tenant}, the request is for ${tenant}; send it with that tenant's token`,
      );
    }
    const read = toVersion(document, schemaVersion, 3);
    return accept<ReceiptRecorded>({
      // Stored in the version it came in; what is lifted out of it is read through the adapters.
      event: { type: 'receipts.ReceiptRecorded', data: receipt as unknown as ReceiptRecorded['data'] },
      schemaVersion,
      occurredAt: instant(read.created_at),
      actor: read.actor,
      opId: read.op_id,
      opParentId: read.op_parent_id,
      region: read.region,
    });
  },
};

const malformed = (faults: readonly Fault[]) => {
  const message = faults.map(({ pointer, message }) => `${pointer} ${message}`).join('; ');
  return { kind: 'refused', refusal: { refusal: 'MalformedReceipt', message, faults } } as const;
};

/** What the ledger supplies to a receipt that does not say it. */
export interface ReceiptDefaults {
  readonly id: string;
  readonly at: Instant;
  readonly tenant: TenantId;
}

/** The document with its id, its time and its tenant; the very same object when it has all three. */
export const completeReceipt = (document: JsonObject, { id, at, tenant }: ReceiptDefaults): JsonObject => {
  const time = receiptVersion(document) === 3 ? 'created_at' : 'timestamp';
  if (document['id'] !== undefined && document['tenant'] !== undefined && document[time] !== undefined)
    return document;
  return { id, tenant, [time]: instantText(at), ...document };
};
