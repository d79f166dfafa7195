import { expect } from 'chai';
import type { Graph } from '#projectors/neo4j/connect.ts';
import { graphDigest } from '#projectors/neo4j/digest.ts';
import { clearGraph } from '#projectors/neo4j/rebuild.ts';
import { ensureGraph } from '#projectors/neo4j/schema.ts';
import { neo4jSink } from '#projectors/neo4j/sink.ts';
import { beginning, positionOf, type Step } from '#projectors/sink.ts';
import type { Recorded } from '#schemas/event.ts';
import { rowSinkContract } from '../../contracts/row-sink.contract.ts';
import { acquaintance, met } from '../acquaintance.ts';
import { ACME, chain } from '../chains.ts';
import { decode } from '../tally.ts';
import { emptyGraph } from './graph-database.ts';

describe('the contract of sinks: Neo4j', () => {
  let graph: Graph;
  before(async function () {
    graph = await emptyGraph(this);
    await ensureGraph(graph, [acquaintance]);
  });
  after(() => graph?.[Symbol.asyncDispose]());

  rowSinkContract(() => ({
    sink: neo4jSink({ graph }),
    digest: async () => (await graphDigest(graph, acquaintance)).digest,
    clear: () => clearGraph(graph, acquaintance),
  }));

  it('refuses half a character, which the server would keep as another one', async () => {
    const facts = chain(ACME, [met('ada', 'bob', { tags: ['\ud800'] })]);
    const step: Step = {
      tenant: ACME,
      from: beginning(ACME),
      to: positionOf(facts[0] as Recorded),
      facts: facts.map(decode),
    };
    const result = await neo4jSink({ graph }).apply(acquaintance, step);
    expect(result).to.have.property('kind', 'refused');
  });

  it('leaves a graph alone that another source made, until it is cleared', async () => {
    const other = { ...acquaintance, fold: () => undefined };
    expect(await neo4jSink({ graph }).held(other)).to.equal('changed');
    await clearGraph(graph, other);
    expect(await neo4jSink({ graph }).held(other)).to.equal(undefined);
    expect(await neo4jSink({ graph }).held(acquaintance)).to.equal('changed');
    await clearGraph(graph, acquaintance);
  });
});
