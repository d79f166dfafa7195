// The graph of a test: the run's one server, emptied.
import { connectGraph, type Graph } from '#projectors/neo4j/connect.ts';
import { removeNodes } from '#projectors/neo4j/rebuild.ts';
import { testNeo4j } from '#test/support/neo4j.ts';

/** Pending where no Neo4j can be had. */
export const emptyGraph = async (test: Mocha.Context): Promise<Graph> => {
  const graph = connectGraph(await testNeo4j(test));
  await removeNodes(graph, '(n)');
  return graph;
};
