// A read model as a graph, under the law of projectors (projectors/projector.ts): its rows are elements, nodes and
// edges, each by a key of its own, and the same pure fold makes them. So it is kept, halted, resumed, replayed and
// digested by the machinery that keeps tables.
import type { ColumnType, Projector, Row } from '#projectors/projector.ts';
import type { DomainEvent } from '#schemas/event.ts';
import type { Seq } from '#schemas/ids.ts';

/**
 * One node or edge. `element` is the node's label or the edge's type; `id` the node's id or that of the node the edge
 * leaves; `target` the id of the node it comes to, and empty for a node. `seq` is the fact that brought it in.
 */
export type ElementRow = Row & {
  readonly element: string;
  readonly id: string;
  readonly target: string;
  readonly seq: Seq;
};

export interface NodeShape {
  /** The property that identifies the node within its tenant. */
  readonly id: string;
  /** Columns of the projector that such a node has, beside `seq`. */
  readonly properties: readonly string[];
}

export interface EdgeShape {
  /** Labels. */
  readonly from: string;
  readonly to: string;
  readonly properties: readonly string[];
}

export interface GraphProjector<E extends DomainEvent = DomainEvent, R extends ElementRow = ElementRow>
  extends Projector<E, R> {
  readonly key: readonly ['element', 'id', 'target'];
  readonly nodes: { readonly [label: string]: NodeShape };
  readonly edges: { readonly [type: string]: EdgeShape };
  /** The read model in PostgreSQL that says the same in tables: what the two hold is compared. */
  readonly twin: string;
}

/** A graph projector of whatever domain, as the machinery sees it. */
// oxlint-disable-next-line typescript/no-explicit-any -- no narrower type holds the folds of all domains
export type AnyGraphProjector = GraphProjector<any, any>;

/** The columns that are no properties: they are the element itself. */
export const ELEMENT_COLUMNS = {
  element: 'text',
  id: 'text',
  target: 'text',
  seq: 'bigint',
} as const satisfies {
  readonly [column: string]: ColumnType;
};

/** The properties of an element of this kind, with their types; throws for a kind that the projector does not declare. */
export const propertiesOf = (
  { nodes, edges, columns, name }: AnyGraphProjector,
  element: string,
): readonly (readonly [name: string, type: ColumnType])[] => {
  const shape = nodes[element] ?? edges[element];
  if (!shape) throw new TypeError(`${name} declares neither nodes nor edges called ${element}`);
  return ['seq', ...shape.properties].map((property) => [property, columns[property] as ColumnType]);
};
