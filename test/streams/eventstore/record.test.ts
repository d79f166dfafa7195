import { binaryEvent, type RecordedEvent } from '@eventstore/db-client';
import { expect } from 'chai';
import { CHAIN_START, linkFault, seal } from '#proofs/chain.ts';
import { buildBatch, proofFault, signBatch } from '#proofs/checkpoint.ts';
import { proofsOfShare } from '#proofs/share.ts';
import type { Instant, Seq } from '#schemas/ids.ts';
import { decodeFact, encodeFact, eventId, type StoredFact } from '#streams/eventstore/record.ts';
import { acme, draft, other } from '#test/contracts/ledger-adapter.ts';
import { testSigner } from '#test/support/test-signer.ts';

const { signer, keys } = testSigner();
const LEDGER = '0190b6a0-0000-7000-8000-000000000001';
const NOW = 1_763_715_600_000 as Instant;

/** One fact of a tenant's own batch, or of a batch that it shares with another tenant. */
const stored = async (shared: boolean): Promise<StoredFact> => {
  const place = { tenant: acme, seq: 1 as Seq, prevHash: CHAIN_START.hash, recordedAt: NOW };
  const fact = seal(draft({ payload: '{"a":"ü \\u0000","n":1e21}', opId: 'op' }), place);
  const theirs = seal(draft(), { ...place, tenant: other });
  const tenants = shared ? [[theirs.hash], [fact.hash]] : [[fact.hash]];
  const batch = buildBatch({ ledgerId: LEDGER, signedAt: NOW, tenants });
  const signed = await signBatch(batch.statement, signer);
  const { path, ...proof } = batch.proof({ tenantIndex: shared ? 1 : 0, factIndex: 0 }, signed);
  const { tenantIndex, tenantPath } = path;
  const share = { first: 1 as Seq, count: 1, proof: { ...proof, tenantIndex, tenantPath } };
  return { fact, requestHash: undefined, share };
};

/** As the client hands it out. */
const asRead = (event: ReturnType<typeof encodeFact>, revision: bigint): RecordedEvent =>
  ({
    ...event,
    revision,
    streamId: 'prov_ledger_facts-acme',
    isJson: false,
    created: new Date(0),
    metadata: JSON.parse(Buffer.from(event.metadata as Uint8Array).toString()),
  }) as RecordedEvent;

describe('streams/eventstore: a fact as an event', () => {
  for (const shared of [false, true])
    it(`keeps payload, hash and signature exactly, of a batch ${shared ? 'of two tenants' : 'of its own'}`, async () => {
      const given = await stored(shared);
      const event = encodeFact(given);
      expect(Buffer.from(event.data as Uint8Array).toString()).to.equal(given.fact.payload);
      const { fact, share } = decodeFact(asRead(event, 0n), acme);
      expect(linkFault(fact, acme, CHAIN_START)).to.equal(undefined);
      const proof = proofsOfShare(share, [fact.hash])(0);
      expect(proofFault(fact.hash, proof, keys[0] as never)).to.equal(undefined);
      expect(proof.path.tenantIndex).to.equal(shared ? 1 : 0);
    });

  it('has an id that any other byte would change, so that the server takes no other append for its repetition', async () => {
    const given = await stored(false);
    const { id } = encodeFact(given);
    expect(id).to.match(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(encodeFact(given).id).to.equal(id);
    const { fact, share } = given;
    const others: StoredFact[] = [
      { ...given, fact: { ...fact, payload: `${fact.payload} ` } },
      { ...given, fact: { ...fact, type: 'tests.Other' } },
      { ...given, fact: { ...fact, recordedAt: (fact.recordedAt + 1) as Instant } },
      { ...given, share: { ...share, proof: { ...share.proof, signature: 'AA' } } },
    ];
    for (const one of others) expect(encodeFact(one).id).to.not.equal(id);
    expect(eventId('a', 'bc')).to.not.equal(eventId('ab', 'c'));
  });

  it('is corrupt at another revision than its seq less one, in the stream of another tenant, or when it is none of ours', async () => {
    const event = encodeFact(await stored(false));
    const codeAt = (read: RecordedEvent, tenant = acme): unknown => {
      try {
        return decodeFact(read, tenant);
      } catch (error) {
        return (error as { code: string }).code;
      }
    };
    expect(codeAt(asRead(event, 1n))).to.equal('corrupt');
    expect(codeAt(asRead(event, 0n), other)).to.equal('corrupt');
    const foreign = binaryEvent({ type: 'x', data: Buffer.from('{}'), metadata: Buffer.from('{}') });
    expect(codeAt(asRead(foreign as never, 0n))).to.equal('corrupt');
  });
});
