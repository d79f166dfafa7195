// Tenants for analysts and operators: the state of each, and its receipts in figures.
import type { Fact } from '#schemas/event.ts';
import type { Instant, Seq } from '#schemas/ids.ts';
import type { ReceiptEvent } from '#schemas/receipts.ts';
import type { TenantEvent } from '#schemas/tenants.ts';
import type { Projector } from './projector.ts';

export type TenantRow = {
  readonly display_name: string | null;
  readonly status: 'active' | 'suspended';
  readonly created_at: Instant;
  readonly tokens_active: number;
  readonly receipts: number;
  readonly receipts_allowed: number;
  readonly receipts_denied: number;
  readonly last_receipt_at: Instant | null;
  readonly last_fact_at: Instant;
  readonly last_seq: Seq;
};

type Event = TenantEvent | ReceiptEvent;

/** What a fact says, put over the row with its own time and place. */
const changed = (row: TenantRow, fact: Fact<Event>): Partial<TenantRow> => {
  switch (fact.type) {
    case 'receipts.ReceiptRecorded':
      return {
        receipts: row.receipts + 1,
        receipts_allowed: row.receipts_allowed + (fact.data.decision === 'allow' ? 1 : 0),
        receipts_denied: row.receipts_denied + (fact.data.decision === 'deny' ? 1 : 0),
        last_receipt_at: fact.recordedAt,
      };
    case 'tenants.TenantCreated':
    case 'tenants.TenantRenamed':
      return { display_name: fact.data.display_name };
    case 'tenants.TenantSuspended':
      return { status: 'suspended' };
    case 'tenants.TenantResumed':
      return { status: 'active' };
    case 'tenants.TokenIssued':
      return { tokens_active: row.tokens_active + 1 };
    case 'tenants.TokenRevoked':
      return { tokens_active: row.tokens_active - 1 };
    default:
      return fact satisfies never;
  }
};

const first = ({ recordedAt, seq }: Fact<Event>): TenantRow => ({
  display_name: null,
  status: 'active',
  created_at: recordedAt,
  tokens_active: 0,
  receipts: 0,
  receipts_allowed: 0,
  receipts_denied: 0,
  last_receipt_at: null,
  last_fact_at: recordedAt,
  last_seq: seq,
});

export const tenants: Projector<Event, TenantRow> = {
  name: 'tenants',
  version: 1,
  handles: [
    'tenants.TenantCreated',
    'tenants.TenantRenamed',
    'tenants.TenantSuspended',
    'tenants.TenantResumed',
    'tenants.TokenIssued',
    'tenants.TokenRevoked',
    'receipts.ReceiptRecorded',
  ],
  columns: {
    display_name: 'text',
    status: 'text',
    created_at: 'timestamptz',
    tokens_active: 'bigint',
    receipts: 'bigint',
    receipts_allowed: 'bigint',
    receipts_denied: 'bigint',
    last_receipt_at: 'timestamptz',
    last_fact_at: 'timestamptz',
    last_seq: 'bigint',
  },
  key: [],
  keys: () => [[]],
  fold: (row, fact) => {
    const before = row ?? first(fact);
    return { ...before, ...changed(before, fact), last_fact_at: fact.recordedAt, last_seq: fact.seq };
  },
};
