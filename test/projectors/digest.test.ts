import { createHash } from 'node:crypto';
import { expect } from 'chai';
import fc from 'fast-check';
import type { AnyProjector } from '#projectors/batch.ts';
import {
  digestOfSorted,
  jsonbText,
  modelDigest,
  rowForm,
  rowHash,
  sortRowHashes,
} from '#projectors/digest.ts';

const projector = {
  name: 'log',
  version: 1,
  handles: [],
  columns: { id: 'text', at: 'timestamptz', json: 'jsonb' },
  key: ['id'],
  keys: () => [],
  fold: () => undefined,
} as AnyProjector;

const lines = (...rows: readonly string[]): string => {
  const hashes = rows.map((row) => createHash('sha256').update(row).digest('hex')).sort();
  return createHash('sha256')
    .update(hashes.map((each) => `${each}\n`).join(''))
    .digest('hex');
};

const hashesOf = (texts: readonly string[]): Buffer => Buffer.from(texts.map(rowHash).join(''), 'latin1');

describe('projectors/digest', () => {
  it('a line is the row as PostgreSQL writes a jsonb array', () => {
    const row = { id: 'a"\n', at: 5, json: { bb: [1, null], a: 'ü', B: true } };
    expect(rowForm(projector).line('acme', row)).to.equal(
      '["acme", "a\\"\\n", 5, {"B": true, "a": "ü", "bb": [1, null]}]',
    );
    expect(rowForm(projector).line('acme', { id: 'x' })).to.equal('["acme", "x", null, null]');
  });

  it('many rows are hashed together as each is by itself', () => {
    const { hash, hashes, line } = rowForm(projector);
    for (const count of [0, 1, 5, 300]) {
      const rows = Array.from({ length: count }, (_, index) => ({
        id: 'ü'.repeat(index),
        at: index,
        json: [index],
      }));
      const each = rows.map((row) => hash('acme', row));
      expect(hashes('acme', rows).toString('latin1')).to.equal(each.join(''));
      expect(each).to.deep.equal(rows.map((row) => rowHash(line('acme', row))));
    }
  });

  it('numbers are written without an exponent', () => {
    expect(jsonbText([1e21, -1.5e-7, 5e-324, 0.1, -0, 2 ** 63])).to.equal(
      `[1000000000000000000000, -0.00000015, 0.${'0'.repeat(323)}5, 0.1, 0, 9223372036854776000]`,
    );
    expect(() => jsonbText(Number.NaN)).to.throw(TypeError);
  });

  it('a value is written as JSON.stringify writes it, but for the spaces and the order of members', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.maxSafeInteger(), fc.boolean()), (value) => {
        expect(jsonbText(value)).to.equal(JSON.stringify(value));
      }),
      { numRuns: 500 },
    );
    for (let power = 0; power < 16; power += 1)
      for (const around of [-1, 0, 1])
        expect(jsonbText(10 ** power + around)).to.equal(String(10 ** power + around));
  });

  it('members stand in the order of a jsonb, shorter names first, however many there are', () => {
    const names = Array.from({ length: 90 }, (_, index) => `${'x'.repeat((index * 7) % 5)}${index}ü`);
    const ordered = [...names].sort(
      (a, b) => Buffer.byteLength(a) - Buffer.byteLength(b) || Buffer.compare(Buffer.from(a), Buffer.from(b)),
    );
    const members = (list: readonly string[]) => Object.fromEntries(list.map((name) => [name, 1]));
    expect(jsonbText(members(names))).to.equal(`{${ordered.map((name) => `"${name}": 1`).join(', ')}}`);
    expect(jsonbText(members(names.slice(0, 9)))).to.equal(
      `{${ordered
        .filter((name) => names.indexOf(name) < 9)
        .map((name) => `"${name}": 1`)
        .join(', ')}}`,
    );
  });

  it('the digest is that of the sorted hashes, whatever the order of the rows', () => {
    expect(modelDigest(Buffer.alloc(0))).to.equal(createHash('sha256').digest('hex'));
    fc.assert(
      fc.property(fc.array(fc.string(), { maxLength: 40 }), (texts) => {
        expect(modelDigest(hashesOf(texts))).to.equal(lines(...texts));
        expect(modelDigest(hashesOf([...texts].reverse()))).to.equal(lines(...texts));
      }),
    );
  });

  it('hashes are sorted by all their bytes, also where the first four are the same', () => {
    const tail = (...bytes: readonly number[]) =>
      Buffer.from(
        [...Array(27).fill(7), 9, 9, 9, 9, 9].map((byte, at) => (at < 4 ? 1 : (bytes[at - 27] ?? byte))),
      );
    const hashes = [tail(3), tail(1), tail(2, 5), tail(2, 4), tail(0)];
    const sorted = sortRowHashes(Buffer.concat(hashes));
    expect(sorted.toString('hex')).to.equal(Buffer.concat([...hashes].sort(Buffer.compare)).toString('hex'));
  });

  it('can be taken in parts', () => {
    const all = sortRowHashes(hashesOf(['a', 'b', 'c', 'd']));
    const digest = digestOfSorted();
    for (let at = 0; at < all.length; at += 32) digest.add(all.subarray(at, at + 32));
    expect(digest.end()).to.equal(lines('a', 'b', 'c', 'd'));
  });
});
