import { expect } from 'chai';
import fc from 'fast-check';
import { knownText } from '#proofs/known-texts.ts';

describe('proofs/known-texts', () => {
  it('gives the text of the bytes, whatever was asked for before', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'grapheme', maxLength: 12 }), { maxLength: 60 }), (texts) => {
        for (const text of [...texts, ...texts]) {
          const bytes = Buffer.from(`"${text}"`);
          expect(knownText(bytes, 1, bytes.length - 1)).to.equal(text);
        }
      }),
    );
  });

  it('keeps nothing of the bytes, which may change', () => {
    const bytes = Buffer.from('receipts.ReceiptRecorded');
    expect(knownText(bytes, 0, bytes.length)).to.equal('receipts.ReceiptRecorded');
    bytes.write('tenants.');
    expect(knownText(bytes, 0, bytes.length)).to.equal('tenants..ReceiptRecorded');
    expect(knownText(Buffer.from('receipts.ReceiptRecorded'), 0, 24)).to.equal('receipts.ReceiptRecorded');
  });

  it('gives texts that share a place in its table', () => {
    // More than it holds: some take the place of others.
    const texts = Array.from({ length: 10_000 }, (_, index) => `tenant-${index}`);
    for (const text of texts) expect(knownText(Buffer.from(text), 0, text.length)).to.equal(text);
    for (const text of texts) expect(knownText(Buffer.from(text), 0, text.length)).to.equal(text);
  });
});
