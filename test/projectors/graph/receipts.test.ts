import { expect } from 'chai';
import { foldBatch, keyText } from '#projectors/batch.ts';
import type { ElementRow } from '#projectors/graph/graph.ts';
import { type ReceiptElementRow, receiptsGraph } from '#projectors/graph/receipts.ts';
import type { Fact } from '#schemas/event.ts';
import { decodeFact } from '#schemas/index.ts';
import type { ReceiptEvent } from '#schemas/receipts.ts';
import { ACME, chain } from '../chains.ts';

const receipt = (id: string, more: object = {}) => ({
  type: 'receipts.ReceiptRecorded',
  schemaVersion: 3,
  data: {
    id,
    tenant: 'acme',
    action: 'db.export',
    actor: 'ada',
    decision: 'allow',
    created_at: '2026-11-01T08:00:00Z',
    ...more,
  },
});

const elementsOf = (...said: readonly ReturnType<typeof receipt>[]): ReadonlyMap<string, ElementRow> => {
  const facts = chain(ACME, said).map((fact) => decodeFact(fact));
  const { changes, poison } = foldBatch<ReceiptEvent, ReceiptElementRow>(
    receiptsGraph,
    facts as Fact<ReceiptEvent>[],
    new Map(),
  );
  expect(poison).to.equal(undefined);
  return changes.upserts;
};

describe('projectors/graph/receipts', () => {
  it('makes of a receipt its node, the actor and the edge between them', () => {
    const elements = elementsOf(receipt('r-1'));
    expect(
      [...elements.values()].map(({ element, id, target, seq }) => [element, id, target, seq]),
    ).to.deep.equal([
      ['Receipt', 'r-1', '', 1],
      ['Actor', 'ada', '', 1],
      ['ASKED_BY', 'r-1', 'ada', 1],
    ]);
  });

  it('shares actors, evidence and operations, each brought in by the first receipt that names it', () => {
    const evidence_hash = `sha256:${'ab'.repeat(32)}`;
    const elements = elementsOf(
      receipt('r-1', { op_id: 'a', op_parent_id: 'b' }),
      receipt('r-2', { op_id: 'b', evidence_hash }),
      receipt('r-3', { op_id: 'a', op_parent_id: 'b', evidence_hash }),
    );
    const seqOf = (...key: readonly string[]): number | undefined => elements.get(keyText(key))?.seq;
    expect(seqOf('Actor', 'ada', '')).to.equal(1);
    expect(seqOf('Operation', 'b', '')).to.equal(1);
    expect(seqOf('CAUSED_BY', 'a', 'b')).to.equal(1);
    expect(seqOf('Artifact', evidence_hash, '')).to.equal(2);
    expect(seqOf('EVIDENCED_BY', 'r-3', evidence_hash)).to.equal(3);
    expect(elements.size).to.equal(3 + 1 + 3 + 2 + 3 + 1 + 1 + 2);
  });

  it('takes an operation that names itself as its cause', () => {
    const elements = elementsOf(receipt('r-1', { op_id: 'a', op_parent_id: 'a' }));
    expect([...elements.values()].filter(({ element }) => element === 'Operation')).to.have.length(1);
    expect(elements.get(keyText(['CAUSED_BY', 'a', 'a']))?.seq).to.equal(1);
  });

  it('declares every element that its keys name, and every property in its columns', () => {
    const { nodes, edges, columns } = receiptsGraph;
    for (const { from, to } of Object.values(edges))
      expect(Object.keys(nodes)).to.include.members([from, to]);
    for (const { properties } of [...Object.values(nodes), ...Object.values(edges)])
      for (const property of properties) expect(columns).to.have.property(property);
    for (const { element } of elementsOf(
      receipt('r', { op_id: 'a', op_parent_id: 'b', evidence_hash: `sha256:${'ab'.repeat(32)}` }),
    ).values())
      expect({ ...nodes, ...edges }).to.have.property(element);
  });
});
