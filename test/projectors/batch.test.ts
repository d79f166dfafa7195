import { expect } from 'chai';
import fc from 'fast-check';
import { type AnyProjector, foldBatch, keyText, touchedKeys } from '#projectors/batch.ts';
import type { Row } from '#projectors/projector.ts';
import type { Fact } from '#schemas/event.ts';
import { ACME, chain, type Said } from './chains.ts';
import {
  cleared,
  counted,
  decode,
  log,
  mixture,
  poison,
  type TallyEvent,
  type TallyRow,
  tally,
} from './tally.ts';

const facts = (...said: readonly Said[]): readonly Fact<TallyEvent>[] =>
  chain(ACME, said).map(decode) as readonly Fact<TallyEvent>[];
const handled = (said: readonly Said[]): readonly Fact<TallyEvent>[] =>
  facts(...said.filter(({ type }) => type.startsWith('test.')));

describe('the fold of a batch', () => {
  it('folds each row once per fact, in order, and gives one upsert per key', () => {
    const { changes, poison: none } = foldBatch(
      tally,
      facts(counted(['ada']), counted(['bob', 'ada'], 5), counted(['ada'], 7)),
      new Map(),
    );
    expect(none).to.equal(undefined);
    expect(
      [...changes.upserts.values()].map(({ name, total, seqs }) => [
        name,
        total,
        seqs.map((seq: string) => seq[0]),
      ]),
    ).to.deep.equal([
      ['ada', 13, ['1', '2', '3']],
      ['bob', 5, ['2']],
    ]);
    expect(changes).to.deep.include({ inserts: [], deletes: [] });
  });

  it('starts from the rows that are there, and does not write one that did not change', () => {
    const idle: AnyProjector = { ...tally, fold: (row: Row | undefined) => row };
    const row = { name: 'ada', total: 40, seqs: [], note: null };
    const rows = new Map([['ada', row]]);
    expect(foldBatch(tally, facts(counted(['ada'], 2)), rows).changes.upserts.get('ada')).to.include({
      total: 42,
    });
    expect(foldBatch(idle, facts(counted(['ada'], 2)), rows).changes.upserts.size).to.equal(0);
    expect(row.total).to.equal(40);
  });

  it('deletes a row that was there, and one that came and went leaves no trace', () => {
    const rows = new Map([['ada', { name: 'ada', total: 1, seqs: [], note: null }]]);
    const { changes } = foldBatch(tally, facts(cleared('ada'), counted(['bob']), cleared('bob')), rows);
    expect(changes).to.deep.equal({ inserts: [], upserts: new Map(), deletes: [['ada']] });
  });

  it('folds a key that a fact names twice once', () => {
    const { changes } = foldBatch(tally, facts(counted(['ada', 'ada'], 3)), new Map());
    expect(changes.upserts.get('ada')).to.include({ total: 3 });
  });

  it('inserts one row per fact in order, and asks for no rows, when the model is insert-only', () => {
    const some = facts(counted(['ada']), counted(['ada']));
    expect(touchedKeys(log, some).size).to.equal(0);
    expect(foldBatch(log, some, new Map()).changes.inserts.map(({ seq }) => seq)).to.deep.equal([1, 2]);
  });

  it('stops at the fact that the fold throws at, with what came before it and nothing of its own', () => {
    const { changes, poison: found } = foldBatch(
      tally,
      facts(counted(['bystander'], 9), poison('ada'), counted(['bystander'])),
      new Map(),
    );
    expect(found?.fact.seq).to.equal(2);
    expect(found?.error.message).to.equal('ada is poison');
    expect([...changes.upserts.values()].map(({ name, total }) => [name, total])).to.deep.equal([
      ['bystander', 9],
    ]);
  });

  it('stops an insert-only model in the same way', () => {
    const picky: AnyProjector = {
      ...log,
      fold: (_row: undefined, fact: Fact) => (fact.seq === 2 ? fail('no') : { seq: fact.seq, id: fact.id }),
    };
    const { changes, poison: found } = foldBatch(
      picky,
      facts(counted([]), counted([]), counted([])),
      new Map(),
    );
    expect(found).to.deep.include({ error: new Error('no') });
    expect(changes.inserts).to.have.length(1);
  });

  it('reports a `keys` that throws as poison of that fact', () => {
    const broken = facts(counted(['ada']), { type: 'test.Counted', data: {} });
    expect([...touchedKeys(tally, broken).keys()]).to.deep.equal(['ada']);
    expect(foldBatch(tally, broken, new Map()).poison?.fact.seq).to.equal(2);
  });

  it('gives the same rows however the facts are cut into batches', () => {
    const all = handled(mixture(200));
    const whole = fold(all, [all.length]);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 12 }), (sizes) => {
        expect(fold(all, sizes)).to.deep.equal(whole);
      }),
      { numRuns: 50 },
    );
    expect(whole.size).to.be.greaterThan(3);
  });

  it('gives different keys different texts', () => {
    const key = fc.array(fc.string({ unit: fc.constantFrom('a', '1', ':', '') }), {
      minLength: 2,
      maxLength: 2,
    });
    fc.assert(
      fc.property(
        key,
        key,
        (one, other) => (keyText(one) === keyText(other)) === (JSON.stringify(one) === JSON.stringify(other)),
      ),
    );
  });
});

const fail = (message: string): never => {
  throw new Error(message);
};

/** Folds `all` in batches of the given sizes, the last one repeated, carrying the rows along. */
const fold = (all: readonly Fact<TallyEvent>[], sizes: readonly number[]): ReadonlyMap<string, Row> => {
  const rows = new Map<string, TallyRow>();
  for (let at = 0, batch = 0; at < all.length; batch += 1) {
    const size = sizes[Math.min(batch, sizes.length - 1)] as number;
    const { changes } = foldBatch(tally, all.slice(at, at + size), rows);
    for (const [key, row] of changes.upserts) rows.set(key, row);
    for (const key of changes.deletes) rows.delete(keyText(key));
    at += size;
  }
  return new Map([...rows].sort(([one], [other]) => (one < other ? -1 : 1)));
};
