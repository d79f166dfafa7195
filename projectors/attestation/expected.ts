// What the ledger itself says that both stores must hold of one route: elements folded from its facts and from nothing
// else, in the form in which those of the stores are compared. Facts are given in the order of the chain, from the first:
// an element that several of them name belongs to the first of them, so only a fold from the beginning knows whose it is.
import { hash } from 'node:crypto';
import { type AnyGraphProjector, type ElementRow, propertiesOf } from '#projectors/graph/graph.ts';
import type { ColumnType, RowValue } from '#projectors/projector.ts';
import type { Fact, Recorded } from '#schemas/event.ts';
import type { Seq } from '#schemas/ids.ts';
import type { Mapping } from './catalog.ts';
import { type CanonicalElement, canonicalElement, type Observed } from './element.ts';

export interface ExpectedElements {
  /** Facts that were taken and are of the route. */
  readonly operations: () => number;
  /** The elements that these facts bring in. Throws what the fold throws. */
  readonly take: (facts: readonly Recorded[]) => readonly CanonicalElement[];
}

export interface ExpectedOptions {
  readonly mapping: Pick<Mapping, 'graph' | 'elements'>;
  readonly decode: (recorded: Recorded) => Fact;
  /** Places that both read models pass over. */
  readonly skipped: ReadonlySet<Seq>;
}

export const expectedElements = ({ mapping, decode, skipped }: ExpectedOptions): ExpectedElements => {
  const { graph, elements } = mapping;
  // Of shared elements only: 32 bytes each, so a million of them fit into memory.
  const known = new Set<string>();
  let operations = 0;
  const isNew = (key: readonly string[]): boolean => {
    if (!elements[key[0] ?? '']?.shared) return true;
    const digest = hash('sha256', JSON.stringify(key), 'binary');
    if (known.has(digest)) return false;
    known.add(digest);
    return true;
  };
  return {
    operations: () => operations,
    take: (facts) => {
      const found: CanonicalElement[] = [];
      for (const recorded of facts) {
        if (!graph.handles.includes(recorded.type) || skipped.has(recorded.seq)) continue;
        operations += 1;
        const fact = decode(recorded);
        for (const key of graph.keys(fact)) {
          if (!isNew(key)) continue;
          const row = graph.fold(undefined, fact, key) as ElementRow | undefined;
          if (row) found.push(elementOf(graph, row));
        }
      }
      return found;
    },
  };
};

const elementOf = (graph: AnyGraphProjector, row: ElementRow): CanonicalElement => {
  const { element, id, target, seq } = row;
  const fields: { [name: string]: Observed | undefined } = {};
  for (const [name, type] of propertiesOf(graph, element))
    if (name !== 'seq') fields[name] = observed(type, row[name]);
  return canonicalElement({ element, id, target, seq, fields });
};

/** As the tables say the same value. */
export const observed = (type: ColumnType, value: RowValue): Observed | undefined => {
  if (value === null || value === undefined) return undefined;
  const text = typeof value === 'object' ? JSON.stringify(value) : String(value);
  switch (type) {
    case 'text':
    case 'bytea':
      return { is: 'text', text };
    case 'bigint':
    case 'integer':
      return { is: 'int', text };
    case 'boolean':
      return { is: 'bool', text };
    case 'date':
      return { is: 'date', text };
    case 'timestamptz':
      return { is: 'time', text: String(BigInt(value as number) * 1_000_000n) };
    case 'jsonb':
      return { is: 'json', text };
    case 'text[]':
      return { is: 'list', items: (value as readonly string[]).map((item) => ({ is: 'text', text: item })) };
    default:
      return type satisfies never;
  }
};
