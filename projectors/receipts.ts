// Receipts for analysts: every one of them, and counted by day.
import type { Fact } from '#schemas/event.ts';
import { dayText, type Instant, type Seq } from '#schemas/ids.ts';
import { type ReceiptEvent, receipts as schema } from '#schemas/receipts.ts';
import type { Projector } from './projector.ts';

export type ReceiptRow = {
  readonly receipt_id: string;
  readonly seq: Seq;
  readonly fact_id: string;
  readonly action: string;
  readonly actor: string;
  readonly decision: 'allow' | 'deny';
  readonly created_at: Instant;
  readonly recorded_at: Instant;
  readonly evidence_hash: string | null;
  readonly policy_version: string | null;
  readonly region: string | null;
  readonly kid: string | null;
  readonly op_id: string | null;
  readonly op_parent_id: string | null;
  readonly schema_version: string;
  readonly inputs: object | null;
};

const versionName = ({ type, schemaVersion }: Fact<ReceiptEvent>): string =>
  schema.events[type].versionNames[schemaVersion - 1] ?? String(schemaVersion);

export const receipts: Projector<ReceiptEvent, ReceiptRow> = {
  name: 'receipts',
  version: 1,
  handles: ['receipts.ReceiptRecorded'],
  columns: {
    receipt_id: 'text',
    seq: 'bigint',
    fact_id: 'text',
    action: 'text',
    actor: 'text',
    decision: 'text',
    created_at: 'timestamptz',
    recorded_at: 'timestamptz',
    evidence_hash: 'text',
    policy_version: 'text',
    region: 'text',
    kid: 'text',
    op_id: 'text',
    op_parent_id: 'text',
    schema_version: 'text',
    inputs: 'jsonb',
  },
  key: ['receipt_id'],
  insertOnly: true,
  keys: ({ data }) => [[data.id]],
  fold: (_row, fact) => ({
    receipt_id: fact.data.id,
    seq: fact.seq,
    fact_id: fact.id,
    action: fact.data.action,
    actor: fact.data.actor,
    decision: fact.data.decision,
    // The decider takes one from the other; this one need not be parsed.
    created_at: fact.occurredAt,
    recorded_at: fact.recordedAt,
    evidence_hash: fact.data.evidence_hash ?? null,
    policy_version: fact.data.policy_version ?? null,
    region: fact.data.region ?? null,
    kid: fact.data.kid ?? null,
    op_id: fact.data.op_id ?? null,
    op_parent_id: fact.data.op_parent_id ?? null,
    schema_version: versionName(fact),
    inputs: fact.data.inputs ?? null,
  }),
};

export type ReceiptsDailyRow = {
  readonly day: string;
  readonly action: string;
  readonly decision: string;
  readonly receipts: number;
  readonly first_created_at: Instant;
  readonly last_created_at: Instant;
  readonly last_seq: Seq;
};

export const receiptsDaily: Projector<ReceiptEvent, ReceiptsDailyRow> = {
  name: 'receipts_daily',
  version: 1,
  handles: ['receipts.ReceiptRecorded'],
  columns: {
    day: 'date',
    action: 'text',
    decision: 'text',
    receipts: 'bigint',
    first_created_at: 'timestamptz',
    last_created_at: 'timestamptz',
    last_seq: 'bigint',
  },
  key: ['day', 'action', 'decision'],
  keys: ({ occurredAt, data }) => [[dayText(occurredAt), data.action, data.decision]],
  fold: (row, { occurredAt: at, seq }, [day = '', action = '', decision = '']) => ({
    day,
    action,
    decision,
    receipts: (row?.receipts ?? 0) + 1,
    first_created_at: row && row.first_created_at < at ? row.first_created_at : at,
    last_created_at: row && row.last_created_at > at ? row.last_created_at : at,
    last_seq: seq,
  }),
};
