// StreamStore: a fact's id is the claim on its request, within its tenant and for the life of the chain.
import { expect } from 'chai';
import { payloadHash } from '#proofs/chain.ts';
import type { Draft } from '#schemas/event.ts';
import { streamName } from '#schemas/ids.ts';
import { expectLedgerSound } from '#test/support/ledger-sound.ts';
import {
  ANY,
  acme,
  append,
  at,
  draft,
  drafts,
  factsOf,
  type LedgerAdapter,
  NEW,
  openTenants,
  other,
  readAll,
} from './ledger-adapter.ts';

export const claimsContract = (adapter: LedgerAdapter): void => {
  describe('claims', () => {
    it('the same request again is repeated, with the facts and proofs of the first answer', async () => {
      await using ledger = await adapter.open();
      await openTenants(ledger.store, acme);
      const list = drafts(3);
      const first = await append(ledger.store, acme, ...list);
      await append(ledger.store, acme, draft());
      const again = await append(ledger.store, acme, ...list);
      expect(again.kind).to.equal('repeated');
      expect(factsOf(again).map(({ seq, hash }) => [seq, hash])).to.deep.equal(
        factsOf(first).map(({ seq, hash }) => [seq, hash]),
      );
      if (first.kind !== 'appended' || again.kind !== 'repeated') return;
      expect(again.facts.map(({ proof }) => proof)).to.deep.equal(first.facts.map(({ proof }) => proof));
      await expectLedgerSound(ledger);
    });

    it('is repeated even when its expectation has stopped to hold', async () => {
      await using ledger = await adapter.open();
      const opening = { tenant: acme, drafts: [draft()], expect: NEW };
      await ledger.store.append(opening);
      expect((await ledger.store.append(opening)).kind, 'new-tenant').to.equal('repeated');
      const stream = streamName('tests', 'a');
      const said = { tenant: acme, drafts: [draft({ stream })], expect: at(stream, 0) };
      await ledger.store.append(said);
      expect((await ledger.store.append(said)).kind, 'stream').to.equal('repeated');
    });

    it('another payload under the same id is id-taken and names the first', async () => {
      await using ledger = await adapter.open();
      await openTenants(ledger.store, acme);
      const first = draft({ payload: '{"n":1}' });
      const [stored] = factsOf(await append(ledger.store, acme, first));
      const result = await append(ledger.store, acme, { ...first, payload: '{"n":2}' });
      expect(result.kind).to.equal('id-taken');
      if (result.kind === 'id-taken') expect(result.first.hash).to.equal(stored?.hash);
      expect(await readAll(ledger.store)).to.have.length(2);
    });

    it('requestHash decides instead of the payload when given', async () => {
      await using ledger = await adapter.open();
      await openTenants(ledger.store, acme);
      const [one, two] = [payloadHash('request one'), payloadHash('request two')];
      const first = draft({ payload: '{"n":1}' });
      const send = (payload: string, requestHash?: typeof one) =>
        ledger.store.append({ tenant: acme, drafts: [{ ...first, payload }], expect: ANY, requestHash });
      expect((await send('{"n":1}', one)).kind).to.equal('appended');
      expect((await send('{"n":2}', one)).kind, 'same request, other payload').to.equal('repeated');
      expect((await send('{"n":1}', two)).kind, 'other request, same payload').to.equal('id-taken');
      expect((await send('{"n":1}')).kind, 'no hash: that of the payload').to.equal('id-taken');
    });

    it('the id of a later fact is no claim: as a request of its own it is taken', async () => {
      await using ledger = await adapter.open();
      await openTenants(ledger.store, acme);
      const [first, second] = drafts(2, (n) => ({ payload: `{"n":${n}}` })) as [Draft, Draft];
      await append(ledger.store, acme, first, second);
      const result = await append(ledger.store, acme, { ...second, payload: '{"n":9}' });
      expect(result.kind).to.equal('id-taken');
      if (result.kind === 'id-taken') expect(result.first.seq).to.equal(3);
    });

    it('the same id in another tenant is a new fact', async () => {
      await using ledger = await adapter.open();
      await openTenants(ledger.store, acme, other);
      const same = draft();
      expect((await append(ledger.store, acme, same)).kind).to.equal('appended');
      expect((await append(ledger.store, other, same)).kind).to.equal('appended');
      expect((await append(ledger.store, other, { ...same, payload: '{}' })).kind).to.equal('id-taken');
      await expectLedgerSound(ledger);
    });

    it('the same request sent eight times at once is stored once, and all get its fact', async () => {
      await using ledger = await adapter.open();
      await openTenants(ledger.store, acme);
      const same = draft();
      const results = await Promise.all(Array.from({ length: 8 }, () => append(ledger.store, acme, same)));
      expect(results.map(({ kind }) => kind).sort()).to.deep.equal([
        'appended',
        ...Array(7).fill('repeated'),
      ]);
      expect(new Set(results.flatMap(factsOf).map(({ hash }) => hash))).to.have.property('size', 1);
      expect(await readAll(ledger.store)).to.have.length(2);
    });

    it('two requests under one id at once: one is stored, the other is id-taken', async () => {
      await using ledger = await adapter.open();
      await openTenants(ledger.store, acme);
      const same = draft();
      const results = await Promise.all(
        ['{"n":1}', '{"n":2}'].map((payload) => append(ledger.store, acme, { ...same, payload })),
      );
      expect(results.map(({ kind }) => kind).sort()).to.deep.equal(['appended', 'id-taken']);
    });
  });
};
