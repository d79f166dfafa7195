// A line of a file as a receipt, by one rule whichever way the file goes in. A file may be taken in twice, and the same
// line must be the same receipt then: one without an id is known by its content, and each says its own time.
import { completeReceipt } from '#commands/receipts.ts';
import type { JsonValue } from '#proofs/canonical.ts';
import { payloadHash } from '#proofs/chain.ts';
import type { Instant, TenantId } from '#schemas/ids.ts';
import { type JsonObject, type ReceiptVersion, receiptVersion } from '#schemas/receipts.ts';
import type { Mapping } from './mapping.ts';

/** What a strict parser made of a line. */
export interface ParsedLine {
  readonly value: JsonValue;
  readonly canonical: string;
}

export interface LineContext {
  readonly tenant: TenantId;
  /** None: the line is a receipt already. */
  readonly mapping: Mapping | undefined;
  readonly at: Instant;
}

export interface LineReceipt {
  /** Complete; the very object of the line where that is. */
  readonly receipt: JsonObject;
  readonly schemaVersion: ReceiptVersion;
}

export interface LineRefusal {
  /** `unmappable`, `not-an-object` or `malformed-receipt`. */
  readonly code: string;
  readonly message: string;
}

export const receiptOfLine = (
  { value, canonical }: ParsedLine,
  { tenant, mapping, at }: LineContext,
): LineReceipt | LineRefusal => {
  const mapped = mapping?.map(value);
  if (mapped && !mapped.ok) return { code: 'unmappable', message: mapped.message };
  const said = mapped ? mapped.receipt : value;
  if (typeof said !== 'object' || said === null || Array.isArray(said))
    return { code: 'not-an-object', message: 'a receipt is a JSON object: one object a line' };
  const source = said as JsonObject;
  const schemaVersion = receiptVersion(source);
  if (typeof schemaVersion === 'object') {
    const { pointer, message } = schemaVersion;
    return { code: 'malformed-receipt', message: `${pointer} ${message}` };
  }
  const time = schemaVersion === 3 ? 'created_at' : 'timestamp';
  if (source[time] === undefined)
    return {
      code: 'malformed-receipt',
      message: `/${time} is missing; a file may be ingested twice, so its lines carry their own time`,
    };
  const whole = source['id'] !== undefined && source['tenant'] !== undefined;
  const id = whole ? '' : `sha256:${payloadHash(canonical)}`;
  return { receipt: completeReceipt(source, { id, at, tenant }), schemaVersion };
};
