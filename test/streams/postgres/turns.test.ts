import { expect } from 'chai';
import fc from 'fast-check';
import { turns } from '#streams/postgres/turns.ts';

interface Item {
  readonly bytes: number;
  readonly request: { readonly tenant: string; readonly drafts: readonly unknown[] };
  readonly number: number;
}

let made = 0;
const item = (tenant: string, facts = 1): Item => {
  made += 1;
  return { bytes: facts * 10, request: { tenant, drafts: Array.from({ length: facts }) }, number: made };
};
const factsIn = (items: readonly Item[]): number =>
  items.reduce((sum, { request }) => sum + request.drafts.length, 0);
const tenantsOf = (items: readonly Item[]): readonly string[] => items.map(({ request }) => request.tenant);

describe('streams/postgres/turns', () => {
  it('a tenant with a thousand waiting does not keep another out of the next batch', () => {
    const line = turns<Item>();
    for (let count = 0; count < 1_000; count += 1) line.add(item('noisy'));
    line.add(item('quiet'));
    line.add(item('still'));
    const batch = line.take(40);
    expect(tenantsOf(batch)).to.include.members(['quiet', 'still']);
    expect(tenantsOf(batch).filter((tenant) => tenant === 'noisy')).to.have.length(8);
  });

  it('a tenant alone fills a commit; beside another nobody waits for more than a quarter of one', () => {
    const line = turns<Item>();
    for (let count = 0; count < 100; count += 1) line.add(item('a'));
    expect(line.take(40)).to.have.length(40);
    line.add(item('b'));
    expect(line.take(40)).to.have.length(10);
    expect(line.take(40)).to.have.length(40);
  });

  it('what is in a batch already counts: it grows to its bound and not past it', () => {
    const line = turns<Item>();
    for (let count = 0; count < 8; count += 1) line.add(item('a', 7));
    expect(factsIn(line.take(40, 30))).to.equal(7);
    expect(line.take(40, 37)).to.deep.equal([]);
    expect(line.take(40, 40)).to.deep.equal([]);
    line.add(item('b'));
    expect(line.take(40, 10), 'a quarter, while another waits').to.deep.equal([]);
    expect(factsIn(line.take(4)), 'an empty batch takes one whatever its size').to.be.greaterThan(0);
  });

  it('tenants with much waiting share a batch evenly', () => {
    const line = turns<Item>();
    for (const tenant of ['a', 'b', 'c', 'd'])
      for (let count = 0; count < 100; count += 1) line.add(item(tenant));
    const shares = Map.groupBy(line.take(160), ({ request }) => request.tenant);
    expect([...shares.values()].map((own) => own.length)).to.deep.equal([10, 10, 10, 10]);
  });

  it('more tenants than a batch holds are each served before any is served twice', () => {
    const line = turns<Item>();
    const names = Array.from({ length: 25 }, (_, index) => `tenant-${index}`);
    for (let round = 0; round < 3; round += 1) for (const name of names) line.add(item(name));
    const first = [...line.take(10), ...line.take(10), ...line.take(5)];
    expect(new Set(tenantsOf(first)).size).to.equal(25);
  });

  it('an item as large as a batch is not passed over for ever by small ones', () => {
    const line = turns<Item>();
    for (let count = 0; count < 3; count += 1) line.add(item(`small-${count}`));
    line.add(item('large', 10));
    const taken = [line.take(10)];
    for (let count = 0; count < 3; count += 1) line.add(item(`small-${count}`));
    taken.push(line.take(10));
    expect(tenantsOf(taken.flat())).to.include('large');
  });

  it('what is put back comes first, in its order', () => {
    const line = turns<Item>();
    const items = [item('a'), item('b'), item('a')];
    for (const one of items) line.add(one);
    const taken = line.take(3);
    line.add(item('c'));
    line.add(item('a'));
    line.putBack(taken);
    expect(tenantsOf(line.take(2))).to.deep.equal(['a', 'b']);
    const rest = line.take(9).filter(({ request }) => request.tenant === 'a');
    expect(rest[0]).to.equal(items[2]);
  });

  it('loses nothing, keeps the order of each tenant, and fills a batch as far as whole items go', () => {
    const step = fc.oneof(
      fc.record({ add: fc.constantFrom('a', 'b', 'c', 'd'), facts: fc.integer({ min: 1, max: 5 }) }),
      fc.record({ take: fc.integer({ min: 1, max: 12 }), back: fc.boolean() }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const line = turns<Item>();
        const waiting = new Map<string, Item[]>();
        for (const one of steps) {
          if ('add' in one) {
            const added = item(one.add, one.facts);
            line.add(added);
            waiting.set(one.add, [...(waiting.get(one.add) ?? []), added]);
            continue;
          }
          const total = factsIn([...waiting.values()].flat());
          const taken = line.take(one.take);
          expect(taken.length > 0).to.equal(total > 0);
          const tenants = [...waiting.values()].filter((own) => own.length > 0).length;
          const room =
            tenants > 1 ? Math.min(one.take, Math.max(tenants, Math.ceil(one.take / 4))) : one.take;
          expect(factsIn(taken) <= room || taken.length === 1).to.equal(true);
          if (total <= room) expect(factsIn(taken)).to.equal(total);
          for (const [tenant, own] of Map.groupBy(taken, ({ request }) => request.tenant)) {
            const expected = waiting.get(tenant) ?? [];
            expect(own).to.deep.equal(expected.slice(0, own.length));
            if (!one.back) waiting.set(tenant, expected.slice(own.length));
          }
          if (one.back) line.putBack(taken);
          for (const tenant of ['a', 'b', 'c', 'd']) {
            const { facts, bytes } = line.held(tenant);
            expect([facts, bytes / 10]).to.deep.equal(Array(2).fill(factsIn(waiting.get(tenant) ?? [])));
          }
        }
      }),
    );
  });
});
