// Two versions of a projector over one history, in memory.
import { expect } from 'chai';
import type { AnyProjector } from '#projectors/batch.ts';
import { type Diff, type DiffOptions, diffProjectors } from '#projectors/rebuild/diff.ts';
import { RebuildError } from '#projectors/rebuild/errors.ts';
import type { Seq } from '#schemas/ids.ts';
import { ACME, type Chains, chain, chainsOf, GLOBEX } from '../chains.ts';
import { cleared, counted, decode, log, poison, tally } from '../tally.ts';

const acme = [counted(['ada']), counted(['bob']), counted(['ada', 'cyd']), cleared('bob'), counted(['dan'])];

const diffOver = (
  chains: Chains,
  older: AnyProjector,
  newer: AnyProjector,
  over: Partial<DiffOptions> = {},
): Promise<Diff> =>
  diffProjectors({
    store: {
      read: async function* (tenant, { to } = {}) {
        yield (chains.get(tenant) ?? []).filter(({ seq }) => to === undefined || seq <= to);
      },
    },
    older,
    newer,
    position: [...chains].map(([tenant, facts]) => ({ tenant, seq: facts.length as Seq })),
    skips: async () => new Set(),
    decode,
    ...over,
  });

/** `tally` with another fold. */
const folding = (
  fold: (...given: Parameters<typeof tally.fold>) => ReturnType<typeof tally.fold>,
  over = {},
): AnyProjector => ({
  ...tally,
  fold,
  ...over,
});

describe('projectors/rebuild: diff', () => {
  const chains = chainsOf(chain(ACME, acme), chain(GLOBEX, [counted(['ada'])]));

  it('of a projector and itself is nothing', async () => {
    for (const same of [tally, log] as readonly AnyProjector[]) {
      const diff = await diffOver(chains, same, same);
      expect(diff, same.name).to.deep.include({ added: 0, removed: 0, changed: 0, first: [], refused: [] });
      expect(diff.same, same.name).to.be.greaterThan(3);
    }
  });

  it('counts what is added, removed and changed, and shows the rows with both values', async () => {
    const newer = folding((row, fact, key) => {
      if (fact.type === 'test.Cleared') return row;
      const next = tally.fold(row, fact, key);
      if (key[0] === 'dan') return undefined;
      return next && key[0] === 'cyd' ? { ...next, total: next.total + 1 } : next;
    });
    const diff = await diffOver(chains, tally, newer);
    expect(diff).to.deep.include({ same: 2, added: 1, removed: 1, changed: 1 });
    expect(
      diff.first.map(({ key, older, newer: now }) => [key[0], older?.['total'], now?.['total']]),
    ).to.deep.equal([
      ['bob', undefined, 1],
      ['cyd', 1, 2],
      ['dan', 1, undefined],
    ]);
    const one = await diffOver(chains, tally, newer, { show: 1 });
    expect(one.first).to.have.length(1);
    expect(one).to.deep.include({ same: 2, added: 1, removed: 1, changed: 1 });
  });

  it('sees rows of an insert-only model', async () => {
    const newer: AnyProjector = {
      ...log,
      fold: (row, fact, key) => (fact.seq === 2 ? undefined : log.fold(row as never, fact, key)),
    };
    const diff = await diffOver(chains, log, newer);
    expect(diff).to.deep.include({ added: 0, removed: 1, changed: 0 });
    expect(diff.first[0]?.older).to.include({ seq: 2 });
  });

  it('names columns that came or went, and compares the others', async () => {
    const newer = folding(
      (row, fact, key) => {
        const next = tally.fold(row, fact, key);
        return next && ({ ...next, extra: 'x' } as never);
      },
      { columns: { name: 'text', total: 'bigint', seqs: 'text[]', extra: 'text' } },
    );
    const diff = await diffOver(chains, tally, newer);
    expect(diff).to.deep.include({
      added: 0,
      removed: 0,
      changed: 0,
      columnsAdded: ['extra'],
      columnsRemoved: ['note'],
    });
  });

  it('says which fact one of them cannot take', async () => {
    const poisoned = chainsOf(chain(ACME, [counted(['ada']), poison('ada'), counted(['bob'])]));
    const brave = folding((row, fact, key) =>
      tally.fold(row, { ...fact, data: { ...fact.data, poison: undefined } } as never, key),
    );
    const { refused, added } = await diffOver(poisoned, tally, brave);
    expect(refused).to.deep.equal([{ tenant: ACME, side: 'older', seq: 2, message: 'ada is poison' }]);
    expect(added).to.equal(2);
  });

  it('refuses read models with other keys', async () => {
    const error = await diffOver(chains, tally, { ...tally, key: ['name', 'note'] }).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).to.be.instanceOf(RebuildError).with.property('code', 'not-alike');
  });
});
