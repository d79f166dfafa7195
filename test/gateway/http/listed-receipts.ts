// The receipts of a tenant listed without a read model: read from the store and filtered one by one.
import type { ListReceipts, ReceiptQuestion } from '#projectors/postgres/receipt-list.ts';
import type { Seq } from '#schemas/ids.ts';
import { decodeFact } from '#schemas/index.ts';
import type { StreamStore } from '#streams/stream.ts';

type Asked = Omit<ReceiptQuestion, 'tenant' | 'order' | 'limit'>;

export const listedFrom =
  (store: Pick<StreamStore, 'read'>): ListReceipts =>
  async ({ tenant, order, limit, ...asked }) => {
    const receipts = [];
    let asOfSeq = 0 as Seq;
    for await (const page of store.read(tenant)) {
      for (const recorded of page) {
        asOfSeq = recorded.seq;
        const fact = decodeFact(recorded);
        if (fact.type !== 'receipts.ReceiptRecorded') continue;
        receipts.push({
          id: fact.data.id,
          seq: fact.seq,
          factId: fact.id,
          action: fact.data.action,
          actor: fact.data.actor,
          decision: fact.data.decision,
          createdAt: fact.occurredAt,
          recordedAt: fact.recordedAt,
          evidenceHash: fact.data.evidence_hash ?? null,
          policyVersion: fact.data.policy_version ?? null,
          region: fact.data.region ?? null,
          opId: fact.data.op_id ?? null,
          opParentId: fact.data.op_parent_id ?? null,
        });
      }
    }
    if (order === 'newest') receipts.reverse();
    const wanted = receipts.filter((receipt) => fits(receipt, asked, order));
    return { receipts: wanted.slice(0, limit), asOfSeq };
  };

const fits = (
  receipt: Awaited<ReturnType<ListReceipts>>['receipts'][number],
  { after, createdFrom, createdBefore, ...equal }: Asked,
  order: ReceiptQuestion['order'],
): boolean =>
  Object.entries(equal).every(([name, value]) => receipt[name as keyof typeof equal] === value) &&
  (after === undefined || (order === 'newest' ? receipt.seq < after : receipt.seq > after)) &&
  (createdFrom === undefined || receipt.createdAt >= createdFrom) &&
  (createdBefore === undefined || receipt.createdAt < createdBefore);
