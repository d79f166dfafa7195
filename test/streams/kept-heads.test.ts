import { expect } from 'chai';
import type { HeadsStatement } from '#proofs/heads.ts';
import { type Seq, sha256, tenantId } from '#schemas/ids.ts';
import { headsHeld } from '#streams/kept-heads.ts';
import { memoryLedger } from '#streams/memory/ledger.ts';
import type { StreamStore } from '#streams/stream.ts';
import { acme, append, drafts, openTenants, other } from '#test/contracts/ledger-adapter.ts';
import { testSigner } from '#test/support/test-signer.ts';

const statementOf = async (store: StreamStore): Promise<HeadsStatement> => {
  const heads = await store.heads();
  return { ledgerId: store.ledgerId, madeAt: heads[0]?.recordedAt as never, heads };
};

describe('streams/kept-heads', () => {
  let store: StreamStore;
  beforeEach(async () => {
    ({ store } = memoryLedger({ signer: testSigner().signer }));
    await openTenants(store, acme, other);
    await append(store, acme, ...drafts(3));
  });

  it('finds every kept head, also when the chains have gone on', async () => {
    const kept = await statementOf(store);
    expect(await headsHeld(store, kept)).to.deep.equal({ sameLedger: true, lost: [] });
    await append(store, acme, ...drafts(2));
    expect(await headsHeld(store, kept)).to.deep.equal({ sameLedger: true, lost: [] });
  });

  it('names the tenant and the place that was lost, and how', async () => {
    const { heads, ...rest } = await statementOf(store);
    const of = (tenant: string) => heads.find((head) => head.tenant === tenant) as (typeof heads)[number];
    const changed = [
      { ...of(acme), seq: (of(acme).seq + 5) as Seq },
      { ...of(other), hash: sha256('00'.repeat(32)) },
      { ...of(acme), tenant: tenantId('vanished') },
      { ...of(acme), seq: 2 as Seq },
    ];
    const held = await headsHeld(store, { ...rest, heads: changed });
    const lost = held.sameLedger ? held.lost : [];
    expect(lost.map(({ tenant, seq, loss, headSeq }) => [tenant, seq, loss, headSeq])).to.deep.equal([
      [acme, of(acme).seq + 5, 'rolled-back', of(acme).seq],
      [other, of(other).seq, 'other-history', of(other).seq],
      ['vanished', of(acme).seq, 'no-such-tenant', 0],
      [acme, 2, 'other-history', of(acme).seq],
    ]);
  });

  it('does not compare with the heads of another ledger', async () => {
    const kept = await statementOf(store);
    const other = { ...kept, ledgerId: '0b9ad1a8-6f44-4f6e-9a5e-0d7a1f3c2b1d' };
    expect(await headsHeld(store, other)).to.deep.equal({ sameLedger: false, ledgerId: store.ledgerId });
  });
});
