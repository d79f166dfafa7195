import { createHash, randomUUID } from 'node:crypto';
import { expect } from 'chai';
import * as fc from 'fast-check';
import {
  type BatchProof,
  buildBatch,
  type CommitBatch,
  pathFault,
  proofFault,
  type SignedStatement,
  signBatch,
  statementBytes,
  statementOf,
  tenantRoot,
} from '#proofs/checkpoint.ts';
import type { Signer } from '#proofs/keys/signer.ts';
import { SigningFault } from '#proofs/keys/signer.ts';
import { leafHash, merkleRoot } from '#proofs/merkle.ts';
import { proofsOfShare, shareOfBatch } from '#proofs/share.ts';
import type { Instant, Seq, Sha256 } from '#schemas/ids.ts';
import { testSigner } from '#test/support/test-signer.ts';

const LEDGER = '0190a0b0-1111-7222-8333-444455556666';
const SIGNED_AT = 1_767_323_045_000 as Instant;
const of = { ledgerId: LEDGER, signedAt: SIGNED_AT };
const factHash = (name: string): Sha256 => createHash('sha256').update(name).digest('hex') as Sha256;
const factsOf = (tenant: number, count: number): Sha256[] =>
  Array.from({ length: count }, (_, index) => factHash(`${tenant}/${index}`));
const batchOf = (counts: readonly number[]): { batch: CommitBatch; tenants: Sha256[][] } => {
  const tenants = counts.map((count, tenant) => factsOf(tenant, count));
  return { batch: buildBatch({ ...of, tenants }), tenants };
};
const thrown = async (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );

describe('proofs/checkpoint', () => {
  const { signer, keys } = testSigner();
  const [key] = keys as [(typeof keys)[number]];
  let signed: SignedStatement;
  let proof: BatchProof;
  const { batch, tenants } = batchOf([3, 1, 5]);
  const fact = tenants[2]?.[4] as Sha256;

  before(async () => {
    signed = await signBatch(batch.statement, signer);
    proof = batch.proof({ tenantIndex: 2, factIndex: 4 }, signed);
  });

  it('signs exactly these bytes: the form is frozen', () => {
    const root = 'ab'.repeat(32) as Sha256;
    const bytes = statementBytes({ ...of, tenantCount: 2, batchFactCount: 258, root });
    expect(bytes.toString('hex')).to.equal(
      [
        Buffer.from('prov-ledger/commit-batch/v1\n').toString('hex'),
        '0190a0b0111172228333444455556666',
        '0000019b7ca98c88',
        '00000002',
        '00000102',
        root,
      ].join(''),
    );
    expect(bytes).to.have.length(92);
  });

  it('has an upper leaf of count and root for each tenant', () => {
    const roots = tenants.map((hashes) => merkleRoot(hashes.map((hash) => leafHash(hash))));
    expect(batch.shares).to.deep.equal(roots.map((root, index) => ({ root, count: tenants[index]?.length })));
    const leaves = roots.map((root, index) => {
      const data = Buffer.alloc(40);
      data.writeBigUInt64BE(BigInt(tenants[index]?.length ?? 0));
      data.write(root, 8, 'hex');
      return leafHash(data);
    });
    expect(batch.statement).to.deep.equal({
      ...of,
      tenantCount: 3,
      batchFactCount: 9,
      root: merkleRoot(leaves),
    });
    expect(tenantRoot(tenants[0] ?? [])).to.equal(roots[0]);
    expect(statementOf(of, batch.shares)).to.deep.equal(batch.statement);
  });

  it('proves every fact of batches of every shape, at once and later from what is stored', async () => {
    const shapes = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 9 });
    await fc.assert(
      fc.asyncProperty(shapes, async (counts) => {
        const made = batchOf(counts);
        const signature = await signBatch(made.batch.statement, signer);
        for (const [tenantIndex, hashes] of made.tenants.entries()) {
          for (const [factIndex, hash] of hashes.entries()) {
            const one = made.batch.proof({ tenantIndex, factIndex }, signature);
            expect(proofFault(hash, JSON.parse(JSON.stringify(one)), key)).to.equal(undefined);
            const shares = made.batch.shares.map((share) => ({ ...share, firstSeq: 1 as Seq }));
            const share = shareOfBatch({ ...of, ...signature, shares }, tenantIndex);
            expect(proofsOfShare(share, hashes)(factIndex)).to.deep.equal(one);
          }
        }
      }),
      { numRuns: 20 },
    );
  });

  it('serves the quiet ledger and the busy one', async () => {
    for (const counts of [[1], Array.from({ length: 1000 }, () => 1), [20_000]]) {
      const made = batchOf(counts);
      const signature = await signBatch(made.batch.statement, signer);
      const tenantIndex = counts.length - 1;
      const factIndex = (counts[tenantIndex] ?? 0) - 1;
      const one = made.batch.proof({ tenantIndex, factIndex }, signature);
      expect(proofFault(made.tenants[tenantIndex]?.[factIndex] as Sha256, one, key)).to.equal(undefined);
    }
    expect(batchOf([1]).batch.proof({ tenantIndex: 0, factIndex: 0 }, signed).path).to.deep.equal({
      factIndex: 0,
      factCount: 1,
      factPath: [],
      tenantIndex: 0,
      tenantPath: [],
    });
  });

  it('shows nothing of other tenants but hashes over their roots', () => {
    const text = JSON.stringify(proof);
    for (const hash of [...(tenants[0] ?? []), ...(tenants[1] ?? [])]) expect(text).not.to.include(hash);
    for (const share of batch.shares) expect(text).not.to.include(share.root);
  });

  it('fails by name for every part that was changed', () => {
    const { path } = proof;
    const other = factHash('other');
    const changes: [string, Partial<Record<keyof BatchProof, unknown>>][] = [
      ['bad-signature', { ledgerId: randomUUID() }],
      ['bad-signature', { signedAt: SIGNED_AT + 1 }],
      ['bad-signature', { batchFactCount: 10 }],
      ['counts', { tenantCount: 9 }],
      ['not-included', { tenantCount: 4 }],
      ['not-included', { root: other }],
      ['other-key', { kid: 'x'.repeat(43) }],
      ['bad-signature', { signature: Buffer.alloc(64).toString('base64url') }],
      ['bad-signature', { signature: '' }],
      ['malformed', { signature: `${proof.signature}=` }],
      ['malformed', { signature: 7 }],
      ['malformed', { ledgerId: LEDGER.toUpperCase() }],
      ['malformed', { ledgerId: `{${LEDGER.slice(1, -1)}}` }],
      ['malformed', { signedAt: -1 }],
      ['malformed', { signedAt: 1.5 }],
      ['malformed', { tenantCount: 0 }],
      ['malformed', { batchFactCount: 2 ** 32 }],
      ['malformed', { root: proof.root.toUpperCase() }],
      ['malformed', { path: null }],
      ['malformed', { path: { ...path, factCount: '5' } }],
      ['counts', { batchFactCount: 6 }],
      ['counts', { path: { ...path, factCount: 8 } }],
      ['not-included', { path: { ...path, factIndex: 3 } }],
      ['not-included', { path: { ...path, factCount: 4 } }],
      ['not-included', { path: { ...path, tenantIndex: 1 } }],
      ['not-included', { path: { ...path, factPath: [...path.factPath, other] } }],
      ['not-included', { path: { ...path, tenantPath: path.tenantPath.slice(1) } }],
      ['not-included', { path: { ...path, factPath: undefined } }],
      ['not-included', { path: { ...path, tenantPath: 'x' } }],
    ];
    expect(proofFault(fact, proof, key)).to.equal(undefined);
    for (const [fault, change] of changes) {
      expect(proofFault(fact, { ...proof, ...change } as BatchProof, key), JSON.stringify(change)).to.equal(
        fault,
      );
    }
    expect(proofFault(other, proof, key)).to.equal('not-included');
    expect(proofFault(tenants[2]?.[3] as Sha256, proof, key)).to.equal('not-included');
    expect(proofFault(fact.toUpperCase() as Sha256, proof, key)).to.equal('malformed');
    for (const junk of [undefined, null, 1, 'x', {}, []]) {
      expect(proofFault(fact, junk as never, key)).to.equal('malformed');
      expect(proofFault(junk as never, proof, key)).to.equal('malformed');
      expect(pathFault(fact, junk as never)).to.equal('malformed');
    }
  });

  it('does not take a key that came with the proof for the trusted one', async () => {
    const stranger = testSigner();
    const forged = batch.proof(
      { tenantIndex: 2, factIndex: 4 },
      await signBatch(batch.statement, stranger.signer),
    );
    expect(proofFault(fact, forged, key)).to.equal('other-key');
    expect(proofFault(fact, { ...forged, kid: key.kid }, key)).to.equal('bad-signature');
  });

  it('does not take an inner node or a tenant for a fact (pitfall 15)', () => {
    const [a, b] = (tenants[0] ?? []) as [Sha256, Sha256];
    const inner = merkleRoot([leafHash(a), leafHash(b)]) as Sha256;
    const real = batch.proof({ tenantIndex: 0, factIndex: 0 }, signed);
    const path = { ...real.path, factPath: real.path.factPath.slice(1), factCount: 2 };
    expect(proofFault(inner, { ...real, path }, key)).to.equal('not-included');
    const share = batch.shares[1]?.root as Sha256;
    expect(proofFault(share, batch.proof({ tenantIndex: 1, factIndex: 0 }, signed), key)).to.equal(
      'not-included',
    );
  });

  it('refuses to build an empty share, an empty batch, a ledger without a UUID', () => {
    const sealing =
      (counts: number[], ledgerId = LEDGER) =>
      () =>
        statementBytes(
          buildBatch({ ...of, ledgerId, tenants: counts.map((count, t) => factsOf(t, count)) }).statement,
        );
    expect(sealing([])).to.throw(TypeError);
    expect(sealing([0])).to.throw(TypeError);
    expect(sealing([1, 0, 1])).to.throw(TypeError);
    expect(sealing([1], 'ledger-1')).to.throw('ledger UUID');
  });

  describe('a faulty signer lets no bad receipt out (pitfall 25)', () => {
    it('that corrupts one signature in three', async () => {
      let count = 0;
      const corrupting: Signer = {
        ...signer,
        sign: async (bytes) => {
          const signature = Buffer.from(await signer.sign(bytes));
          count += 1;
          if (count % 3 === 0) signature[count % 64] = (signature[count % 64] as number) ^ 0x10;
          return signature;
        },
      };
      let refused = 0;
      for (let round = 0; round < 30; round += 1) {
        const made = batchOf([round + 1]);
        try {
          const out = await signBatch(made.batch.statement, corrupting);
          const one = made.batch.proof({ tenantIndex: 0, factIndex: round }, out);
          expect(proofFault(made.tenants[0]?.[round] as Sha256, one, key)).to.equal(undefined);
        } catch (error) {
          expect(error).to.be.instanceOf(SigningFault).and.have.property('code', 'bad-signature');
          refused += 1;
        }
      }
      expect(refused).to.equal(10);
    });

    it('that fails, or names another key than it shows', async () => {
      const cause = new Error('token removed');
      const failing: Signer = { ...signer, sign: async () => Promise.reject(cause) };
      const failure = await thrown(signBatch(batch.statement, failing));
      expect(failure).to.include({ code: 'signer-failed', cause });
      const renamed: Signer = { ...signer, kid: testSigner().signer.kid };
      expect(await thrown(signBatch(batch.statement, renamed))).to.have.property('code', 'wrong-key');
      const swapped: Signer = { ...signer, sign: testSigner().signer.sign };
      expect(await thrown(signBatch(batch.statement, swapped))).to.have.property('code', 'bad-signature');
    });
  });
});
