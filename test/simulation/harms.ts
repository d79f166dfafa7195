// Harm done to what a store holds, behind the ledger's back. No fact is harmed twice, in whichever store: two harms to one
// could cancel each other out.

import { elementKey } from '#projectors/attestation/element.ts';
import { type AnyProjector, keyText } from '#projectors/batch.ts';
import { receiptsGraph } from '#projectors/graph/receipts.ts';
import type { Row } from '#projectors/projector.ts';
import { receipts } from '#projectors/receipts.ts';
import type { Chance } from '#schemas/fixture.ts';
import type { KeptRows } from '#test/projectors/memory-sink.ts';

export interface Harm {
  readonly what: string;
  /** The fact whose outcome was harmed. */
  readonly seq: number;
  /** Whoever compares finds one of these. */
  readonly elements: readonly string[];
}

type Harming = (rows: KeptRows, victim: string, chance: Chance) => Omit<Harm, 'seq'> | undefined;

const PROPERTIES = receiptsGraph.nodes['Receipt']?.properties ?? [];

const edited = (row: Row, column: string): Row => {
  const value = row[column];
  return { ...row, [column]: typeof value === 'number' ? value + 1 : `${String(value)}~` };
};

/** A property that has a value. */
const someProperty = (row: Row, chance: Chance): string =>
  chance.pick(PROPERTIES.filter((name) => row[name] !== null && row[name] !== undefined));

const toTables: readonly Harming[] = [
  (rows, victim) => {
    rows.delete(victim);
    return { what: 'a row dropped', elements: [elementKey('Receipt', victim, '')] };
  },
  (rows, victim, chance) => {
    const id = chance.hex(12);
    rows.set(id, { ...rows.get(victim), receipt_id: id });
    return { what: 'a row too many', elements: [elementKey('Receipt', id, '')] };
  },
  (rows, victim, chance) => {
    const row = rows.get(victim) as Row;
    rows.set(victim, edited(row, someProperty(row, chance)));
    return { what: 'a column edited', elements: [elementKey('Receipt', victim, '')] };
  },
  (rows, victim, chance) => {
    const row = rows.get(victim) as Row;
    rows.set(victim, { ...row, [someProperty(row, chance)]: null });
    return { what: 'a column emptied', elements: [elementKey('Receipt', victim, '')] };
  },
  (rows, victim) => {
    const row = rows.get(victim) as Row;
    const now = edited(row, 'actor');
    rows.set(victim, now);
    return {
      what: 'an end of an edge edited',
      elements: [row, now].map(({ actor }) => elementKey('ASKED_BY', victim, String(actor))),
    };
  },
];

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

const toGraph: readonly Harming[] = [
  (rows, victim) => {
    const elements = keyOf(rows.get(victim) as Element);
    drop(rows, victim);
    return { what: 'an element dropped', elements };
  },
  (rows, victim, chance) => {
    const extra = { ...(rows.get(victim) as Element), element: 'Receipt', id: chance.hex(12), target: '' };
    rows.set(keyText([extra.element, extra.id, extra.target]), extra);
    return { what: 'a node too many', elements: keyOf(extra) };
  },
  (rows, victim, chance) => {
    const row = rows.get(victim) as Element;
    rows.set(
      victim,
      row.element === 'Receipt' ? edited(row, someProperty(row, chance)) : { ...row, note: 'x' },
    );
    return { what: 'a property edited', elements: keyOf(row) };
  },
  (rows, victim, chance) => {
    const row = rows.get(victim) as Element;
    if (row.element !== 'Receipt') return undefined;
    rows.set(victim, { ...row, [someProperty(row, chance)]: null });
    return { what: 'a property removed', elements: keyOf(row) };
  },
  (rows, victim) => {
    const row = rows.get(victim) as Element;
    if (row.target === '' || row.element === 'CAUSED_BY') return undefined;
    rows.set(victim, { ...row, direction: 'in' });
    return { what: 'an edge turned round', elements: keyOf(row) };
  },
  (rows, victim, chance) => {
    const row = rows.get(victim) as Element;
    rows.set(victim, { ...row, seq: chance.pick([row.seq + 1, 0, 1_000_000]) });
    return { what: 'an element moved to another fact', elements: keyOf(row) };
  },
];

/** The kinds of harm that there are, by what is harmed. */
const HARMS: ReadonlyMap<AnyProjector, readonly Harming[]> = new Map<AnyProjector, readonly Harming[]>([
  [receipts, toTables],
  [receiptsGraph, toGraph],
]);

/** Changes `rows`, which are of this read model; `undefined` when nothing there can be harmed so. */
export const harm = ({ projector, rows, spared }: Harmed, chance: Chance): Harm | undefined => {
  const victims = [...rows].filter(([, { seq }]) => !spared.has(seq as number));
  if (victims.length === 0) return undefined;
  const [victim, { seq }] = chance.pick(victims);
  const done = chance.pick(HARMS.get(projector) ?? [])(rows, victim, chance);
  return done && { ...done, seq: seq as number };
};

export interface Harmed {
  readonly projector: AnyProjector;
  readonly rows: KeptRows;
  /** Facts that are harmed already. */
  readonly spared: ReadonlySet<number>;
}
