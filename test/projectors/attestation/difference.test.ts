import { expect } from 'chai';
import { differences } from '#projectors/attestation/difference.ts';
import {
  type CanonicalElement,
  canonicalElement,
  elementKey,
  type Observed,
} from '#projectors/attestation/element.ts';

const node = (id: string, fields: { readonly [name: string]: Observed } = {}, seq = 1): CanonicalElement =>
  canonicalElement({ element: 'Receipt', id, target: '', seq, fields });
const edge = (id: string, target: string, fields = {}): CanonicalElement =>
  canonicalElement({ element: 'CAUSED_BY', id, target, seq: 1, fields });
const list = (...items: readonly string[]): Observed => ({
  is: 'list',
  items: items.map((text) => ({ is: 'text', text })),
});
const said = (left: readonly CanonicalElement[], right: readonly CanonicalElement[]): readonly string[] =>
  differences(left, right).map((each) => [each.class, each.element, each.field ?? ''].join(' ').trim());
const R = (id: string): string => elementKey('Receipt', id, '');

describe('projectors/attestation/difference', () => {
  const a = node('a', { n: { is: 'int', text: '1' }, l: list('x', 'y') });

  it('finds none between equals, in whatever order', () => {
    expect(said([a, node('b')], [node('b'), a])).to.deep.equal([]);
    expect(said([a, a], [a, a])).to.deep.equal([]);
  });
  it('says what is missing and what is one too many', () => {
    expect(said([a], [])).to.deep.equal([`missing ${R('a')}`]);
    expect(said([], [a])).to.deep.equal([`extra ${R('a')}`]);
    expect(said([a], [a, a])).to.deep.equal([`extra ${R('a')}`]);
  });
  it('names each field that differs', () => {
    const b = node('a', { n: { is: 'float', text: '1' }, l: list('x', 'y') });
    expect(said([a], [b])).to.deep.equal([`value ${R('a')} n`]);
    expect(said([a], [node('a', { l: list('x', 'y') })])).to.deep.equal([`value ${R('a')} n`]);
    expect(said([a], [node('a', { n: { is: 'int', text: '1' }, l: list('x', 'y') }, 2)])).to.deep.equal([
      `value ${R('a')} seq`,
    ]);
  });
  it('tells another order from another content', () => {
    const n: Observed = { is: 'int', text: '1' };
    expect(said([a], [node('a', { n, l: list('y', 'x') })])).to.deep.equal([`order ${R('a')} l`]);
    expect(said([a], [node('a', { n, l: list('y', 'y') })])).to.deep.equal([`value ${R('a')} l`]);
  });
  it('sees an edge that was turned round as one edge', () => {
    const key = elementKey('CAUSED_BY', 'x', 'y');
    expect(said([edge('x', 'y')], [edge('y', 'x')])).to.deep.equal([`value ${key} direction`]);
    expect(said([edge('x', 'y')], [])).to.deep.equal([`missing ${key}`]);
    expect(said([edge('x', 'y'), edge('y', 'x')], [edge('y', 'x')])).to.deep.equal([`missing ${key}`]);
  });
  it('shows two elements whose values were swapped as two', () => {
    const one = node('p', { v: { is: 'text', text: '1' } });
    const two = node('q', { v: { is: 'text', text: '2' } });
    const swapped = [
      node('p', { v: { is: 'text', text: '2' } }),
      node('q', { v: { is: 'text', text: '1' } }),
    ];
    expect(said([one, two], swapped)).to.deep.equal([`value ${R('p')} v`, `value ${R('q')} v`]);
  });
});
