// Ways to harm what a graph holds of one fact, each undone again. All of them may be said twice: where a connection was cut,
// nobody knows whether the first time was heard.
import { elementKey } from '#projectors/attestation/element.ts';
import type { Graph } from '#projectors/neo4j/connect.ts';
import type { TenantId } from '#schemas/ids.ts';

/** A node of a route's graph that exactly one fact has brought in, and who stands at the end of its edge. */
export interface Target {
  readonly tenant: TenantId;
  readonly route: 'receipts' | 'changes';
  readonly id: string;
  readonly who: string;
}

export interface Harm {
  /** Where it must be located, as `class element field`. */
  readonly expected: string;
  readonly apply: (graph: Graph) => Promise<unknown>;
  readonly undo: (graph: Graph) => Promise<unknown>;
}

const SHAPES = {
  receipts: { node: 'Receipt', id: 'receipt_id', edge: 'ASKED_BY', other: 'Actor', text: 'action' },
  changes: { node: 'Change', id: 'fact_id', edge: 'MADE_BY', other: 'Author', text: 'actor' },
} as const;

/** One of each kind; `text` is what the node's text property holds. */
export const harmsTo = ({ tenant, route, id, who }: Target, text: string): readonly Harm[] => {
  const shape = SHAPES[route];
  const node = `MATCH (n:${shape.node} {tenant: $tenant, ${shape.id}: $id})`;
  const edge = `${node}-[x:${shape.edge}]->(o:${shape.other})`;
  const run = (cypher: string) => (graph: Graph) => graph.query(cypher, { tenant, id, who, text });
  const ofNode = (field: string) => `value ${elementKey(shape.node, id, '')} ${field}`;
  const key = elementKey(shape.edge, id, who);
  const set = { text: `SET n.${shape.text} = $text`, none: `SET n.${shape.text} = null` };
  const twin = `(n)-[y:${shape.edge} {twin: true}]->(o)`;
  const nobody = `(o:${shape.other} {tenant: $tenant, name: 'nobody'})`;
  return [
    {
      expected: ofNode(shape.text),
      apply: run(`${node} SET n.${shape.text} = 'something else'`),
      undo: run(`${node} ${set.text}`),
    },
    {
      expected: `missing ${key}`,
      apply: run(`${edge} DELETE x`),
      undo: run(
        `${node} MATCH (o:${shape.other} {tenant: $tenant, name: $who})
         MERGE (n)-[x:${shape.edge}]->(o) SET x.tenant = $tenant, x.seq = n.seq`,
      ),
    },
    {
      expected: ofNode(shape.text),
      apply: run(`${node} SET n.${shape.text} = 7`),
      undo: run(`${node} ${set.text}`),
    },
    {
      expected: `extra ${key}`,
      apply: run(`${edge} WITH n, o LIMIT 1 MERGE ${twin} SET y.tenant = $tenant, y.seq = n.seq`),
      undo: run(`${node}-[y:${shape.edge} {twin: true}]->() DELETE y`),
    },
    {
      expected: ofNode(shape.text),
      apply: run(`${node} ${set.none}`),
      undo: run(`${node} ${set.text}`),
    },
    {
      expected: `extra ${elementKey(shape.other, 'nobody', '')}`,
      apply: run(`MERGE ${nobody} SET o.seq = 1`),
      undo: run(`MATCH ${nobody} DELETE o`),
    },
    {
      expected: ofNode('colour'),
      apply: run(`${node} SET n.colour = 'red'`),
      undo: run(`${node} REMOVE n.colour`),
    },
  ];
};
