// Every fact that is no receipt, one row each: what was changed about the ledger itself, by whom, within which operation.
// Its graph says the same (graph/changes.ts), so that every kind of write is kept twice and the two can be compared.
import type { Fact } from '#schemas/event.ts';
import type { Instant, Seq } from '#schemas/ids.ts';
import { domains } from '#schemas/index.ts';
import type { Projector } from './projector.ts';

export type ChangeRow = {
  readonly fact_id: string;
  readonly seq: Seq;
  readonly type: string;
  readonly actor: string;
  readonly stream: string | null;
  readonly op_id: string | null;
  readonly op_parent_id: string | null;
  readonly region: string | null;
  readonly occurred_at: Instant;
  readonly recorded_at: Instant;
  readonly hash: string;
};

/** Receipts have read models of their own. */
export const CHANGE_TYPES: readonly string[] = domains
  .filter(({ name }) => name !== 'receipts')
  .flatMap(({ events }) => Object.keys(events));

/** Types are added and never go: with each of them, what is folded means more. */
export const CHANGES_VERSION = CHANGE_TYPES.length;

/** The hash stands for all of it, what the payload says too. */
export const changeOf = (fact: Fact): Omit<ChangeRow, 'fact_id' | 'seq'> => ({
  type: fact.type,
  actor: fact.actor,
  stream: fact.stream ?? null,
  op_id: fact.opId ?? null,
  op_parent_id: fact.opParentId ?? null,
  region: fact.region ?? null,
  occurred_at: fact.occurredAt,
  recorded_at: fact.recordedAt,
  hash: fact.hash,
});

export const CHANGE_COLUMNS = {
  type: 'text',
  actor: 'text',
  stream: 'text',
  op_id: 'text',
  op_parent_id: 'text',
  region: 'text',
  occurred_at: 'timestamptz',
  recorded_at: 'timestamptz',
  hash: 'text',
} as const;

export const changes: Projector = {
  name: 'changes',
  version: CHANGES_VERSION,
  handles: CHANGE_TYPES,
  columns: { fact_id: 'text', seq: 'bigint', ...CHANGE_COLUMNS },
  key: ['fact_id'],
  insertOnly: true,
  keys: ({ id }) => [[id]],
  fold: (_row, fact) => ({ fact_id: fact.id, seq: fact.seq, ...changeOf(fact) }),
};
