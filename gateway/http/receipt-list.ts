// GET /receipts: a tenant's receipts from the read model, filtered, a page at a time. A cursor is a place in the
// tenant's chain, which never moves: what is recorded meanwhile neither shifts nor repeats anything on later pages.
import { hash } from 'node:crypto';
import type { ListedReceipt, ListReceipts, ReceiptQuestion } from '#projectors/postgres/receipt-list.ts';
import { dateTime, text, visible } from '#schemas/faults.ts';
import { instant, instantText, type Seq, type TenantId } from '#schemas/ids.ts';
import type { Caller } from './auth.ts';
import type { Operation, Parameter, Schema } from './operation.ts';
import type { Problem } from './problems.ts';
import { isProblem, malformedQuery, type QueryValues, queryReader } from './query.ts';
import { receiptHref } from './record.ts';
import { type Call, jsonReply, problemReply, type Reply } from './route.ts';

const query = (description: string, schema: object): Parameter => ({
  in: 'query',
  description,
  schema: schema as Schema,
});
const PAGE = 100;

export const listOperation = {
  id: 'listReceipts',
  subject: 'receipts',
  summary: "The tenant's receipts, filtered, newest first, a page at a time.",
  description:
    'From the read model, which follows the ledger: as_of_seq says how far it has come. Times are those of the source.',
  parameters: {
    actor: query('receipts of this actor', text(256, 'the actor')),
    action: query('receipts of this action', text(256, 'the action')),
    decision: query('receipts with this decision', {
      type: 'string',
      enum: ['allow', 'deny'],
      description: 'allow or deny',
    }),
    op_id: query('receipts of this operation', visible(128, 'the operation')),
    evidence_hash: query('receipts with this evidence', visible(256, '<algorithm>:<hexadecimal digits>')),
    created_from: query('receipts from this moment on', dateTime),
    created_before: query('receipts before this moment', dateTime),
    order: query('newest first unless told', {
      type: 'string',
      enum: ['newest', 'oldest'],
      description: 'newest or oldest',
    }),
    limit: query(`receipts on a page; ${PAGE} unless told`, {
      type: 'string',
      pattern: '^([1-9]|[1-9][0-9]|[1-4][0-9][0-9]|500)$',
      description: 'a whole number from 1 to 500',
    }),
    cursor: query('next_cursor of the page before, with the same filters and order', {
      type: 'string',
      pattern: '^[A-Za-z0-9_-]{8,64}$',
      description: 'the next_cursor of an earlier answer',
    }),
  },
  answers: {
    200: { description: 'A page.', media: [{ type: 'application/json', schema: 'ReceiptPage' }] },
  },
  problems: ['query-malformed', 'store-mismatch'],
} as const satisfies Operation;

const readQuery = queryReader(listOperation);

export const getReceipts =
  (list: ListReceipts) =>
  async ({ query: given, requestId }: Call, { tenant }: Caller): Promise<Reply> => {
    const values = readQuery(given);
    if (isProblem(values)) return problemReply(values, requestId);
    const after = values['cursor'] === undefined ? undefined : seqOf(values['cursor'], values);
    if (values['cursor'] !== undefined && after === undefined) return problemReply(foreignCursor, requestId);
    const question = questionOf(tenant, values, after);
    // One more than is shown tells whether there is a next page.
    const { receipts, asOfSeq } = await list({ ...question, limit: question.limit + 1 });
    const shown = receipts.slice(0, question.limit);
    const last = shown.at(-1);
    const more = receipts.length > shown.length && last !== undefined;
    return jsonReply(
      {
        receipts: shown.map(listed),
        ...(more && { next_cursor: cursorOf(last.seq, values) }),
        as_of_seq: asOfSeq,
      },
      200,
      { 'cache-control': 'no-store' },
    );
  };

const questionOf = (tenant: TenantId, values: QueryValues, after: Seq | undefined): ReceiptQuestion => {
  const { actor, action, decision, op_id, evidence_hash, created_from, created_before } = values;
  return {
    tenant,
    ...(actor !== undefined && { actor }),
    ...(action !== undefined && { action }),
    ...(decision !== undefined && { decision }),
    ...(op_id !== undefined && { opId: op_id }),
    ...(evidence_hash !== undefined && { evidenceHash: evidence_hash }),
    ...(created_from !== undefined && { createdFrom: instant(created_from) }),
    ...(created_before !== undefined && { createdBefore: instant(created_before) }),
    ...(after !== undefined && { after }),
    order: values['order'] === 'oldest' ? 'oldest' : 'newest',
    limit: Number(values['limit'] ?? PAGE),
  };
};

const listed = (receipt: ListedReceipt) => ({
  id: receipt.id,
  seq: receipt.seq,
  fact_id: receipt.factId,
  action: receipt.action,
  actor: receipt.actor,
  decision: receipt.decision,
  created_at: instantText(receipt.createdAt),
  recorded_at: instantText(receipt.recordedAt),
  evidence_hash: receipt.evidenceHash,
  policy_version: receipt.policyVersion,
  region: receipt.region,
  op_id: receipt.opId,
  op_parent_id: receipt.opParentId,
  href: receiptHref(receipt.id),
});

const foreignCursor: Problem = malformedQuery([
  {
    pointer: '/cursor',
    message: 'belongs to another question; begin without one after changing filters or order',
  },
]);

// A cursor holds its place and what it was made for; it gives no right, since a page is always of the caller's tenant.
const cursorOf = (seq: Seq, values: QueryValues): string =>
  Buffer.from(`1.${seq}.${fingerprint(values)}`, 'latin1').toString('base64url');

const seqOf = (cursor: string, values: QueryValues): Seq | undefined => {
  const [, seq = '', of] =
    /^1\.([1-9]\d{0,15})\.([0-9a-f]{12})$/.exec(Buffer.from(cursor, 'base64url').toString('latin1')) ?? [];
  return of === fingerprint(values) ? (Number(seq) as Seq) : undefined;
};

/** Of filters and order; the size of a page may change from one to the next. */
const fingerprint = ({ cursor: _cursor, limit: _limit, ...rest }: QueryValues): string =>
  hash('sha256', JSON.stringify(Object.entries(rest).sort(([a], [b]) => (a < b ? -1 : 1)))).slice(0, 12);
