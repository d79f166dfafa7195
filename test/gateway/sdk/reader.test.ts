import { expect } from 'chai';
import { type LedgerMessage, ledgerReader } from '#gateway/sdk/reader.ts';
import { proofDocument } from '#proofs/bundle.ts';
import type { Recorded } from '#schemas/event.ts';
import { factMessage } from '#streams/kafka/fact-message.ts';
import { append, drafts, readAll } from '#test/contracts/ledger-adapter.ts';
import { ACME, memoryLedger, type OpenMemoryLedger } from '#test/support/memory-ledger.ts';
import { testSigner } from '#test/support/test-signer.ts';

const jwksOf = ({ keys }: Pick<OpenMemoryLedger, 'keys'>) => ({
  keys: keys.map(({ publicJwk }) => publicJwk),
});

describe('gateway/sdk/reader', () => {
  let ledger: OpenMemoryLedger;
  let facts: readonly Recorded[];
  let messages: readonly LedgerMessage[];
  beforeEach(async () => {
    ledger = await memoryLedger();
    await append(ledger.store, ACME, ...drafts(5));
    facts = await readAll(ledger.store, ACME);
    const { ledgerId } = ledger.store;
    messages = facts.map((fact) => factMessage(fact, { ledgerId, schemaIdOf: () => 1 }));
  });

  const headAt = async (index: number): Promise<string> => {
    const { tenant, seq, hash } = facts[index] as Recorded;
    const proof = await ledger.store.proof(tenant, seq);
    return JSON.stringify({ version: 1, tenant, seq, hash, proof: proof && proofDocument(proof) });
  };
  const reader = () => ledgerReader({ jwks: jwksOf(ledger) });

  it('takes a chain as it comes, as bytes or texts, drops repetitions, and proves it by the signed head', async () => {
    const one = reader();
    expect(await one.covered(await headAt(5))).to.deep.equal({ kind: 'behind', tenant: ACME, missing: 6 });
    for (const [index, message] of messages.entries()) {
      const bytes = Object.entries(message.headers ?? {}).map(([name, text]) => [
        name,
        Buffer.from(String(text)),
      ]);
      const sent = index % 2 === 0 ? message : { key: Buffer.from(ACME), headers: Object.fromEntries(bytes) };
      const { seq, hash, id, type } = facts[index] as Recorded;
      expect(one.take(sent)).to.deep.equal({ kind: 'next', tenant: ACME, seq, hash, id, type });
      expect(one.take(sent)).to.include({ kind: 'repeated', seq });
    }
    const { seq, hash } = facts[5] as Recorded;
    expect(await one.covered(Buffer.from(await headAt(5)))).to.deep.equal({
      kind: 'complete',
      tenant: ACME,
      seq,
      hash,
    });
    expect(await one.covered(await headAt(3))).to.deep.equal({ kind: 'beyond', tenant: ACME });
  });

  it('names a gap, stays where it is, and goes on once it is filled', () => {
    const one = reader();
    one.take(messages[0] as LedgerMessage);
    expect(one.take(messages[3] as LedgerMessage)).to.deep.equal({
      kind: 'gap',
      tenant: ACME,
      from: 2,
      to: 3,
    });
    expect(one.position(ACME)).to.include({ seq: 1 });
    one.moveTo(facts[2] as Recorded);
    expect(one.take(messages[3] as LedgerMessage)).to.include({ kind: 'next', seq: 4 });
    const again = ledgerReader({
      jwks: jwksOf(ledger),
      positions: [one.position(ACME)].filter((at) => at !== undefined),
    });
    expect(again.take(messages[4] as LedgerMessage)).to.include({ kind: 'next', seq: 5 });
  });

  it('refuses what does not follow, and what is no message of a fact', () => {
    const one = reader();
    one.take(messages[0] as LedgerMessage);
    const spoilt = (index: number, headers: object) => ({
      ...(messages[index] as LedgerMessage),
      headers: { ...messages[index]?.headers, ...headers },
    });
    expect(one.take(spoilt(1, { prev_hash: 'f'.repeat(64) })).kind).to.equal('broken');
    expect(one.take(spoilt(0, { hash: 'f'.repeat(64) })).kind).to.equal('broken');
    expect(one.take(spoilt(1, { seq: '02' })).kind).to.equal('broken');
    expect(one.take({ key: null }).kind).to.equal('broken');
    expect(one.take(messages[1] as LedgerMessage).kind).to.equal('next');
  });

  it('refuses heads that no trusted key signed, and another history than was signed', async () => {
    const one = reader();
    for (const message of messages) one.take(message);
    const head = await headAt(5);
    const stranger = ledgerReader({ jwks: jwksOf(testSigner()) });
    expect(await stranger.covered(head))
      .to.have.property('message')
      .that.contains('none of those given');
    const { hash } = facts[4] as Recorded;
    const other = JSON.stringify({ ...(JSON.parse(head) as object), hash });
    expect(await one.covered(other))
      .to.have.property('message')
      .that.contains('do not lead');
    one.moveTo({ tenant: ACME, seq: 6, hash });
    expect(await one.covered(head))
      .to.have.property('message')
      .that.contains('another fact is signed');
    for (const nonsense of ['', '{}', 'null', undefined])
      expect((await one.covered(nonsense)).kind, String(nonsense)).to.equal('refused');
  });
});
