// The digest of a graph read model (projectors/digest.ts): the lines of its elements as PostgreSQL would print them as
// rows, so that the same history gives the same digest in whatever store.
import { modelDigest, ROW_HASH_BYTES, rowForm } from '#projectors/digest.ts';
import { type AnyGraphProjector, type ElementRow, propertiesOf } from '#projectors/graph/graph.ts';
import type { Graph, GraphRecord } from './connect.ts';
import { quoted } from './elements.ts';
import { fromGraph } from './values.ts';

export interface GraphDigest {
  readonly elements: number;
  readonly digest: string;
}

/** Of all tenants, as the graph is now: for one that stands still. Throws `StreamError`. */
export const graphDigest = async (graph: Graph, projector: AnyGraphProjector): Promise<GraphDigest> => {
  const form = rowForm(projector);
  const hashes: string[] = [];
  for (const element of [...Object.keys(projector.nodes), ...Object.keys(projector.edges)]) {
    const properties = propertiesOf(projector, element);
    for (const { tenant, id, target, held } of await graph.query(everyElement(projector, element))) {
      const values = properties.map(([name, type]) => [name, fromGraph(type, (held as GraphRecord)[name])]);
      const row = { element, id, target, ...Object.fromEntries(values) } as ElementRow;
      hashes.push(form.hash(String(tenant), row));
    }
  }
  const all = Buffer.alloc(hashes.length * ROW_HASH_BYTES);
  hashes.forEach((each, index) => all.write(each, index * ROW_HASH_BYTES, 'latin1'));
  return { elements: hashes.length, digest: modelDigest(all) };
};

const everyElement = ({ nodes, edges }: AnyGraphProjector, element: string): string => {
  const node = nodes[element];
  const name = quoted(element);
  if (node)
    return `MATCH (x:${name}) RETURN x.tenant AS tenant, x.${quoted(node.id)} AS id, '' AS target, properties(x) AS held`;
  const { from = '', to = '' } = edges[element] ?? {};
  return `MATCH (a)-[x:${name}]->(b) RETURN x.tenant AS tenant, a.${quoted(nodes[from]?.id ?? '')} AS id,
          b.${quoted(nodes[to]?.id ?? '')} AS target, properties(x) AS held`;
};
