// A graph made anew from the ledger, in place: Neo4j's community edition has one database, so there is no second build
// beside the first. The graph fills again while analysts look on; its twin in PostgreSQL stands meanwhile.
//   say so (every sink then leaves it alone) · remove the checkpoints · remove the elements · let it go on
// A rebuild that died leaves the graph held; the next one begins where that one ended.
import type { AnyGraphProjector } from '#projectors/graph/graph.ts';
import type { Graph } from './connect.ts';
import { quoted } from './elements.ts';
import { CHECKPOINT, graphSource, READ_MODEL } from './schema.ts';
import { named } from './sink.ts';
import { asNumber } from './values.ts';

/** Nodes of one transaction: some 10 MB of the server's memory. */
const BATCH = 10_000;

/** Empties the graph read model; the runner then folds it from the beginning. Throws `StreamError`. */
export const clearGraph = async (graph: Graph, projector: AnyGraphProjector): Promise<void> => {
  const model = named(projector);
  await graph.query(
    `MERGE (m:${READ_MODEL} {projection: $name, version: $version}) SET m.clearing = true`,
    model,
  );
  // Waits for the lock of each, so for every step that began before the line above.
  await graph.query(
    `MATCH (c:${CHECKPOINT} {projection: $name, version: $version}) SET c.locked = true DELETE c`,
    model,
  );
  for (const label of Object.keys(projector.nodes))
    await removeNodes(graph, `(n:${quoted(label)} WHERE n.tenant IS NOT NULL)`);
  await graph.query(
    `MATCH (m:${READ_MODEL} {projection: $name, version: $version}) SET m.clearing = false, m.source = $source`,
    { ...model, source: await graphSource(projector) },
  );
};

/** `pattern` names a node `n`. Each transaction is small, so whoever waits for one knows soon that the server is gone. Throws `StreamError`. */
export const removeNodes = async (graph: Graph, pattern: string): Promise<void> => {
  const statement = `MATCH ${pattern} WITH n LIMIT ${BATCH} DETACH DELETE n RETURN count(*) AS removed`;
  for (let removed = BATCH; removed === BATCH; )
    removed = asNumber((await graph.query(statement))[0]?.['removed']);
};
