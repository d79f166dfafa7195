import { expect } from 'chai';
import fc from 'fast-check';
import { recordWriter } from '#gateway/sdk/avro.ts';
import { writeCanonical } from '#proofs/canonical.ts';
import { avroSchema, toAvro } from '#schemas/codec.ts';
import { receipt } from '#test/support/arbitraries.ts';

const [schema] = avroSchema('receipts');
const write = recordWriter(schema);
const said = {
  id: 'r-1',
  action: 'a',
  actor: 'b',
  tenant: 'acme',
  decision: 'allow',
  created_at: '2026-11-21T10:00:00Z',
};

describe('gateway/sdk/avro', () => {
  it('writes every receipt to the bytes that the ledger writes it to', () => {
    fc.assert(
      fc.property(receipt, (data) => {
        const ours = Buffer.from(write(data));
        expect(ours.equals(toAvro('receipts.ReceiptRecorded', data, writeCanonical))).to.equal(true);
      }),
    );
    const long = { ...said, ext: { text: 'ä'.repeat(200_000) } };
    const ours = Buffer.from(write(long));
    expect(ours.equals(toAvro('receipts.ReceiptRecorded', long, writeCanonical))).to.equal(true);
  });

  for (const [what, given, message] of [
    ['a member that is missing', { ...said, actor: undefined }, '/actor must be a text'],
    ['another decision', { ...said, decision: 'maybe' }, '/decision must be one of allow, deny'],
    [
      'a member that nobody knows',
      { ...said, colour: 1 },
      '/colour is no member of a receipt: put it into ext, or leave it out',
    ],
    ['a list that is none', { ...said, selective_fields: 'x' }, '/selective_fields must be a list'],
    [
      'half a surrogate pair',
      { ...said, actor: '\ud800' },
      '/actor has half a surrogate pair, which is no UTF-8',
    ],
  ] as const)
    it(`refuses ${what}, and names it`, () => {
      expect(() => write(given)).to.throw(RangeError, message);
    });

  it('refuses JSON that is none', () => {
    expect(() => write({ ...said, inputs: { n: Number.NaN } })).to.throw(RangeError, '/inputs: ');
  });

  it('refuses a schema that it cannot write, before any receipt', () => {
    expect(() => recordWriter({ type: 'map' })).to.throw(RangeError, 'the schema is no Avro record');
    for (const type of [{ type: 'map', values: 'string' }, ['null', 'string', 'int'], ['string', 'int']])
      expect(() => recordWriter({ type: 'record', fields: [{ name: 'x', type }] })).to.throw(
        RangeError,
        'renew it',
      );
  });
});
