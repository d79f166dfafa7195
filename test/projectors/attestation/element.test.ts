import { expect } from 'chai';
import fc from 'fast-check';
import {
  canonicalElement,
  canonicalValue,
  type Observed,
  type ObservedElement,
} from '#projectors/attestation/element.ts';

const element = (fields: ObservedElement['fields']): ObservedElement => ({
  element: 'Receipt',
  id: 'r-1',
  target: '',
  seq: 1,
  fields,
});
const digestOf = (fields: ObservedElement['fields']): string => canonicalElement(element(fields)).digest;
const text = (of: string): Observed => ({ is: 'text', text: of });

describe('projectors/attestation/element', () => {
  it('is the same for what is the same: order of properties, form of characters, null and absent', () => {
    const composed = { a: text('\u00e9'), b: text('x') };
    expect(digestOf({ b: text('x'), a: text('e\u0301') })).to.equal(digestOf(composed));
    expect(digestOf({ ...composed, c: undefined })).to.equal(digestOf(composed));
    const json = (of: string): Observed => ({ is: 'json', text: of });
    expect(canonicalValue(json('{"b":1,"a":[1.0,2]}'))).to.equal(
      canonicalValue(json('{ "a": [1, 2], "b": 1e0 }')),
    );
  });

  it('is another for what is not: kinds of numbers and times, null inside JSON, order of lists', () => {
    const different: readonly Observed[] = [
      { is: 'int', text: '5' },
      { is: 'float', text: '5' },
      { is: 'text', text: '5' },
      { is: 'bool', text: '5' },
      { is: 'time', text: '5' },
      { is: 'local-time', text: '5' },
      { is: 'date', text: '5' },
      { is: 'json', text: '5' },
      { is: 'list', items: [text('5')] },
      { is: 'list', items: [text('5'), text('5')] },
      { is: 'list', items: [text('a'), text('b')] },
      { is: 'list', items: [text('b'), text('a')] },
      { is: 'list', items: [{ is: 'int', text: '5' }] },
      { is: 'json', text: '{"a":null}' },
      { is: 'json', text: '{}' },
      { is: 'json', text: '{"a":' },
    ];
    const texts = different.map(canonicalValue);
    expect(new Set(texts).size).to.equal(texts.length);
  });

  it('does not move characters between its parts', () => {
    const keys = [
      ['Receipt', 'a', ''],
      ['Receipt', '', 'a'],
      ['Receip', 'ta', ''],
      ['Receipt', 'a","', ''],
    ].map(([kind = '', id = '', target = '']) =>
      canonicalElement({ ...element({}), element: kind, id, target }),
    );
    expect(new Set(keys.map(({ key }) => key)).size).to.equal(4);
    expect(new Set(keys.map(({ digest }) => digest)).size).to.equal(4);
  });

  it('has one digest for each set of fields (property)', () => {
    const fields = fc.dictionary(fc.string(), fc.string().map(text), { maxKeys: 6, noNullPrototype: true });
    fc.assert(
      fc.property(fields, fields, (one, other) => {
        const nfc = (of: typeof one): string =>
          JSON.stringify(
            Object.entries(of)
              .map(([name, value]) => [name.normalize('NFC'), canonicalValue(value)])
              .sort(([a = ''], [b = '']) => (a < b ? -1 : 1)),
          );
        expect(digestOf(one) === digestOf(other)).to.equal(nfc(one) === nfc(other));
        expect(digestOf(Object.fromEntries(Object.entries(one).reverse()))).to.equal(digestOf(one));
      }),
    );
  });
});
