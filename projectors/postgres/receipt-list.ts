// The receipts of a tenant in the order of its chain, from views.receipts.
import type { Instant, Seq, TenantId } from '#schemas/ids.ts';
import { type Pool, streamError } from '#streams/postgres/connect.ts';

/** What is asked: all conditions hold for each receipt of the answer. */
export interface ReceiptQuestion {
  readonly tenant: TenantId;
  readonly actor?: string;
  readonly action?: string;
  readonly decision?: string;
  readonly opId?: string;
  readonly evidenceHash?: string;
  /** Inclusive. */
  readonly createdFrom?: Instant;
  /** Exclusive. */
  readonly createdBefore?: Instant;
  readonly order: 'newest' | 'oldest';
  /** Only receipts behind this place in that order. */
  readonly after?: Seq;
  readonly limit: number;
}

/** One receipt as the read model has it. */
export interface ListedReceipt {
  readonly id: string;
  readonly seq: Seq;
  readonly factId: string;
  readonly action: string;
  readonly actor: string;
  readonly decision: string;
  readonly createdAt: Instant;
  readonly recordedAt: Instant;
  readonly evidenceHash: string | null;
  readonly policyVersion: string | null;
  readonly region: string | null;
  readonly opId: string | null;
  readonly opParentId: string | null;
}

export interface ReceiptAnswer {
  /** In the order of the chain, or against it. */
  readonly receipts: readonly ListedReceipt[];
  /** How far the read model has come; 0 before its first fact. */
  readonly asOfSeq: Seq;
}

/** Rejects with `StreamError`. */
export type ListReceipts = (question: ReceiptQuestion) => Promise<ReceiptAnswer>;

type ListedRow = Omit<ListedReceipt, 'createdAt' | 'recordedAt'> & {
  readonly createdAt: Date;
  readonly recordedAt: Date;
};

const COLUMNS = `receipt_id AS id, seq, fact_id AS "factId", action, actor, decision, created_at AS "createdAt",
  recorded_at AS "recordedAt", evidence_hash AS "evidenceHash", policy_version AS "policyVersion", region,
  op_id AS "opId", op_parent_id AS "opParentId"`;

export const receiptList =
  (pool: Pool): ListReceipts =>
  async (question) => {
    const { text, values } = statement(question);
    try {
      // Asked first: what the rows say is then never older than the seq beside them.
      const asOf = await pool.query<{ seq: Seq }>(
        `SELECT as_of_seq AS seq FROM views.projection_status WHERE tenant = $1 AND projection = 'receipts' AND shown`,
        [question.tenant],
      );
      const { rows } = await pool.query<ListedRow>(text, values);
      const receipts = rows.map((row) => ({
        ...row,
        createdAt: row.createdAt.getTime() as Instant,
        recordedAt: row.recordedAt.getTime() as Instant,
      }));
      return { receipts, asOfSeq: asOf.rows[0]?.seq ?? (0 as Seq) };
    } catch (error) {
      throw streamError(error);
    }
  };

const statement = (question: ReceiptQuestion): { readonly text: string; readonly values: unknown[] } => {
  const { tenant, createdFrom, createdBefore, order, after, limit } = question;
  const newest = order === 'newest';
  const given: readonly (readonly [condition: string, value: unknown])[] = [
    ['tenant =', tenant],
    ['actor =', question.actor],
    ['action =', question.action],
    ['decision =', question.decision],
    ['op_id =', question.opId],
    ['evidence_hash =', question.evidenceHash],
    ['created_at >=', createdFrom === undefined ? undefined : new Date(createdFrom)],
    ['created_at <', createdBefore === undefined ? undefined : new Date(createdBefore)],
    [newest ? 'seq <' : 'seq >', after],
  ];
  const asked = given.filter(([, value]) => value !== undefined);
  const where = asked.map(([condition], index) => `${condition} $${index + 1}`).join(' AND ');
  return {
    text: `SELECT ${COLUMNS} FROM views.receipts WHERE ${where} ORDER BY seq ${newest ? 'DESC' : 'ASC'} LIMIT $${asked.length + 1}`,
    values: [...asked.map(([, value]) => value), limit],
  };
};
