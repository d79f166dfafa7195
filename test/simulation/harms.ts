// Harm done to what a store holds, behind the ledger's back. No fact is harmed twice, in whichever store: two harms to one
// could cancel each other out.

import { elementKey } from '#projectors/attestation/element.ts';
import { type AnyProjector, keyText } from '#projectors/batch.ts';
import { receiptsGraph } from '#projectors/graph/receipts.ts';
import type { Row } from '#projectors/projector.ts';
import type { Chance } from '#schemas/fixture.ts';
import type { KeptRows } from '#test/projectors/memory-sink.ts';

export interface Harm {
  readonly what: string;
  /** The fact whose outcome was harmed. */
  readonly seq: number;
  /** Whoever compares finds one of these. */
  readonly elements: readonly string[];
}

/** Answers with the elements that differ then; `undefined` where it is none for this victim. */
type Harming = (rows: KeptRows, victim: string, chance: Chance) => readonly string[] | undefined;
/** By what it is. */
type Harmings = { readonly [what: string]: Harming };

const PROPERTIES = receiptsGraph.nodes['Receipt']?.properties ?? [];

const edited = (row: Row, column: string): Row => {
  const value = row[column];
  return { ...row, [column]: typeof value === 'number' ? value + 1 : `${String(value)}~` };
};

/** A property that has a value. */
const someProperty = (row: Row, chance: Chance): string =>
  chance.pick(PROPERTIES.filter((name) => row[name] !== null && row[name] !== undefined));

const receiptKeys = (id: string): readonly string[] => [elementKey('Receipt', id, '')];

const toTables: Harmings = {
  'a row dropped': (rows, victim) => {
    rows.delete(victim);
    return receiptKeys(victim);
  },
  'a row too many': (rows, victim, chance) => {
    const id = chance.hex(12);
    rows.set(id, { ...rows.get(victim), receipt_id: id });
    return receiptKeys(id);
  },
  'a column edited': (rows, victim, chance) => {
    const row = rows.get(victim) as Row;
    rows.set(victim, edited(row, someProperty(row, chance)));
    return receiptKeys(victim);
  },
  'a column emptied': (rows, victim, chance) => {
    const row = rows.get(victim) as Row;
    rows.set(victim, { ...row, [someProperty(row, chance)]: null });
    return receiptKeys(victim);
  },
  'an end of an edge edited': (rows, victim) => {
    const row = rows.get(victim) as Row;
    const now = edited(row, 'actor');
    rows.set(victim, now);
    return [row, now].map(({ actor }) => elementKey('ASKED_BY', victim, String(actor)));
  },
};

interface Element extends Row {
  readonly element: string;
  readonly id: string;
  readonly target: string;
  readonly seq: number;
}

const keyOf = ({ element, id, target }: Element): readonly string[] => [elementKey(element, id, target)];

/** A node takes with it what hangs on it, as in Neo4j. */
const drop = (rows: KeptRows, victim: string): void => {
  const { id, target, element } = rows.get(victim) as Element;
  rows.delete(victim);
  if (target !== '') return;
  for (const [key, row] of rows) {
    const { from, to } = receiptsGraph.edges[String(row['element'])] ?? {};
    const { id: start, target: end } = row as Element;
    if ((from === element && start === id) || (to === element && end === id)) rows.delete(key);
  }
};

const toGraph: Harmings = {
  'an element dropped': (rows, victim) => {
    const keys = keyOf(rows.get(victim) as Element);
    drop(rows, victim);
    return keys;
  },
  'a node too many': (rows, victim, chance) => {
    const extra = { ...(rows.get(victim) as Element), element: 'Receipt', id: chance.hex(12), target: '' };
    rows.set(keyText([extra.element, extra.id, extra.target]), extra);
    return keyOf(extra);
  },
  'a property edited': (rows, victim, chance) => {
    const row = rows.get(victim) as Element;
    const now = row.element === 'Receipt' ? edited(row, someProperty(row, chance)) : { ...row, note: 'x' };
    rows.set(victim, now);
    return keyOf(row);
  },
  'a property removed': (rows, victim, chance) => {
    const row = rows.get(victim) as Element;
    if (row.element !== 'Receipt') return undefined;
    rows.set(victim, { ...row, [someProperty(row, chance)]: null });
    return keyOf(row);
  },
  'an edge turned round': (rows, victim) => {
    const row = rows.get(victim) as Element;
    // One between two nodes of a kind is another edge then.
    if (row.target === '' || row.element === 'CAUSED_BY') return undefined;
    rows.set(victim, { ...row, direction: 'in' });
    return keyOf(row);
  },
  'an element moved to another fact': (rows, victim, chance) => {
    const row = rows.get(victim) as Element;
    rows.set(victim, { ...row, seq: chance.pick([row.seq + 1, 0, 1_000_000]) });
    return keyOf(row);
  },
};

/** All that there are. */
export const harmKinds: readonly string[] = [toTables, toGraph].flatMap((each) => Object.keys(each));

export interface Harmed {
  readonly projector: AnyProjector;
  /** Of this read model: those of receipts in tables, or of receipts as a graph. */
  readonly rows: KeptRows;
  /** Facts that are harmed already. */
  readonly spared: ReadonlySet<number>;
}

/** Changes `rows`; `undefined` where nothing there can be harmed so. */
export const harm = ({ projector, rows, spared }: Harmed, chance: Chance): Harm | undefined => {
  const victims = [...rows].filter(([, { seq }]) => !spared.has(seq as number));
  if (victims.length === 0) return undefined;
  const [victim, { seq }] = chance.pick(victims);
  const [what, harming] = chance.pick(Object.entries(projector === receiptsGraph ? toGraph : toTables));
  const elements = harming(rows, victim, chance);
  return elements && { what, seq: seq as number, elements };
};
