// Facts from elsewhere: the same bytes, the same proofs, and nobody appends to what is half there.
import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { CHAIN_START } from '#proofs/chain.ts';
import type { Seq, Sha256, TenantId } from '#schemas/ids.ts';
import { tenantId } from '#schemas/ids.ts';
import {
  type CarriedShare,
  type CarryError,
  carriedShares,
  carrier,
  checkLink,
  checkShare,
  trustIn,
} from '#streams/carry.ts';
import { beginArrival, postgresShareTaker } from '#streams/postgres/arrival.ts';
import { belongingsIn } from '#streams/postgres/departure.ts';
import { verifyStoredChain } from '#streams/postgres/verify/chain.ts';
import { ANY, acme, append, draft, drafts, openTenants, other } from '#test/contracts/ledger-adapter.ts';
import { testSigner } from '#test/support/test-signer.ts';
import { openPostgres, type PostgresUnderTest } from './postgres-adapter.ts';

const REQUEST = 'ab'.repeat(32) as Sha256;

describe('streams/postgres/arrival', () => {
  let source: PostgresUnderTest;
  let target: PostgresUnderTest;
  const asked = draft();

  before(async () => {
    source = await openPostgres();
    await openTenants(source.store, acme, other);
    for (let round = 0; round < 4; round += 1)
      await Promise.all([
        ...drafts(3).map((each) => append(source.store, acme, each)),
        append(source.store, other, ...drafts(5)),
      ]);
    await source.store.append({ tenant: acme, drafts: [asked], expect: ANY, requestHash: REQUEST });
  });
  beforeEach(async () => {
    target = await openPostgres();
  });
  afterEach(() => target[Symbol.asyncDispose]());
  after(() => source[Symbol.asyncDispose]());

  const sharesOf = async (tenant: TenantId, after = 0): Promise<readonly CarriedShare[]> => {
    const belongings = belongingsIn(source.owner, source.store.ledgerId);
    return await Array.fromAsync(carriedShares(source.store, belongings, { tenant, after: after as Seq }));
  };
  const begin = () => beginArrival(target.owner, { source: 'a test', ledgerId: source.store.ledgerId });
  const taker = () => postgresShareTaker(target.pool(), source.store.ledgerId);
  const reopened = async () => await target.storeWith({ pool: target.pool(), ...testSigner() });
  const codeOf = async (work: Promise<unknown>): Promise<unknown> =>
    await work.then(
      () => 'nothing',
      (error: CarryError) => error.code,
    );

  it('comes whole: the same facts, proofs, claims and signatures; it verifies, and goes on', async () => {
    const arrival = await begin();
    let stored = 0;
    const into = carrier(taker(), (facts) => {
      stored += facts;
    });
    const trust = trustIn(source.store.ledgerId, source.keys);
    for (const tenant of [acme, other])
      for (const carried of await sharesOf(tenant)) {
        checkShare(carried, trust, 'the test');
        await into.put(tenant, carried);
      }
    await into.flush();
    await arrival.end();
    const store = await reopened();
    expect(stored).to.equal(2 + 12 + 20 + 1);
    expect(store.ledgerId).to.equal(source.store.ledgerId);
    const heads = await source.store.heads();
    expect(await store.heads()).to.deep.equal(heads);
    for (const { tenant, seq } of heads) {
      expect(await Array.fromAsync(store.read(tenant))).to.deep.equal(
        await Array.fromAsync(source.store.read(tenant)),
      );
      for (let at = 1; at <= seq; at += 1)
        expect(await store.proof(tenant, at as Seq), `${tenant}/${at}`).to.deep.equal(
          await source.store.proof(tenant, at as Seq),
        );
      const verified = await verifyStoredChain({
        pool: target.owner,
        url: target.database.url,
        ledgerId: store.ledgerId,
        tenant,
        keys: source.keys,
      });
      expect(verified).to.deep.include({ facts: seq });
      expect(verified).to.not.have.property('fault');
    }
    const again = await store.append({ tenant: acme, drafts: [asked], expect: ANY, requestHash: REQUEST });
    expect(again.kind).to.equal('repeated');
    expect((await store.append({ tenant: acme, drafts: [asked], expect: ANY })).kind).to.equal('id-taken');
    await openTenants(store, tenantId('third'));
    expect((await append(store, acme, draft())).kind).to.equal('appended');
  });

  it('half of it takes no appends, is not read, and the same command brings the rest', async () => {
    expect(await begin()).to.include({ resumed: false });
    const shares = await sharesOf(acme);
    await taker().take(acme, shares.slice(0, 2));
    const store = await reopened();
    expect(await codeOf(append(store, acme, draft()))).to.equal('moving');
    expect(await codeOf(openTenants(store, tenantId('third')))).to.equal('moving');
    expect([await store.heads(), await store.head(acme), await store.find(acme, asked.id)]).to.deep.equal([
      [],
      undefined,
      undefined,
    ]);
    expect(await codeOf(taker().take(acme, shares.slice(0, 1)))).to.equal('overtaken');
    const arrival = await begin();
    expect(arrival).to.include({ resumed: true });
    const { seq } = await taker().position(acme);
    await taker().take(acme, await sharesOf(acme, seq));
    await arrival.end();
    expect(await store.head(acme)).to.deep.equal(await source.store.head(acme));
    expect((await append(store, acme, draft())).kind).to.equal('appended');
  });

  it('into a ledger that has facts, or the half of another one, nothing comes', async () => {
    await begin();
    const elsewhere = { source: 'another test', ledgerId: source.store.ledgerId };
    expect(await codeOf(beginArrival(target.owner, elsewhere))).to.equal('not-empty');
    expect(await codeOf(beginArrival(source.owner, elsewhere))).to.equal('not-empty');
    const other = { source: 'a test', ledgerId: randomUUID() };
    expect(await codeOf(beginArrival(target.owner, other))).to.equal('not-empty');
  });

  it('a changed fact, a missing one, a foreign signature and an unknown key are told apart', async () => {
    const [first, second] = await sharesOf(acme);
    if (!first || !second) throw new Error('there are two shares');
    const trust = trustIn(source.store.ledgerId, source.keys);
    const fact = second.facts[0]?.fact;
    const code = (work: () => void): unknown => {
      try {
        work();
        return 'nothing';
      } catch (error) {
        return (error as CarryError).code;
      }
    };
    expect(fact && code(() => checkLink(fact, CHAIN_START, 'here'))).to.equal('gap');
    const before = first.facts.at(-1)?.fact ?? CHAIN_START;
    expect(fact && code(() => checkLink({ ...fact, actor: 'eve' }, before, 'here'))).to.equal('broken');
    expect(code(() => checkShare({ ...first, share: second.share }, trust, 'here'))).to.equal('unsigned');
    expect(code(() => checkShare({ ...first, facts: [] }, trust, 'here'))).to.equal('unsigned');
    expect(code(() => checkShare(first, { ...trust, ledgerId: randomUUID() }, 'here'))).to.equal(
      'other-ledger',
    );
    expect(code(() => checkShare(first, trustIn(trust.ledgerId, testSigner().keys), 'here'))).to.equal(
      'unknown-key',
    );
    expect(code(() => checkShare(first, trust, 'here'))).to.equal('nothing');
  });
});
