import { expect } from 'chai';
import type { Instant, Seq, Sha256 } from '#schemas/ids.ts';
import { tenantId } from '#schemas/ids.ts';
import type { StoredHead } from '#streams/postgres/reader.ts';
import { turnsOf } from '#streams/postgres/round.ts';

const head = (name: string, seq: number): StoredHead => ({
  tenant: tenantId(name),
  tenantNo: 1,
  seq: seq as Seq,
  hash: '' as Sha256,
  recordedAt: 0 as Instant,
  standing: 'here',
});

const sizes = (heads: readonly StoredHead[], batchSize = 100): readonly unknown[] =>
  turnsOf(heads, () => 0, batchSize).map(({ head: { tenant }, from, to }) => [tenant, to - from + 1]);

describe('streams/postgres: a turn of the feed', () => {
  it('gives every tenant that has more one batch, and none to the others', () => {
    const at = new Map([
      ['aa', 7],
      ['bb', 5],
    ]);
    const turns = turnsOf(
      [head('aa', 10), head('bb', 5), head('cc', 900)],
      (tenant) => at.get(tenant) ?? 0,
      100,
    );
    expect(turns.map(({ head: { tenant }, from, to }) => [tenant, from, to])).to.deep.equal([
      ['aa', 8, 10],
      ['cc', 1, 100],
    ]);
  });

  it('gives long backlogs together a quarter of what the others get, and at least a little', () => {
    const others = Array.from({ length: 8 }, (_, index) => head(`t${index}`, 100));
    expect(sizes([...others, head('long', 50_000)]).at(-1)).to.deep.equal(['long', 100]);
    const two = [head('one', 50_000), head('two', 90_000)];
    expect(sizes([...others, ...two]).slice(-2)).to.deep.equal([
      ['one', 100],
      ['two', 100],
    ]);
    expect(sizes([...others.slice(0, 4), head('long', 50_000)]).at(-1)).to.deep.equal(['long', 100]);
    expect(sizes([head('t1', 100), head('t2', 100), head('long', 50_000)]).at(-1)).to.deep.equal([
      'long',
      50,
    ]);
    expect(sizes([head('quiet', 1), head('long', 50_000)]).at(-1)).to.deep.equal(['long', 50]);
  });

  it('gives long backlogs whole batches when there is nobody else, or when all have one', () => {
    expect(sizes([head('one', 50_000), head('two', 60_000)])).to.deep.equal([
      ['one', 100],
      ['two', 100],
    ]);
  });

  it('lets everybody else be done when the long one has had a quarter as much', () => {
    const done = new Map<string, number>();
    const heads = [
      ...Array.from({ length: 20 }, (_, index) => head(`t${index}`, 300)),
      head('long', 1_000_000),
    ];
    const others = (): number => [...done].reduce((sum, [name, at]) => (name === 'long' ? sum : sum + at), 0);
    while (others() < 20 * 300)
      for (const { head: of, to } of turnsOf(heads, (tenant) => done.get(tenant) ?? 0, 100))
        done.set(of.tenant, to);
    expect(done.get('long')).to.be.at.most((20 * 300) / 4);
  });
});
