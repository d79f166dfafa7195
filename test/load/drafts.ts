// Drafts of receipts as the service makes them, for benchmarks that append without HTTP.
import { receipts } from '#commands/receipts.ts';
import { draftsOf } from '#commands/run.ts';
import type { Draft } from '#schemas/event.ts';
import type { Instant, TenantId } from '#schemas/ids.ts';
import type { JsonObject } from '#schemas/receipts.ts';

/** Of one canonical receipt text (`receiptTexts`). */
export const draftOf = (text: string): Draft => {
  const receipt = JSON.parse(text) as JsonObject & { id: string; actor: string; tenant: TenantId };
  const context = {
    tenant: receipt.tenant,
    actor: receipt.actor,
    at: Date.now() as Instant,
    key: receipt.id,
  };
  const decision = receipts.decide({ type: 'RecordReceipt', receipt, schemaVersion: 3 }, undefined, context);
  if (decision.kind === 'refused') throw new Error(decision.refusal.message);
  return draftsOf(decision.events, context, { payload: text })[0] as Draft;
};
