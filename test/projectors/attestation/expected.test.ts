import { expect } from 'chai';
import { catalog, type Mapping } from '#projectors/attestation/catalog.ts';
import { expectedElements } from '#projectors/attestation/expected.ts';
import type { Recorded } from '#schemas/event.ts';
import type { Seq } from '#schemas/ids.ts';
import { decodeFact } from '#schemas/index.ts';
import { ACME, chain } from '../chains.ts';

const receipt = (id: string, more: object = {}) => ({
  type: 'receipts.ReceiptRecorded',
  schemaVersion: 3,
  data: {
    action: 'db.export',
    actor: 'ada',
    created_at: '2026-11-03T10:30:00Z',
    decision: 'allow',
    id,
    tenant: 'acme',
    ...more,
  },
});

const FACTS = chain(ACME, [
  { type: 'tenants.TenantCreated', data: { tenant: 'acme', display_name: 'acme' } },
  receipt('r-1', { op_id: 'op-1' }),
  receipt('r-2', { op_id: 'op-2', op_parent_id: 'op-1' }),
  receipt('r-3', { actor: 'bob' }),
]);

const fold = (...skipped: number[]) =>
  expectedElements({
    mapping: catalog[0] as Mapping,
    decode: decodeFact,
    skipped: new Set(skipped as Seq[]),
  });
const keysOf = (parts: readonly (readonly Recorded[])[], ...skipped: number[]): readonly string[] => {
  const { take } = fold(...skipped);
  return parts.flatMap(take).map(({ seq, key }) => `${seq} ${key}`);
};

describe('projectors/attestation/expected', () => {
  it('what several facts name belongs to the first of them', () => {
    expect(keysOf([FACTS])).to.have.members([
      '2 ["Receipt","r-1",""]',
      '2 ["Actor","ada",""]',
      '2 ["ASKED_BY","r-1","ada"]',
      '2 ["Operation","op-1",""]',
      '2 ["PART_OF","r-1","op-1"]',
      '3 ["Receipt","r-2",""]',
      '3 ["ASKED_BY","r-2","ada"]',
      '3 ["Operation","op-2",""]',
      '3 ["PART_OF","r-2","op-2"]',
      '3 ["CAUSED_BY","op-2","op-1"]',
      '4 ["Receipt","r-3",""]',
      '4 ["Actor","bob",""]',
      '4 ["ASKED_BY","r-3","bob"]',
    ]);
  });

  it('is the same however the facts come, and passes over what the read models pass over', () => {
    expect(keysOf(FACTS.map((fact) => [fact]))).to.deep.equal(keysOf([FACTS]));
    expect(keysOf([FACTS], 2).filter((key) => key.includes('"ada"'))).to.deep.equal([
      '3 ["Actor","ada",""]',
      '3 ["ASKED_BY","r-2","ada"]',
    ]);
  });

  it('counts operations, and sees every property', () => {
    const { take, operations } = fold();
    const other = expectedElements({
      mapping: catalog[0] as Mapping,
      decode: (recorded) => {
        const fact = decodeFact(recorded);
        return fact.seq === 4 ? ({ ...fact, data: { ...fact.data, decision: 'deny' } } as never) : fact;
      },
      skipped: new Set(),
    });
    const digests = take(FACTS).map(({ digest }) => digest);
    expect(operations()).to.equal(3);
    expect(other.take(FACTS).filter(({ digest }) => !digests.includes(digest))).to.have.length(1);
  });
});
