import { expect } from 'chai';
import { sealEnvelope } from '#proofs/dsse.ts';
import { HEADS_TYPE, readHeads, signHeads } from '#proofs/heads.ts';
import { type Instant, type Seq, sha256, tenantId } from '#schemas/ids.ts';
import { testSigner } from '#test/support/test-signer.ts';

const LEDGER = '0b9ad1a8-6f44-4f6e-9a5e-0d7a1f3c2b1d';
const head = (tenant: string, seq: number) => ({
  tenant: tenantId(tenant),
  seq: seq as Seq,
  hash: sha256('ab'.repeat(32)),
});
const statement = {
  ledgerId: LEDGER,
  madeAt: Date.UTC(2026, 10, 21, 9) as Instant,
  heads: [head('globex', 7), head('acme', 12), head('empty', 0)],
};

describe('proofs/heads', () => {
  it('reads back what it signed: tenants in order, and none that has no facts', async () => {
    const { signer, keys } = testSigner();
    const text = JSON.stringify(await signHeads(signer, statement));
    expect(readHeads(text, keys)).to.deep.equal({
      ok: true,
      kid: signer.kid,
      statement: { ...statement, heads: [head('acme', 12), head('globex', 7)] },
    });
  });

  it('refuses one that was changed, or that another key signed', async () => {
    const { signer, keys } = testSigner();
    const envelope = await signHeads(signer, statement);
    const changed = Buffer.from(envelope.payload, 'base64').toString().replace('"seq":12', '"seq":11');
    const forged = JSON.stringify({ ...envelope, payload: Buffer.from(changed).toString('base64') });
    expect(readHeads(forged, keys)).to.deep.equal({ ok: false, fault: 'bad-signature' });
    const text = JSON.stringify(envelope);
    expect(readHeads(text, testSigner().keys)).to.deep.equal({ ok: false, fault: 'unknown-key' });
    expect(readHeads('{', keys)).to.deep.equal({ ok: false, fault: 'malformed' });
  });

  it('refuses a signed body that is no statement of heads', async () => {
    const { signer, keys } = testSigner();
    const good = { heads: [], ledger_id: LEDGER, made_at: '2026-11-21T09:00:00.000Z', version: 1 };
    const kept = { hash: 'ab'.repeat(32), seq: 1, tenant: 'acme' };
    const bodies: readonly (readonly [object | null, boolean])[] = [
      [good, true],
      [{ ...good, heads: [kept] }, true],
      [{ ...good, version: 2 }, false],
      [{ ...good, ledger_id: 'x' }, false],
      [{ ...good, made_at: 'now' }, false],
      [{ ...good, heads: {} }, false],
      [{ ...good, heads: [{ ...kept, seq: 0 }] }, false],
      [{ ...good, heads: [{ ...kept, tenant: 'A' }] }, false],
      [{ ...good, heads: [{ ...kept, hash: 'ab' }] }, false],
      [null, false],
    ];
    for (const [body, ok] of bodies) {
      const envelope = await sealEnvelope(signer, {
        payloadType: HEADS_TYPE,
        body: Buffer.from(JSON.stringify(body)),
      });
      expect(readHeads(JSON.stringify(envelope), keys).ok, JSON.stringify(body)).to.equal(ok);
    }
  });
});
