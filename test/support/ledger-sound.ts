// The one oracle: whatever was done to a ledger, afterwards every invariant of it holds.
import { expect } from 'chai';
import { CHAIN_START, type ChainPosition, linkFault } from '#proofs/chain.ts';
import { type BatchProof, proofFault as batchFault } from '#proofs/checkpoint.ts';
import type { VerificationKey } from '#proofs/keys/public-key.ts';
import type { Recorded } from '#schemas/event.ts';
import type { FactId, Seq, StreamName, TenantId } from '#schemas/ids.ts';
import type { Head, StreamStore } from '#streams/stream.ts';

export interface Ledger {
  readonly store: StreamStore;
  readonly keys: readonly VerificationKey[];
}

export interface Acknowledged {
  readonly tenant: TenantId;
  readonly id: FactId;
}

export interface SoundOptions {
  /** Facts whose storing was acknowledged to somebody. */
  readonly acknowledged?: Iterable<Acknowledged>;
  /** Signatures verified per tenant at most, spread over its chain; 200 unless told. */
  readonly proofsPerTenant?: number;
}

/** What was looked at: a check that looked at nothing shows. */
export interface Soundness {
  readonly tenants: number;
  readonly facts: number;
  readonly proofs: number;
  readonly acknowledged: number;
}

/** What is wrong with the signature over a fact; `undefined` when it is sound. */
export const proofFault = (ledger: Ledger, fact: Recorded, proof: BatchProof): string | undefined => {
  const key = ledger.keys.find(({ kid }) => kid === proof.kid);
  if (!key) return `no trusted key is named ${proof.kid}`;
  if (proof.ledgerId !== ledger.store.ledgerId) return `signed for ledger ${proof.ledgerId}`;
  return batchFault(fact.hash, proof, key);
};

/** Order, gaps, hashes, heads, streams, signatures, acknowledged facts: throws on the first that does not hold. */
export const expectLedgerSound = async (ledger: Ledger, options: SoundOptions = {}): Promise<Soundness> => {
  const { proofsPerTenant = 200 } = options;
  const heads = await ledger.store.heads();
  expect(new Set(heads.map(({ tenant }) => tenant)), 'each tenant has one head').to.have.property(
    'size',
    heads.length,
  );
  const acknowledged = [...(options.acknowledged ?? [])];
  const seen = new Set<string>();
  let [facts, proofs] = [0, 0];
  for (const head of heads) {
    const chain = await expectChainSound(ledger.store, head);
    for (const id of chain.ids) seen.add(`${head.tenant} ${id}`);
    facts += chain.ids.size;
    proofs += await expectSigned(ledger, head, proofsPerTenant);
  }
  const lost = acknowledged.filter(({ tenant, id }) => !seen.has(`${tenant} ${id}`));
  expect(lost.slice(0, 3), `${lost.length} acknowledged facts that are not stored`).to.deep.equal([]);
  return { tenants: heads.length, facts, proofs, acknowledged: acknowledged.length };
};

// Each id once, each seq once, and what `find` and `readStream` say is what the chain says. Memory is bounded by ids.
const expectChainSound = async (
  store: StreamStore,
  head: Head,
): Promise<{ readonly ids: ReadonlySet<FactId> }> => {
  const { tenant } = head;
  const ids = new Set<FactId>();
  const streams = new Map<StreamName, Seq[]>();
  let before: ChainPosition = CHAIN_START;
  for await (const page of store.read(tenant, { to: head.seq })) {
    expect(page, 'no page is empty').to.not.have.length(0);
    for (const fact of page) {
      const fault = linkFault(fact, tenant, before);
      if (fault) throw new Error(`${tenant}/${before.seq + 1} (read as seq ${fact.seq}): ${fault}`);
      if (ids.has(fact.id)) throw new Error(`${tenant}/${fact.seq}: ${fact.id} is stored twice`);
      ids.add(fact.id);
      if (fact.stream !== undefined)
        streams.set(fact.stream, [...(streams.get(fact.stream) ?? []), fact.seq]);
      before = fact;
    }
  }
  expect(
    { seq: before.seq, hash: before.hash, recordedAt: before.recordedAt },
    `the head of ${tenant} is its last fact`,
  ).to.deep.equal({ seq: head.seq, hash: head.hash, recordedAt: head.recordedAt });
  for (const [stream, seqs] of [...streams].slice(0, 20)) {
    const read = (await store.readStream(tenant, stream))
      .map(({ seq }) => seq)
      .filter((seq) => seq <= head.seq);
    expect(read, `${tenant} ${stream}`).to.deep.equal(seqs);
  }
  return { ids };
};

const expectSigned = async (ledger: Ledger, head: Head, most: number): Promise<number> => {
  const step = Math.max(1, Math.ceil(head.seq / most));
  let count = 0;
  for (let seq = head.seq; seq >= 1; seq = (seq - step) as Seq) {
    const place = `${head.tenant}/${seq}`;
    const [[fact]] = (await Array.fromAsync(ledger.store.read(head.tenant, { from: seq, to: seq }))) as [
      [Recorded],
    ];
    const proof = await ledger.store.proof(head.tenant, seq);
    if (!proof) throw new Error(`${place} has no signature`);
    const fault = proofFault(ledger, fact, proof);
    if (fault) throw new Error(`${place}: ${fault}`);
    expect((await ledger.store.find(head.tenant, fact.id))?.hash, `${place} by its id`).to.equal(fact.hash);
    count += 1;
  }
  return count;
};
