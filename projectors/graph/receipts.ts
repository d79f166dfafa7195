// Receipts as a graph: who asked, with what evidence, within which operation, and what caused that one. Everything
// that several receipts share is one node, brought in by the first of them.
import type { RowKey } from '#projectors/projector.ts';
import type { Fact } from '#schemas/event.ts';
import type { Instant } from '#schemas/ids.ts';
import { type ReceiptEvent, receipts as schema } from '#schemas/receipts.ts';
import { ELEMENT_COLUMNS, type ElementRow, type GraphProjector } from './graph.ts';

export type ReceiptElementRow = ElementRow & {
  readonly fact_id?: string;
  readonly action?: string;
  readonly decision?: 'allow' | 'deny';
  readonly created_at?: Instant;
  readonly recorded_at?: Instant;
  readonly policy_version?: string | null;
  readonly region?: string | null;
  readonly kid?: string | null;
  readonly schema_version?: string;
};

/** The elements that a receipt says something about: its own, then those it may share with others. */
const elementsOf = ({ data }: Fact<ReceiptEvent>): readonly RowKey[] => {
  const { id, actor, evidence_hash: evidence, op_id: op, op_parent_id: parent } = data;
  const keys: RowKey[] = [
    ['Receipt', id, ''],
    ['Actor', actor, ''],
    ['ASKED_BY', id, actor],
  ];
  if (evidence !== undefined) keys.push(['Artifact', evidence, ''], ['EVIDENCED_BY', id, evidence]);
  if (op !== undefined) keys.push(['Operation', op, ''], ['PART_OF', id, op]);
  // An operation may name itself as its cause; the node is then there already.
  if (parent !== undefined && parent !== op) keys.push(['Operation', parent, '']);
  if (op !== undefined && parent !== undefined) keys.push(['CAUSED_BY', op, parent]);
  return keys;
};

export const receiptsGraph: GraphProjector<ReceiptEvent, ReceiptElementRow> = {
  name: 'receipts_graph',
  version: 1,
  twin: 'receipts',
  handles: ['receipts.ReceiptRecorded'],
  columns: {
    ...ELEMENT_COLUMNS,
    fact_id: 'text',
    action: 'text',
    decision: 'text',
    created_at: 'timestamptz',
    recorded_at: 'timestamptz',
    policy_version: 'text',
    region: 'text',
    kid: 'text',
    schema_version: 'text',
  },
  key: ['element', 'id', 'target'],
  nodes: {
    Receipt: {
      id: 'receipt_id',
      properties: [
        'fact_id',
        'action',
        'decision',
        'created_at',
        'recorded_at',
        'policy_version',
        'region',
        'kid',
        'schema_version',
      ],
    },
    Actor: { id: 'name', properties: [] },
    Artifact: { id: 'hash', properties: [] },
    Operation: { id: 'op_id', properties: [] },
  },
  edges: {
    ASKED_BY: { from: 'Receipt', to: 'Actor', properties: [] },
    EVIDENCED_BY: { from: 'Receipt', to: 'Artifact', properties: [] },
    PART_OF: { from: 'Receipt', to: 'Operation', properties: [] },
    CAUSED_BY: { from: 'Operation', to: 'Operation', properties: [] },
  },
  keys: elementsOf,
  fold: (row, fact, [element = '', id = '', target = '']) => {
    if (row) return row;
    const { seq, data } = fact;
    if (element !== 'Receipt') return { element, id, target, seq };
    return {
      element,
      id,
      target,
      seq,
      fact_id: fact.id,
      action: data.action,
      decision: data.decision,
      created_at: fact.occurredAt,
      recorded_at: fact.recordedAt,
      policy_version: data.policy_version ?? null,
      region: data.region ?? null,
      kid: data.kid ?? null,
      schema_version:
        schema.events[fact.type].versionNames[fact.schemaVersion - 1] ?? String(fact.schemaVersion),
    };
  },
};
