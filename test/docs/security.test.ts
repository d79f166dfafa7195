// What SECURITY.md says the proofs do not prove, shown, together with what does find it out.
import { expect } from 'chai';
import { exportLines } from '#gateway/export/chain-text.ts';
import { type ExportFault, type ExportReport, exportVerifier } from '#proofs/export.ts';
import { jwks } from '#proofs/keys/public-key.ts';
import { factId, instant, type Seq, tenantId } from '#schemas/ids.ts';
import { memoryLedger } from '#streams/memory/ledger.ts';
import { type TestSigner, testSigner } from '#test/support/test-signer.ts';
import { page, rowsUnder } from './pages.ts';

const ACME = tenantId('acme');
const LEDGER = '0190a000-0000-4000-8000-0000000000aa';

/** A whole ledger with one chain of these payloads, exported. */
const exportOf = async (
  { signer, keys }: TestSigner,
  payloads: readonly string[],
  traceparent?: string,
): Promise<string> => {
  await using ledger = memoryLedger({ signer, ledgerId: LEDGER, clock: () => Date.UTC(2026, 10, 21, 9) });
  for (const [index, payload] of payloads.entries()) {
    const id = factId(`0190a000-0000-7000-8000-${String(index).padStart(12, '0')}`);
    const draft = {
      id,
      type: 'receipts.ReceiptRecorded',
      schemaVersion: 3,
      payload,
      actor: 'bob',
      occurredAt: instant('2026-11-21T09:00:00Z'),
      traceparent,
    };
    await ledger.store.append({
      tenant: ACME,
      drafts: [draft],
      expect: { kind: index === 0 ? 'new-tenant' : 'any' },
    });
  }
  const request = {
    tenant: ACME,
    from: 1 as Seq,
    to: payloads.length as Seq,
    jwks: jwks(keys),
    totals: { facts: 0 },
  };
  return (await Array.fromAsync(exportLines(ledger.store, request))).join('');
};

const verified = ({ keys }: TestSigner, text: string): ExportFault | ExportReport => {
  const verifier = exportVerifier(keys);
  for (const line of text.trimEnd().split('\n')) {
    const fault = verifier.line(line);
    if (fault) return fault;
  }
  return verifier.end();
};

const headOf = (result: ExportFault | ExportReport) => {
  if ('code' in result) throw new Error(`does not verify: ${result.message}`);
  return result.head;
};

describe('SECURITY.md', () => {
  const payloads = ['{"n":1}', '{"n":2}', '{"n":3}'];

  it('a chain whose tail was cut off verifies; a head that was kept shows it', async () => {
    const signer = testSigner();
    const kept = headOf(verified(signer, await exportOf(signer, payloads)));
    const cut = await exportOf(signer, payloads.slice(0, 2));
    expect(headOf(verified(signer, cut)).seq).to.equal(2);
    expect(cut).to.not.include(kept.hash);
  });

  it('a chain written anew with the signing key verifies; a head that was kept shows it', async () => {
    const signer = testSigner();
    const kept = headOf(verified(signer, await exportOf(signer, payloads)));
    const anew = await exportOf(signer, ['{"n":1}', '{"n":9}', '{"n":3}']);
    const head = headOf(verified(signer, anew));
    expect(head.seq).to.equal(kept.seq);
    expect(head.hash).to.not.equal(kept.hash);
    expect(anew).to.not.include(kept.hash);
  });

  it('a chain written anew without the key does not verify', async () => {
    const [signer, thief] = [testSigner(), testSigner()];
    expect(verified(signer, await exportOf(thief, payloads))).to.have.property('code', 'unknown-key');
  });

  it('traceparent can be changed unseen', async () => {
    const signer = testSigner();
    const trace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const whole = await exportOf(signer, payloads, trace);
    const changed = whole.replaceAll(trace, trace.replace('0af7', 'ffff'));
    expect(changed).to.not.equal(whole);
    expect(headOf(verified(signer, changed))).to.deep.equal(headOf(verified(signer, whole)));
  });

  it('names a test for every threat', () => {
    const tests = rowsUnder(page('SECURITY.md'), 'Threats').map(([, , test = '']) =>
      test.replaceAll('`', ''),
    );
    expect(tests.length).to.be.greaterThan(15);
    for (const test of tests) expect(page(test), test).to.include('describe(');
  });
});
