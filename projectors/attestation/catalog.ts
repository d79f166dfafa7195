// The mapper catalog: for every route whose writes land in two stores, where in each of them its elements are. The graph
// side follows from the graph projector; the table side says which columns of which view make an element. What a route
// covers is what its graph is folded from: every fact of those types, whichever operation, command or saga recorded it.
import type { AnyProjector } from '#projectors/batch.ts';
import { changes } from '#projectors/changes.ts';
import { changesGraph } from '#projectors/graph/changes.ts';
import type { AnyGraphProjector } from '#projectors/graph/graph.ts';
import { receiptsGraph } from '#projectors/graph/receipts.ts';
import { receipts } from '#projectors/receipts.ts';

/** The columns that make one kind of element, beside `tenant` and `seq`, which every attested table has. */
export interface ElementColumns {
  readonly id: string;
  /** Of an edge; rows in which either end is NULL make no edge. */
  readonly target?: string;
}

export interface ElementSource {
  /** Several, where one kind of node is named by several columns. */
  readonly from: readonly ElementColumns[];
  /** Many rows make one element, and the first of them brought it in. */
  readonly shared?: true;
  /** Property to column. */
  readonly properties?: { readonly [property: string]: string };
}

export interface Mapping {
  /** As attestations name it. */
  readonly route: string;
  readonly graph: AnyGraphProjector;
  /** The read model whose checkpoint says how far the tables are. */
  readonly table: AnyProjector;
  /** What is asked: a view or a table with the columns `tenant` and `seq`, whose rows never change. */
  readonly view: string;
  readonly elements: { readonly [element: string]: ElementSource };
}

/** Columns of a view are called as the properties of the node that they make. */
const propertiesOf = (
  { nodes }: AnyGraphProjector,
  label: string,
): NonNullable<ElementSource['properties']> =>
  Object.fromEntries((nodes[label]?.properties ?? []).map((name) => [name, name]));

const receiptMapping: Mapping = {
  route: 'receipts',
  graph: receiptsGraph,
  table: receipts,
  view: 'views.receipts',
  elements: {
    Receipt: { from: [{ id: 'receipt_id' }], properties: propertiesOf(receiptsGraph, 'Receipt') },
    Actor: { from: [{ id: 'actor' }], shared: true },
    Artifact: { from: [{ id: 'evidence_hash' }], shared: true },
    Operation: { from: [{ id: 'op_id' }, { id: 'op_parent_id' }], shared: true },
    ASKED_BY: { from: [{ id: 'receipt_id', target: 'actor' }] },
    EVIDENCED_BY: { from: [{ id: 'receipt_id', target: 'evidence_hash' }] },
    PART_OF: { from: [{ id: 'receipt_id', target: 'op_id' }] },
    CAUSED_BY: { from: [{ id: 'op_id', target: 'op_parent_id' }], shared: true },
  },
};

const changeMapping: Mapping = {
  route: 'changes',
  graph: changesGraph,
  table: changes,
  view: 'views.changes',
  elements: {
    Change: { from: [{ id: 'fact_id' }], properties: propertiesOf(changesGraph, 'Change') },
    Author: { from: [{ id: 'actor' }], shared: true },
    Subject: { from: [{ id: 'stream' }], shared: true },
    Task: { from: [{ id: 'op_id' }, { id: 'op_parent_id' }], shared: true },
    MADE_BY: { from: [{ id: 'fact_id', target: 'actor' }] },
    ABOUT: { from: [{ id: 'fact_id', target: 'stream' }] },
    WITHIN: { from: [{ id: 'fact_id', target: 'op_id' }] },
    LED_BY: { from: [{ id: 'op_id', target: 'op_parent_id' }], shared: true },
  },
};

export const catalog: readonly Mapping[] = [receiptMapping, changeMapping];
