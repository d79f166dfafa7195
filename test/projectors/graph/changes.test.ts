import { expect } from 'chai';
import { foldBatch, keyText } from '#projectors/batch.ts';
import { changesGraph } from '#projectors/graph/changes.ts';
import type { ElementRow } from '#projectors/graph/graph.ts';
import { graphProjectors } from '#projectors/graph/index.ts';
import type { Fact } from '#schemas/event.ts';
import { decodeFact } from '#schemas/index.ts';
import { ACME, chain } from '../chains.ts';

const RENAMED = { type: 'tenants.TenantRenamed', data: { display_name: 'Acme AG' } };

const elementsOf = (...said: readonly Partial<Fact>[]): ReadonlyMap<string, ElementRow> => {
  const facts = chain(
    ACME,
    said.map(() => RENAMED),
  ).map((fact, at) => ({ ...decodeFact(fact), ...said[at] }) as Fact);
  const { changes, poison } = foldBatch(changesGraph, facts, new Map());
  expect(poison).to.equal(undefined);
  return changes.upserts as ReadonlyMap<string, ElementRow>;
};

describe('projectors/graph/changes', () => {
  it('makes of a fact its node, its author and the edge between them', () => {
    const elements = elementsOf({ actor: 'ada' });
    expect(
      [...elements.values()].map(({ element, id, target }) => [element, id.slice(-2), target]),
    ).to.deep.equal([
      ['Change', '01', ''],
      ['Author', 'da', ''],
      ['MADE_BY', '01', 'ada'],
    ]);
    expect([...elements.values()][0]).to.include({ type: 'tenants.TenantRenamed', actor: 'ada' });
  });

  it('keeps the lineage of operations, each brought in by the first fact that names it', () => {
    const stream = 'flags-x' as Fact['stream'];
    const elements = elementsOf(
      { opId: 'a', stream },
      { opId: 'b', opParentId: 'a', stream },
      { opId: 'c', opParentId: 'c' },
    );
    const seqOf = (...key: readonly string[]): number | undefined => elements.get(keyText(key))?.seq;
    expect(seqOf('Task', 'a', '')).to.equal(1);
    expect(seqOf('Task', 'b', '')).to.equal(2);
    expect(seqOf('LED_BY', 'b', 'a')).to.equal(2);
    expect(seqOf('LED_BY', 'c', 'c')).to.equal(3);
    expect(seqOf('Subject', 'flags-x', '')).to.equal(1);
    expect([...elements.values()].filter(({ element }) => element === 'ABOUT')).to.have.length(2);
  });

  it('declares every element that its keys name, under labels and types that no other graph has', () => {
    const { nodes, edges, columns } = changesGraph;
    for (const { element } of elementsOf({ opId: 'a', opParentId: 'b', stream: 'x-y' as never }).values())
      expect({ ...nodes, ...edges }).to.have.property(element);
    for (const { properties } of Object.values(nodes))
      for (const property of properties) expect(columns).to.have.property(property);
    const kinds = graphProjectors.flatMap((each) => [...Object.keys(each.nodes), ...Object.keys(each.edges)]);
    expect(new Set(kinds).size).to.equal(kinds.length);
  });
});
