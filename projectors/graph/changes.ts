// Changes as a graph: who made them, what they are about, within which operation, and what caused that one. What several
// facts share is one node, brought in by the first of them. The labels are none of those of receipts: an element belongs
// to one read model.
import { CHANGE_COLUMNS, CHANGE_TYPES, CHANGES_VERSION, changeOf } from '#projectors/changes.ts';
import type { RowKey } from '#projectors/projector.ts';
import type { Fact } from '#schemas/event.ts';
import { ELEMENT_COLUMNS, type GraphProjector } from './graph.ts';

const elementsOf = ({ id, actor, stream, opId: op, opParentId: parent }: Fact): readonly RowKey[] => {
  const keys: RowKey[] = [
    ['Change', id, ''],
    ['Author', actor, ''],
    ['MADE_BY', id, actor],
  ];
  if (stream !== undefined) keys.push(['Subject', stream, ''], ['ABOUT', id, stream]);
  if (op !== undefined) keys.push(['Task', op, ''], ['WITHIN', id, op]);
  // One that names itself as its cause is there already.
  if (parent !== undefined && parent !== op) keys.push(['Task', parent, '']);
  if (op !== undefined && parent !== undefined) keys.push(['LED_BY', op, parent]);
  return keys;
};

export const changesGraph: GraphProjector = {
  name: 'changes_graph',
  version: CHANGES_VERSION,
  twin: 'changes',
  handles: CHANGE_TYPES,
  columns: { ...ELEMENT_COLUMNS, ...CHANGE_COLUMNS },
  key: ['element', 'id', 'target'],
  nodes: {
    Change: { id: 'fact_id', properties: Object.keys(CHANGE_COLUMNS) },
    Author: { id: 'name', properties: [] },
    Subject: { id: 'stream', properties: [] },
    Task: { id: 'op_id', properties: [] },
  },
  edges: {
    MADE_BY: { from: 'Change', to: 'Author', properties: [] },
    ABOUT: { from: 'Change', to: 'Subject', properties: [] },
    WITHIN: { from: 'Change', to: 'Task', properties: [] },
    LED_BY: { from: 'Task', to: 'Task', properties: [] },
  },
  keys: elementsOf,
  fold: (row, fact, [element = '', id = '', target = '']) => {
    if (row) return row;
    const place = { element, id, target, seq: fact.seq };
    return element === 'Change' ? { ...place, ...changeOf(fact) } : place;
  },
};
