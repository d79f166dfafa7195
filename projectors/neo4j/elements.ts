// Elements of one read model in Cypher: loaded by key, written, removed. Labels, types and property names come from the
// projector and are quoted; everything else is a parameter.
import { type AnyGraphProjector, type ElementRow, propertiesOf } from '#projectors/graph/graph.ts';
import type { RowKey } from '#projectors/projector.ts';
import type { TenantId } from '#schemas/ids.ts';
import type { Statement } from './connect.ts';
import { fromGraph, toGraph } from './values.ts';

export interface TenantElement {
  readonly tenant: TenantId;
  readonly row: ElementRow;
}

export interface TenantElementKey {
  readonly tenant: TenantId;
  readonly key: RowKey;
}

export const quoted = (name: string): string => `\`${name.replaceAll('`', '``')}\``;

/** `MATCH` of one element by the map `k`: the node `x`, or the edge `x` with both its ends. */
export const matchElement = ({ nodes, edges }: AnyGraphProjector, element: string): string => {
  const node = nodes[element];
  if (node) return `MATCH (x:${quoted(element)} {tenant: k.tenant, ${quoted(node.id)}: k.id})`;
  const { from = '', to = '' } = edges[element] ?? {};
  const end = (label: string, id: string): string =>
    `:${quoted(label)} {tenant: k.tenant, ${quoted(nodes[label]?.id ?? '')}: k.${id}}`;
  return `MATCH (a${end(from, 'id')}) MATCH (b${end(to, 'target')}) MATCH (a)-[x:${quoted(element)}]->(b)`;
};

const byElement = <T>(
  items: readonly T[],
  elementOf: (item: T) => string,
): ReadonlyMap<string, readonly T[]> => {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const element = elementOf(item);
    const group = groups.get(element);
    if (group) group.push(item);
    else groups.set(element, [item]);
  }
  return groups;
};

/** Those of the keys that are there. */
export const loadElements = async (
  run: Statement,
  projector: AnyGraphProjector,
  keys: readonly TenantElementKey[],
): Promise<readonly TenantElement[]> => {
  const found: TenantElement[] = [];
  for (const [element, some] of byElement(keys, ({ key }) => key[0] ?? '')) {
    const properties = propertiesOf(projector, element);
    const records = await run(
      `UNWIND $keys AS k ${matchElement(projector, element)} RETURN k.tenant AS tenant, k.id AS id, k.target AS target, properties(x) AS properties`,
      { keys: some.map(({ tenant, key: [, id = '', target = ''] }) => ({ tenant, id, target })) },
    );
    for (const { tenant, id, target, properties: held } of records) {
      const values = properties.map(([name, type]) => [name, fromGraph(type, (held as Held)[name])]);
      const row = { element, id, target, ...Object.fromEntries(values) } as ElementRow;
      found.push({ tenant: tenant as TenantId, row });
    }
  }
  return found;
};

type Held = { readonly [property: string]: unknown };

/** As the graph keeps the element: its properties, with the tenant and, of a node, its id. Throws `UnfitElement`. */
export const heldProperties = (projector: AnyGraphProjector, { tenant, row }: TenantElement): Held => {
  const id = projector.nodes[row.element]?.id;
  const values = propertiesOf(projector, row.element).map(([name, type]) => [name, toGraph(type, row[name])]);
  return {
    tenant,
    ...(id !== undefined && { [id]: toGraph('text', row.id) }),
    ...Object.fromEntries(values),
  };
};

/** Makes them or puts them over what is there: nodes first, as edges need their ends. */
export const writeElements = async (
  run: Statement,
  projector: AnyGraphProjector,
  all: readonly TenantElement[],
): Promise<void> => {
  const groups = byElement(all, ({ row }) => row.element);
  for (const kinds of [projector.nodes, projector.edges]) {
    for (const element of Object.keys(kinds)) {
      const rows = groups.get(element) ?? [];
      if (rows.length === 0) continue;
      const values = rows.map((each) => ({
        tenant: each.tenant,
        id: each.row.id,
        target: each.row.target,
        properties: heldProperties(projector, each),
      }));
      const written = await run(
        `UNWIND $rows AS k ${mergeElement(projector, element)} SET x = k.properties RETURN count(*) AS written`,
        { rows: values },
      );
      if (Number(written[0]?.['written']) !== rows.length)
        throw new MissingEnd(
          `an edge ${element} has an end that the read model ${projector.name} never made`,
        );
    }
  }
};

/** A fold made an edge without its nodes, or somebody removed them. */
export class MissingEnd extends Error {
  override readonly name = 'MissingEnd';
}

const mergeElement = (projector: AnyGraphProjector, element: string): string =>
  matchElement(projector, element)
    .replace(/^MATCH \(x:/, 'MERGE (x:')
    .replace('MATCH (a)-[x:', 'MERGE (a)-[x:');

/** Edges first; a node takes with it what still hangs on it. */
export const removeElements = async (
  run: Statement,
  projector: AnyGraphProjector,
  all: readonly TenantElementKey[],
): Promise<void> => {
  const groups = byElement(all, ({ key }) => key[0] ?? '');
  for (const kinds of [projector.edges, projector.nodes]) {
    for (const element of Object.keys(kinds)) {
      const some = groups.get(element) ?? [];
      if (some.length === 0) continue;
      await run(
        `UNWIND $keys AS k ${matchElement(projector, element)} ${kinds === projector.nodes ? 'DETACH ' : ''}DELETE x`,
        { keys: some.map(({ tenant, key: [, id = '', target = ''] }) => ({ tenant, id, target })) },
      );
    }
  }
};
