// The mutation campaign in its small form; `npm run fault:drift` is the long one.
import { expect } from 'chai';
import { noTrees } from '#projectors/attestation/attest.ts';
import { testNeo4j } from '#test/support/neo4j.ts';
import { mutationsAt, named, type Pair } from './drift.ts';
import { type OpenDriftSite, openDriftSite } from './drift-site.ts';

describe('two stores that are made to differ', function () {
  this.timeout(180_000);
  let site: OpenDriftSite;
  before(async function () {
    site = await openDriftSite((await testNeo4j(this)).url, { edges: 300, people: 60 });
  });
  after(() => site?.[Symbol.asyncDispose]());

  it('are equal before', async () => {
    const { verdict, asOf, elements, left, right, differences } = await site.attest();
    expect({ verdict, asOf, elements, differences }).to.deep.equal({
      verdict: 'clean',
      asOf: 300,
      elements: 360,
      differences: [],
    });
    expect(left.root).to.equal(right.root);
  });

  it('are found out, whatever was done, and where; equal forms are passed over', async () => {
    const [pair, other] = [site.pairs[137], site.pairs[10]] as [Pair, Pair];
    const mutations = mutationsAt(site, pair, other);
    expect(new Set(mutations.map(({ kind }) => kind)).size).to.be.greaterThan(20);
    for (const { kind, expected, apply, undo } of mutations) {
      await apply();
      const { verdict, differences, left, right } = await site.attest();
      expect(differences.map(named), kind).to.have.members(expected);
      expect(verdict, kind).to.equal(expected.length > 0 ? 'divergent' : 'clean');
      expect(left.root === right.root, kind).to.equal(expected.length === 0);
      await undo();
    }
    expect((await site.attest()).verdict, 'all undone').to.equal('clean');
  });

  it('are compared anew only where facts are new, and in turn', async () => {
    const trees = noTrees();
    await site.attest(trees);
    expect((await site.attest(trees, 0)).read, 'the last bucket only').to.be.lessThan(2 * 64 * 3);
    const pair = site.pairs[3] as Pair;
    const [edit] = mutationsAt(site, pair, site.pairs[10] as Pair).filter(
      ({ kind }) => kind === 'property edit',
    );
    await edit?.apply();
    const verdicts: string[] = [];
    for (let run = 0; run < 5; run += 1) verdicts.push((await site.attest(trees, 1)).verdict);
    expect(verdicts, 'when its turn comes').to.include('divergent');
    await edit?.undo();
  });
});
