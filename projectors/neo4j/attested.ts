// The graph side of attestation: elements as Neo4j holds them, each value of the kind that Neo4j says it is.
import neo4j from 'neo4j-driver';
import { type CanonicalElement, canonicalElement, type Observed } from '#projectors/attestation/element.ts';
import type { AttestedStore } from '#projectors/attestation/store.ts';
import type { AnyGraphProjector } from '#projectors/graph/graph.ts';
import type { TenantId } from '#schemas/ids.ts';
import type { Graph, GraphRecord } from './connect.ts';
import { quoted } from './elements.ts';
import { readGraphCheckpoints } from './sink.ts';
import { asInteger } from './values.ts';

export interface AttestedGraphOptions {
  readonly graph: Graph;
  readonly projector: AnyGraphProjector;
}

export const attestedGraph = ({ graph, projector }: AttestedGraphOptions): AttestedStore => {
  const kinds = [...Object.keys(projector.nodes), ...Object.keys(projector.edges)];
  const asked = async (
    tenant: TenantId,
    parameters: GraphRecord,
    where: (element: string) => string,
    only: readonly string[] = kinds,
  ): Promise<readonly CanonicalElement[]> => {
    const all: CanonicalElement[] = [];
    for (const element of only)
      for (const record of await graph.query(`${where(element)} ${RETURNED}`, { tenant, ...parameters }))
        all.push(elementOf(projector, element, record));
    return all;
  };
  return {
    name: 'neo4j',
    position: async (tenant) => (await readGraphCheckpoints(graph, projector, tenant))[0],
    range: (tenant, from, to) =>
      asked(tenant, { from: asInteger(from), to: asInteger(to) }, (element) =>
        inRange(projector, element, 'x.tenant = $tenant AND x.seq >= $from AND x.seq <= $to'),
      ),
    find: async (tenant, wanted) => {
      const all: CanonicalElement[] = [];
      for (const element of kinds) {
        const some = wanted.filter(([kind]) => kind === element).map(([, id, target]) => ({ id, target }));
        if (some.length > 0)
          all.push(...(await asked(tenant, { keys: some }, (kind) => byKey(projector, kind), [element])));
      }
      return all;
    },
    strays: (tenant, to) =>
      asked(tenant, { to: asInteger(to) }, (element) =>
        inRange(projector, element, strayIn(projector, element)),
      ),
  };
};

/** A node's tenant is its own; an edge that says none is the tenant's whose node it leaves. */
const strayIn = ({ nodes }: AnyGraphProjector, element: string): string =>
  nodes[element]
    ? 'x.tenant = $tenant AND (x.seq IS NULL OR NOT x.seq IS :: INTEGER OR x.seq < 1 OR x.seq > $to)'
    : `coalesce(x.tenant, a.tenant) = $tenant AND (x.tenant IS NULL OR x.seq IS NULL OR NOT x.seq IS :: INTEGER
       OR x.seq < 1 OR x.seq > $to)`;

const RETURNED = `RETURN labels(a) AS labels, properties(a) AS start, properties(b) AS end, properties(x) AS held`;

const inRange = ({ nodes }: AnyGraphProjector, element: string, where: string): string =>
  nodes[element]
    ? `MATCH (x:${quoted(element)}) WHERE ${where} WITH x, x AS a, null AS b`
    : `MATCH (a)-[x:${quoted(element)}]->(b) WHERE ${where}`;

/** Edges whichever way they lead: one that was turned round is still found by its ends. */
const byKey = ({ nodes, edges }: AnyGraphProjector, element: string): string => {
  const node = nodes[element];
  if (node)
    return `UNWIND $keys AS k MATCH (x:${quoted(element)} {tenant: $tenant, ${quoted(node.id)}: k.id}) WITH x, x AS a, null AS b`;
  const { from = '', to = '' } = edges[element] ?? {};
  const end = (label: string, id: string): string =>
    `:${quoted(label)} {tenant: $tenant, ${quoted(nodes[label]?.id ?? '')}: k.${id}}`;
  const arrows = from === to ? '->' : '-';
  return `UNWIND $keys AS k MATCH (f${end(from, 'id')}) MATCH (t${end(to, 'target')})
    MATCH (f)-[x:${quoted(element)}]${arrows}(t) WITH x, startNode(x) AS a, endNode(x) AS b`;
};

const elementOf = (
  { nodes, edges }: AnyGraphProjector,
  element: string,
  { labels, start, end, held }: GraphRecord,
): CanonicalElement => {
  const { tenant: _tenant, seq, ...properties } = held as GraphRecord;
  const place = observed(seq);
  const own = { element, seq: place?.is === 'int' ? Number(place.text) : undefined };
  const fields: { [name: string]: Observed | undefined } = {};
  for (const [name, value] of Object.entries(properties)) fields[name] = observed(value);
  // A place that is no whole number is none, and says so.
  if (place !== undefined && place.is !== 'int') fields['seq'] = place;
  const node = nodes[element];
  if (node) {
    const { [node.id]: id, ...rest } = fields;
    return canonicalElement({ ...own, id: textOf(id), target: '', fields: rest });
  }
  const { from = '', to = '' } = edges[element] ?? {};
  const turned = from !== to && (labels as readonly string[]).includes(to);
  const ends = (turned ? [end, start] : [start, end]) as readonly GraphRecord[];
  const [id, target] = [ends[0]?.[nodes[from]?.id ?? ''], ends[1]?.[nodes[to]?.id ?? '']];
  if (turned) fields['direction'] = { is: 'text', text: 'in' };
  return canonicalElement({ ...own, id: textOf(observed(id)), target: textOf(observed(target)), fields });
};

const textOf = (value: Observed | undefined): string =>
  value === undefined || value.is === 'list' ? '' : value.text;

/** By the type that the driver gives a value: a float is a JavaScript number, an integer is not. */
const observed = (value: unknown): Observed | undefined => {
  if (value === null || value === undefined) return undefined;
  if (typeof value === 'string') return { is: 'text', text: value };
  if (typeof value === 'boolean') return { is: 'bool', text: String(value) };
  if (typeof value === 'number') return { is: 'float', text: String(value) };
  if (neo4j.isInt(value)) return { is: 'int', text: value.toString() };
  if (Array.isArray(value))
    return { is: 'list', items: value.map((item) => observed(item) ?? { is: 'other', text: 'null' }) };
  if (neo4j.isDateTime(value)) {
    const seconds = Math.floor(value.toStandardDate().getTime() / 1_000);
    return {
      is: 'time',
      text: String(BigInt(seconds) * 1_000_000_000n + BigInt(value.nanosecond.toString())),
    };
  }
  if (neo4j.isLocalDateTime(value)) return { is: 'local-time', text: value.toString() };
  if (neo4j.isDate(value)) return { is: 'date', text: value.toString() };
  return { is: 'other', text: JSON.stringify(value) ?? '' };
};
