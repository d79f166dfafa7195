// docs/graph-cookbook.md is run: the example ledger of docs/sql-cookbook.md is folded into a graph, and every question
// gives the answer printed below it. UPDATE_GOLDEN=1 prints the answers anew.
import { readFileSync, writeFileSync } from 'node:fs';
import { expect } from 'chai';
import { receiptsGraph } from '#projectors/graph/receipts.ts';
import type { Graph } from '#projectors/neo4j/connect.ts';
import { graphDigest } from '#projectors/neo4j/digest.ts';
import { ensureGraph } from '#projectors/neo4j/schema.ts';
import { neo4jSink } from '#projectors/neo4j/sink.ts';
import { runProjectors } from '#projectors/run.ts';
import { chainsOf, feedOf } from '../chains.ts';
import { exampleLedger } from '../example-ledger.ts';
import { emptyGraph } from './graph-database.ts';

const PAGE = new URL('../../../docs/graph-cookbook.md', import.meta.url);
const page = readFileSync(PAGE, 'utf8');

const questions = [...page.matchAll(/^## (.+)$[^]*?^```cypher\n([^]*?)^```\n(\n(?:\|.*\n)+)?/gm)].map(
  (match) => {
    const [whole, title = '', cypher = '', answer = ''] = match;
    const from = match.index + whole.indexOf(cypher) + cypher.length + '```\n'.length;
    return { title, cypher, answer: answer.trim(), from, to: from + answer.length };
  },
);

const cell = (value: unknown): string =>
  Array.isArray(value) ? value.map(cell).join(', ') : value === null ? '' : String(value);

describe('docs/graph-cookbook.md', () => {
  let graph: Graph;
  before(async function () {
    graph = await emptyGraph(this);
    await ensureGraph(graph, [receiptsGraph]);
    await fold();
  });
  after(() => graph?.[Symbol.asyncDispose]());

  const fold = (batchSize = 1000): Promise<void> =>
    runProjectors({
      feed: feedOf(chainsOf(...exampleLedger())),
      sink: neo4jSink({ graph }),
      projectors: [receiptsGraph],
      signal: new AbortController().signal,
      untilCaughtUp: true,
      batchSize,
    });

  const answerTo = async (cypher: string): Promise<string> => {
    const records = await graph.query(cypher);
    const names = Object.keys(records[0] ?? {});
    const lines = [
      `| ${names.join(' | ')} |`,
      `|${names.map(() => '---|').join('')}`,
      ...records.map((record) => `| ${names.map((name) => cell(record[name])).join(' | ')} |`),
    ];
    return lines.join('\n');
  };

  it('has questions', () => {
    expect(questions.length).to.equal([...page.matchAll(/^## /gm)].length);
    expect(questions.length).to.be.greaterThan(5);
  });

  if (process.env['UPDATE_GOLDEN']) {
    it('prints the answers', async () => {
      let text = page;
      for (const { cypher, from, to } of questions.toReversed())
        text = `${text.slice(0, from)}\n${await answerTo(cypher)}\n${text.slice(to)}`;
      writeFileSync(PAGE, text);
    });
    return;
  }

  for (const { title, cypher, answer } of questions) {
    it(`answers: ${title}`, async () => {
      expect(answer.split('\n').length, 'an answer of at least one row is printed').to.be.greaterThan(2);
      expect(await answerTo(cypher)).to.equal(answer);
    });
  }

  it('has the same elements when it is folded a fact at a time', async () => {
    const { clearGraph } = await import('#projectors/neo4j/rebuild.ts');
    const before = await graphDigest(graph, receiptsGraph);
    expect(before.elements).to.be.greaterThan(30);
    await clearGraph(graph, receiptsGraph);
    expect((await graphDigest(graph, receiptsGraph)).elements).to.equal(0);
    await fold(1);
    expect(await graphDigest(graph, receiptsGraph)).to.deep.equal(before);
  });
});
