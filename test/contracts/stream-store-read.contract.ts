// StreamStore: reads and proofs.
import { expect } from 'chai';
import { type Seq, streamName, tenantId } from '#schemas/ids.ts';
import type { ReadRange } from '#streams/stream.ts';
import { expectLedgerSound, proofFault } from '#test/support/ledger-sound.ts';
import {
  acme,
  append,
  draft,
  drafts,
  ids,
  type LedgerAdapter,
  openTenants,
  other,
  readAll,
} from './ledger-adapter.ts';

const range = (from?: number, to?: number, pageSize?: number): ReadRange =>
  JSON.parse(JSON.stringify({ from, to, pageSize })) as ReadRange;

export const readContract = (adapter: LedgerAdapter): void => {
  describe('reads', () => {
    it('any range in pages of any size: the facts between, each page following the one before', async () => {
      await using ledger = await adapter.open();
      await openTenants(ledger.store, acme, other);
      await append(ledger.store, acme, ...drafts(19));
      await append(ledger.store, other, ...drafts(30));
      const cases: readonly (readonly [
        from: number | undefined,
        to: number | undefined,
        pageSize: number | undefined,
        pages: readonly number[],
      ])[] = [
        [undefined, undefined, undefined, [20]],
        [1, 20, 20, [20]],
        [1, 20, 7, [7, 7, 6]],
        [1, 20, 10, [10, 10]],
        [1, 20, 1, Array(20).fill(1)],
        [5, 5, 3, [1]],
        [0, 3, undefined, [3]],
        [18, 99, 2, [2, 1]],
        [20, undefined, 5, [1]],
        [21, undefined, undefined, []],
        [9, 8, undefined, []],
        [undefined, 0, undefined, []],
      ];
      for (const [from, to, pageSize, sizes] of cases) {
        const pages = await Array.fromAsync(ledger.store.read(acme, range(from, to, pageSize)));
        const label = `from ${from} to ${to} by ${pageSize}`;
        expect(
          pages.map((page) => page.length),
          label,
        ).to.deep.equal(sizes);
        const start = Math.max(1, from ?? 1);
        expect(
          pages.flat().map(({ seq }) => seq),
          label,
        ).to.deep.equal(pages.flat().map((_, n) => start + n));
        expect(new Set(pages.flat().map(({ tenant }) => tenant)), label).to.have.property(
          'size',
          pages.length === 0 ? 0 : 1,
        );
      }
    });

    it('every fact names the hash of the one before, in every range', async () => {
      await using ledger = await adapter.open();
      await openTenants(ledger.store, acme);
      await append(ledger.store, acme, ...drafts(9));
      const all = await readAll(ledger.store);
      for (const from of [1, 2, 5, 10]) {
        const part = (await Array.fromAsync(ledger.store.read(acme, range(from, undefined, 2)))).flat();
        expect(part).to.deep.equal(all.slice(from - 1));
      }
    });

    it('a read is as of its beginning: facts that come later are not in it', async () => {
      await using ledger = await adapter.open();
      await openTenants(ledger.store, acme);
      await append(ledger.store, acme, ...drafts(4));
      const seen: number[] = [];
      for await (const page of ledger.store.read(acme, { pageSize: 2 })) {
        seen.push(...page.map(({ seq }) => seq));
        await append(ledger.store, acme, draft());
      }
      expect(seen).to.deep.equal([1, 2, 3, 4, 5]);
      expect((await ledger.store.head(acme))?.seq).to.equal(8);
    });

    it('a read that is given up leaves the store fit for use', async () => {
      await using ledger = await adapter.open();
      await openTenants(ledger.store, acme);
      await append(ledger.store, acme, ...drafts(50));
      for (let time = 0; time < 30; time += 1) {
        for await (const page of ledger.store.read(acme, { pageSize: 5 })) {
          expect(page[0]?.seq).to.equal(1);
          break;
        }
      }
      expect(await readAll(ledger.store)).to.have.length(51);
    });

    it('readStream gives one entity of one tenant, oldest first', async () => {
      await using ledger = await adapter.open();
      await openTenants(ledger.store, acme, other);
      const [a, b] = [streamName('tests', 'a'), streamName('tests', `it's"b"\\$1`)];
      const list = drafts(6, (n) => ({ stream: n % 2 === 0 ? a : b }));
      await append(ledger.store, acme, ...list.slice(0, 3));
      await append(ledger.store, other, draft({ stream: a }));
      await append(ledger.store, acme, ...list.slice(3));
      const all = await readAll(ledger.store);
      expect(await ledger.store.readStream(acme, a)).to.deep.equal(all.filter(({ stream }) => stream === a));
      expect(ids(await ledger.store.readStream(acme, b))).to.deep.equal(
        ids(list.filter(({ stream }) => stream === b)),
      );
      expect(await ledger.store.readStream(acme, streamName('tests', 'c'))).to.deep.equal([]);
      expect(await ledger.store.readStream(acme, 'tests' as never), 'no prefix match').to.deep.equal([]);
    });

    it('find gives a fact by id within its tenant only', async () => {
      await using ledger = await adapter.open();
      await openTenants(ledger.store, acme, other);
      const list = drafts(3);
      await append(ledger.store, acme, ...list);
      const all = await readAll(ledger.store);
      for (const [index, { id }] of list.entries())
        expect(await ledger.store.find(acme, id)).to.deep.equal(all[index + 1]);
      expect(await ledger.store.find(other, list[0]?.id as never)).to.equal(undefined);
      expect(await ledger.store.find(acme, draft().id)).to.equal(undefined);
    });

    it('heads are those of all tenants, each the hash of its last fact', async () => {
      await using ledger = await adapter.open();
      expect(await ledger.store.heads()).to.deep.equal([]);
      const tenants = ['zebra', 'acme', 'm-1'].map(tenantId);
      await openTenants(ledger.store, ...tenants);
      await append(ledger.store, acme, ...drafts(3));
      const heads = await ledger.store.heads();
      expect(heads.map(({ tenant }) => tenant).sort()).to.deep.equal([...tenants].sort());
      for (const head of heads) {
        const last = (await readAll(ledger.store, head.tenant)).at(-1);
        expect(head).to.deep.equal({
          tenant: head.tenant,
          seq: last?.seq,
          hash: last?.hash,
          recordedAt: last?.recordedAt,
        });
        expect(await ledger.store.head(head.tenant)).to.deep.equal(head);
      }
    });
  });

  describe('proofs', () => {
    it('verify for a fact committed alone', async () => {
      await using ledger = await adapter.open();
      const opening = { tenant: acme, drafts: [draft()], expect: { kind: 'new-tenant' } } as const;
      const result = await ledger.store.append(opening);
      if (result.kind !== 'appended') throw new Error(result.kind);
      for (const { fact, proof } of result.facts) {
        expect(proofFault(ledger, fact, proof)).to.equal(undefined);
        expect(await ledger.store.proof(acme, fact.seq)).to.deep.equal(proof);
      }
    });

    it('verify for each of a thousand facts in one commit', async () => {
      await using ledger = await adapter.open();
      await openTenants(ledger.store, acme);
      const result = await append(ledger.store, acme, ...drafts(1_000));
      if (result.kind !== 'appended') throw new Error(result.kind);
      for (const { fact, proof } of result.facts)
        expect(proofFault(ledger, fact, proof), `${fact.seq}`).to.equal(undefined);
      for (const place of [2, 3, 500, 999, 1_000, 1_001]) {
        expect(await ledger.store.proof(acme, place as Seq)).to.deep.equal(result.facts[place - 2]?.proof);
      }
    });

    it('verify for the facts of many tenants in one commit', async () => {
      await using ledger = await adapter.open();
      const tenants = Array.from({ length: 33 }, (_, n) => tenantId(`tenant-${n}`));
      await openTenants(ledger.store, ...tenants);
      const results = await Promise.all(
        tenants.map((tenant, n) => append(ledger.store, tenant, ...drafts(1 + (n % 5)))),
      );
      const appended = results.flatMap((result) => (result.kind === 'appended' ? result.facts : []));
      expect(appended).to.have.length(tenants.reduce((sum, _, n) => sum + 1 + (n % 5), 0));
      for (const { fact, proof } of appended) {
        expect(proofFault(ledger, fact, proof)).to.equal(undefined);
        expect(await ledger.store.proof(fact.tenant, fact.seq)).to.deep.equal(proof);
      }
    });

    it('do not verify for another fact, and show nothing of another tenant', async () => {
      await using ledger = await adapter.open();
      const tenants = [acme, other, tenantId('third')];
      await openTenants(ledger.store, ...tenants);
      const results = await Promise.all(tenants.map((tenant) => append(ledger.store, tenant, ...drafts(2))));
      const appended = results.flatMap((result) => (result.kind === 'appended' ? result.facts : []));
      for (const { fact, proof } of appended) {
        const shown = JSON.stringify(proof);
        for (const { fact: foreign, proof: theirs } of appended) {
          if (foreign === fact) continue;
          expect(proofFault(ledger, foreign, proof), 'another fact').to.not.equal(undefined);
          expect(proofFault(ledger, fact, theirs), 'another proof').to.not.equal(undefined);
          if (foreign.tenant === fact.tenant) continue;
          for (const secret of [foreign.tenant, foreign.hash, foreign.id])
            expect(shown).to.not.include(secret);
        }
      }
    });

    it("are of the ledger that made them: another ledger's proof of the same fact does not verify", async () => {
      await using one = await adapter.open();
      await using two = await adapter.open();
      expect(one.store.ledgerId)
        .to.match(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
        .and.not.equal(two.store.ledgerId);
      const same = draft();
      two.clock.now = one.clock.now;
      const opening = { tenant: acme, drafts: [same], expect: { kind: 'new-tenant' } } as const;
      const [a, b] = [await one.store.append(opening), await two.store.append(opening)];
      if (a.kind !== 'appended' || b.kind !== 'appended') throw new Error('appended expected');
      const [first, second] = [a.facts[0], b.facts[0]];
      if (!first || !second) throw new Error('facts expected');
      expect(first.fact.hash, 'the same fact').to.equal(second.fact.hash);
      const borrowed = { store: one.store, keys: two.keys };
      expect(proofFault(borrowed, first.fact, second.proof)).to.equal(
        `signed for ledger ${two.store.ledgerId}`,
      );
      const renamed = { ...second.proof, ledgerId: one.store.ledgerId };
      expect(proofFault(borrowed, first.fact, renamed)).to.equal('bad-signature');
    });

    it('there is none for a fact yet to come, nor for seq 0', async () => {
      await using ledger = await adapter.open();
      await openTenants(ledger.store, acme);
      expect(await ledger.store.proof(acme, 0 as Seq)).to.equal(undefined);
      expect(await ledger.store.proof(acme, 2 as Seq)).to.equal(undefined);
      await expectLedgerSound(ledger);
    });
  });
};
