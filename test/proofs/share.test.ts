import { createHash } from 'node:crypto';
import { expect } from 'chai';
import { type BatchOf, buildBatch, signBatch } from '#proofs/checkpoint.ts';
import {
  parseShare,
  proofsOfShare,
  type SignedShare,
  shareFault,
  shareOfBatch,
  shareText,
  statementOver,
} from '#proofs/share.ts';
import type { Instant, Seq, Sha256 } from '#schemas/ids.ts';
import { testSigner } from '#test/support/test-signer.ts';

const of: BatchOf = {
  ledgerId: '0190a0b0-1111-7222-8333-444455556666',
  signedAt: 1_767_323_045_000 as Instant,
};
const { signer, keys } = testSigner();
const [key] = keys;
const tenants = [1, 4, 2].map((count, tenant) =>
  Array.from(
    { length: count },
    (_, index) => createHash('sha256').update(`${tenant}/${index}`).digest('hex') as Sha256,
  ),
);

const shareAt = async (tenantIndex: number): Promise<SignedShare> => {
  const batch = buildBatch({ ...of, tenants });
  const signed = await signBatch(batch.statement, signer);
  const shares = batch.shares.map((share) => ({ ...share, firstSeq: 11 as Seq }));
  return shareOfBatch({ ...of, ...signed, shares }, tenantIndex);
};

describe('proofs/share', () => {
  it('is whole without the other tenants: verified by its facts, and the same after a message brought it', async () => {
    for (const [tenantIndex, hashes] of tenants.entries()) {
      const share = await shareAt(tenantIndex);
      expect(parseShare(shareText(share))).to.deep.equal(share);
      expect(key && shareFault(share, hashes, key)).to.equal(undefined);
    }
  });

  it('does not hold over other facts, fewer of them, or in another order', async () => {
    const share = await shareAt(1);
    const [, hashes = []] = tenants;
    for (const other of [
      hashes.slice(1),
      hashes.toReversed(),
      [...hashes.slice(0, 3), hashes[0] as Sha256],
      [],
    ])
      expect(key && shareFault(share, other, key)).to.be.oneOf(['counts', 'not-included']);
    const forged = {
      ...share,
      proof: {
        ...share.proof,
        signature: share.proof.signature.replace(/^./, (c) => (c === 'A' ? 'B' : 'A')),
      },
    };
    expect(key && shareFault(forged, hashes, key)).to.equal('bad-signature');
  });

  it('leads from its root to the statement that was signed; a way to nowhere leads to none', async () => {
    const share = await shareAt(2);
    const [batch] = [buildBatch({ ...of, tenants })];
    const own = batch.shares[2];
    expect(own && statementOver(of, own, share.proof)).to.deep.equal(batch.statement);
    expect(own && statementOver(of, own, { ...share.proof, tenantPath: [] })).to.equal(undefined);
    expect(proofsOfShare(share, tenants[2] ?? [])(1).path).to.include({ factIndex: 1, factCount: 2 });
  });

  it('is not read from a text that lacks something or says more', async () => {
    const text = shareText(await shareAt(0));
    const without = (name: string) => JSON.stringify({ ...JSON.parse(text), [name]: undefined });
    for (const name of Object.keys(JSON.parse(text)))
      expect(() => parseShare(without(name)), name).to.throw();
    expect(() => parseShare(JSON.stringify({ ...JSON.parse(text), more: 1 }))).to.throw();
    expect(() => parseShare('{')).to.throw('the batch is no JSON');
    expect(() => parseShare('null')).to.throw();
  });
});
