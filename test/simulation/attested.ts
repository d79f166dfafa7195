// What attestation asks of a store, answered out of rows in memory: of a table as the mapper catalog says which columns make
// which elements, of a graph as it holds them.
import type { ElementSource, Mapping } from '#projectors/attestation/catalog.ts';
import { type CanonicalElement, canonicalElement, type Observed } from '#projectors/attestation/element.ts';
import { observed } from '#projectors/attestation/expected.ts';
import type { AttestedStore } from '#projectors/attestation/store.ts';
import type { AnyGraphProjector } from '#projectors/graph/graph.ts';
import type { ColumnType, Row } from '#projectors/projector.ts';

interface Held {
  /** Of one tenant. */
  readonly rows: () => readonly Row[];
  readonly position: AttestedStore['position'];
}

interface RawElement {
  readonly element: string;
  readonly id: string;
  readonly target: string;
  readonly seq: number;
  readonly properties: Row;
}

const canonical = (
  projector: AnyGraphProjector,
  { properties, seq, ...ends }: RawElement,
): CanonicalElement => {
  const fields: { [name: string]: Observed | undefined } = {};
  for (const [name, value] of Object.entries(properties))
    fields[name] = observed(
      (projector.columns as { readonly [name: string]: ColumnType })[name] ?? 'text',
      value,
    );
  return canonicalElement({ ...ends, seq, fields });
};

const spelled = (element: string, id: string, target: string): string =>
  JSON.stringify([element, id, target]);

const within =
  (from: number, to: number) =>
  ({ seq }: RawElement): boolean =>
    seq >= from && seq <= to;

const answering = (
  name: string,
  projector: AnyGraphProjector,
  elements: () => readonly RawElement[],
): Pick<AttestedStore, 'name' | 'range' | 'find'> => ({
  name,
  range: async (_, from, to) =>
    elements()
      .filter(within(from, to))
      .map((each) => canonical(projector, each)),
  find: async (_, ends) => {
    const wanted = new Set(ends.map((each) => spelled(...each)));
    return elements()
      .filter(({ element, id, target }) => wanted.has(spelled(element, id, target)))
      .map((each) => canonical(projector, each));
  },
});

/** The tables of a mapping. */
export const attestedRows = ({
  mapping,
  rows,
  position,
}: Held & { readonly mapping: Mapping }): AttestedStore => ({
  ...answering('postgres', mapping.graph, () =>
    Object.entries(mapping.elements).flatMap(([element, source]) => elementsOf(element, source, rows())),
  ),
  position,
  strays: async () => [],
});

const elementsOf = (element: string, source: ElementSource, rows: readonly Row[]): readonly RawElement[] => {
  const found: RawElement[] = [];
  for (const { id, target } of source.from)
    for (const row of rows) {
      const ends = [row[id], target === undefined ? '' : row[target]] as const;
      if (ends.some((end) => end === null || end === undefined)) continue;
      const properties = Object.entries(source.properties ?? {}).map(([name, column]) => [name, row[column]]);
      found.push({
        element,
        id: String(ends[0]),
        target: String(ends[1]),
        seq: row['seq'] as number,
        properties: Object.fromEntries(properties),
      });
    }
  return source.shared ? firstOfEach(found) : found;
};

const firstOfEach = (all: readonly RawElement[]): readonly RawElement[] => {
  const first = new Map<string, RawElement>();
  for (const each of all) {
    const key = spelled(each.element, each.id, each.target);
    if (each.seq < (first.get(key)?.seq ?? Number.POSITIVE_INFINITY)) first.set(key, each);
  }
  return [...first.values()];
};

/** The elements of a graph, with whatever properties they have. */
export const attestedElements = ({
  projector,
  rows,
  position,
}: Held & { readonly projector: AnyGraphProjector }): AttestedStore => {
  const elements = (): readonly RawElement[] =>
    rows().map(({ element, id, target, seq, ...properties }) => ({
      element: String(element),
      id: String(id),
      target: String(target),
      seq: seq as number,
      properties,
    }));
  return {
    ...answering('neo4j', projector, elements),
    position,
    strays: async (_, to) =>
      elements()
        .filter(({ seq }) => seq < 1 || seq > to)
        .map((each) => canonical(projector, each)),
  };
};
