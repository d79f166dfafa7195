// StreamStore, one caller: every expectation with every result, all or nothing, claims, times, what is stored.
import { expect } from 'chai';
import type { Draft } from '#schemas/event.ts';
import { type Instant, streamName, tenantId } from '#schemas/ids.ts';
import { expectLedgerSound } from '#test/support/ledger-sound.ts';
import {
  acme,
  append,
  at,
  draft,
  drafts,
  factsOf,
  ids,
  type LedgerAdapter,
  NEW,
  openTenants,
  other,
  readAll,
  refused,
} from './ledger-adapter.ts';

export const appendContract = (adapter: LedgerAdapter): void => {
  describe('expectations', () => {
    it('new-tenant opens a chain at seq 1', async () => {
      await using ledger = await adapter.open();
      const result = await ledger.store.append({ tenant: acme, drafts: [draft()], expect: NEW });
      expect(result.kind).to.equal('appended');
      expect(factsOf(result).map((fact) => [fact.seq, fact.prevHash])).to.deep.equal([[1, '0'.repeat(64)]]);
      await expectLedgerSound(ledger);
    });

    it('new-tenant on a tenant with facts is tenant-exists and names its head', async () => {
      await using ledger = await adapter.open();
      await openTenants(ledger.store, acme);
      const result = await ledger.store.append({ tenant: acme, drafts: [draft()], expect: NEW });
      expect(result).to.deep.equal({ kind: 'tenant-exists', head: await ledger.store.head(acme) });
      expect(await readAll(ledger.store)).to.have.length(1);
    });

    it('any and stream on an unknown tenant are no-such-tenant and make no tenant', async () => {
      await using ledger = await adapter.open();
      const stream = streamName('tests', 'a');
      expect(await append(ledger.store, acme, draft())).to.deep.equal({ kind: 'no-such-tenant' });
      const request = { tenant: acme, drafts: [draft({ stream })], expect: at(stream, 0) };
      expect(await ledger.store.append(request)).to.deep.equal({ kind: 'no-such-tenant' });
      expect(await ledger.store.heads()).to.deep.equal([]);
    });

    it('a tenant refused before can be opened after', async () => {
      await using ledger = await adapter.open();
      await append(ledger.store, acme, draft());
      await openTenants(ledger.store, acme);
      expect((await append(ledger.store, acme, draft())).kind).to.equal('appended');
      await expectLedgerSound(ledger);
    });

    it('stream holds at the revision of its last fact, and moves to the seq of the new one', async () => {
      await using ledger = await adapter.open();
      await openTenants(ledger.store, acme);
      const stream = streamName('tests', 'a');
      const say = (revision: number) =>
        ledger.store.append({ tenant: acme, drafts: [draft({ stream })], expect: at(stream, revision) });
      expect((await say(0)).kind, 'a stream without facts is at 0').to.equal('appended');
      await append(ledger.store, acme, draft());
      expect((await say(2)).kind, 'facts beside the stream do not move it').to.equal('appended');
      expect(await say(2)).to.deep.equal({ kind: 'conflict', actual: 4 });
      expect(await say(0)).to.deep.equal({ kind: 'conflict', actual: 4 });
      expect(await say(5), 'a revision yet to come').to.deep.equal({ kind: 'conflict', actual: 4 });
      await expectLedgerSound(ledger);
    });

    it('stream may be another one than the one that is written', async () => {
      await using ledger = await adapter.open();
      await openTenants(ledger.store, acme);
      const [read, written] = [streamName('tests', 'read'), streamName('tests', 'written')];
      const request = { tenant: acme, drafts: [draft({ stream: written })], expect: at(read, 0) };
      expect((await ledger.store.append(request)).kind).to.equal('appended');
      expect(
        (await ledger.store.append({ ...request, drafts: [draft()] })).kind,
        'read is still at 0',
      ).to.equal('appended');
      expect(
        await ledger.store.append({ ...request, expect: at(written, 0), drafts: [draft()] }),
      ).to.deep.equal({ kind: 'conflict', actual: 2 });
    });

    it('two decisions made from the same revision in the same moment: one is appended, one is a conflict', async () => {
      await using ledger = await adapter.open();
      await openTenants(ledger.store, acme);
      const stream = streamName('tests', 'a');
      const say = () =>
        ledger.store.append({ tenant: acme, drafts: [draft({ stream })], expect: at(stream, 0) });
      const results = await Promise.all(Array.from({ length: 8 }, say));
      expect(results.filter(({ kind }) => kind === 'appended')).to.have.length(1);
      expect(results.filter(({ kind }) => kind === 'conflict')).to.deep.equal(
        Array(7).fill({ kind: 'conflict', actual: 2 }),
      );
      await expectLedgerSound(ledger);
    });

    it('a tenant opened by eight callers at once is opened once', async () => {
      await using ledger = await adapter.open();
      const open = () => ledger.store.append({ tenant: acme, drafts: [draft()], expect: NEW });
      const results = await Promise.all(Array.from({ length: 8 }, open));
      expect(results.map(({ kind }) => kind).sort()).to.deep.equal([
        'appended',
        ...Array(7).fill('tenant-exists'),
      ]);
      expect(await readAll(ledger.store)).to.have.length(1);
    });
  });

  describe('several facts at once', () => {
    it('stand one behind the other, in the order given', async () => {
      await using ledger = await adapter.open();
      await openTenants(ledger.store, acme);
      const list = drafts(5, (n) => ({ payload: `{"n":${n}}` }));
      const facts = factsOf(await append(ledger.store, acme, ...list));
      expect(facts.map(({ seq }) => seq)).to.deep.equal([2, 3, 4, 5, 6]);
      expect(ids(facts)).to.deep.equal(ids(list));
    });

    it('all go in or none: a conflict, a taken id and a missing tenant each leave nothing', async () => {
      await using ledger = await adapter.open();
      const [opening] = await openTenants(ledger.store, acme);
      const stream = streamName('tests', 'a');
      const conflict = await ledger.store.append({ tenant: acme, drafts: drafts(3), expect: at(stream, 7) });
      const taken = await append(ledger.store, acme, draft(), opening as Draft, draft());
      const missing = await append(ledger.store, other, ...drafts(3));
      expect([conflict.kind, taken.kind, missing.kind]).to.deep.equal([
        'conflict',
        'id-taken',
        'no-such-tenant',
      ]);
      expect(await readAll(ledger.store)).to.have.length(1);
      await expectLedgerSound(ledger);
    });

    it('a thousand are the most', async () => {
      await using ledger = await adapter.open();
      await openTenants(ledger.store, acme);
      expect(factsOf(await append(ledger.store, acme, ...drafts(1_000)))).to.have.length(1_000);
      await refused(append(ledger.store, acme, ...drafts(1_001)));
      expect((await ledger.store.head(acme))?.seq).to.equal(1_001);
      await expectLedgerSound(ledger);
    });

    it('none at all, and one id twice, are refused; the store goes on', async () => {
      await using ledger = await adapter.open();
      await openTenants(ledger.store, acme);
      const twice = draft();
      await refused(append(ledger.store, acme));
      await refused(append(ledger.store, acme, twice, twice));
      expect((await append(ledger.store, acme, draft())).kind).to.equal('appended');
      expect((await ledger.store.head(acme))?.seq).to.equal(2);
    });
  });

  describe('time', () => {
    it('recordedAt is the ledger clock, and never goes back when the clock does', async () => {
      await using ledger = await adapter.open();
      const start = ledger.clock.now;
      await openTenants(ledger.store, acme);
      for (const [move, expected] of [
        [10, 10],
        [-5_000, 10],
        [9, 10],
        [11, 11],
      ] as const) {
        ledger.clock.now = start + move;
        const [fact] = factsOf(await append(ledger.store, acme, draft()));
        expect(fact?.recordedAt).to.equal(start + expected);
      }
      expect((await ledger.store.head(acme))?.recordedAt).to.equal(start + 11);
      await expectLedgerSound(ledger);
    });

    it('occurredAt orders nothing', async () => {
      await using ledger = await adapter.open();
      await openTenants(ledger.store, acme);
      await append(
        ledger.store,
        acme,
        draft({ occurredAt: 2_000_000_000_000 as Instant }),
        draft({ occurredAt: -1 as Instant }),
      );
      expect((await readAll(ledger.store)).slice(1).map(({ occurredAt }) => occurredAt)).to.deep.equal([
        2_000_000_000_000, -1,
      ]);
    });
  });

  it('facts handed out cannot be used to change what is stored', async () => {
    await using ledger = await adapter.open();
    await openTenants(ledger.store, acme);
    const given: { -readonly [Key in keyof Draft]: Draft[Key] } = { ...draft() };
    const [fact] = factsOf(await append(ledger.store, acme, given));
    given.payload = '{"text":"changed"}';
    try {
      (fact as { payload: string }).payload = '{"text":"changed"}';
    } catch {
      // frozen: as good
    }
    expect((await ledger.store.find(acme, given.id))?.payload).to.equal('{"text":"hello"}');
  });

  it('a closed store refuses appends as closed, and finishes those under way', async () => {
    await using ledger = await adapter.open();
    await openTenants(ledger.store, acme);
    const instance = adapter.supports.another === true ? await ledger.another() : ledger;
    const underWay = append(instance.store, acme, draft());
    await instance.store[Symbol.asyncDispose]();
    expect((await underWay).kind).to.equal('appended');
    const error = await refused(append(instance.store, acme, draft()));
    expect(error).to.have.property('code', 'closed');
  });

  it('an unknown tenant is empty everywhere', async () => {
    await using ledger = await adapter.open();
    const nobody = tenantId('nobody');
    expect(await ledger.store.head(nobody)).to.equal(undefined);
    expect(await readAll(ledger.store, nobody)).to.deep.equal([]);
    expect(await ledger.store.readStream(nobody, streamName('tests', 'a'))).to.deep.equal([]);
    expect(await ledger.store.find(nobody, draft().id)).to.equal(undefined);
    expect(await ledger.store.proof(nobody, 1 as never)).to.equal(undefined);
  });
};
