// Verifies a tenant's chain as it is stored: every fact against the one before it, and every fact under the signature
// of its commit batch. Each batch's signature is checked once, with its path worked out from all its facts.
import { type ChainFault, type ChainPosition, linkFault } from '#proofs/chain.ts';
import { type BatchFault, type BatchProof, proofFault } from '#proofs/checkpoint.ts';
import { digestsOf, treeOfDigests } from '#proofs/digest-tree.ts';
import type { VerificationKey } from '#proofs/keys/public-key.ts';
import type { Recorded } from '#schemas/event.ts';
import type { Seq, TenantId } from '#schemas/ids.ts';
import type { StreamStore } from '#streams/stream.ts';
import { hashesOf, placeBefore } from '../export/places.ts';

export type VerificationFault =
  | ChainFault
  | BatchFault
  | 'unknown-key'
  | 'unsigned'
  | 'no-such-fact'
  | 'other-ledger';

export interface ChainVerification {
  readonly tenant: TenantId;
  readonly facts: number;
  readonly batches: number;
  /** The last sound place. */
  readonly head: ChainPosition;
  readonly fault?: { readonly seq: Seq; readonly code: VerificationFault; readonly message: string };
}

export interface VerifyChainOptions {
  readonly keys: readonly VerificationKey[];
  readonly from?: Seq;
  readonly to?: Seq;
  readonly signal?: AbortSignal;
  readonly onProgress?: (facts: number) => void;
}

type Store = Pick<StreamStore, 'ledgerId' | 'head' | 'read' | 'proof'>;

/** A tenant's part of a batch. */
interface Share {
  readonly firstSeq: number;
  readonly count: number;
}

interface SignedShare extends Share {
  /** Of the first fact of it that was read. */
  readonly proof: BatchProof;
}

export const verifyTenant = async (
  store: Store,
  tenant: TenantId,
  options: VerifyChainOptions,
): Promise<ChainVerification> => {
  const { from = 1 as Seq, to, signal, onProgress } = options;
  const keys = new Map(options.keys.map((key) => [key.kid, key]));
  let position = await placeBefore(store, tenant, from);
  let facts = 0;
  let batches = 0;
  let unsigned: Recorded[] = [];
  let share: SignedShare | undefined;
  const verified = (): ChainVerification => ({ tenant, facts, batches, head: position });
  const failed = (seq: Seq, code: VerificationFault): ChainVerification => ({
    ...verified(),
    fault: { seq, code, message: `${tenant}, fact ${seq}: ${EXPLAINED[code]}` },
  });
  for await (const page of store.read(tenant, { from, ...(to !== undefined && { to }) })) {
    for (const fact of page) {
      if (signal?.aborted) return verified();
      const fault = linkFault(fact, tenant, position);
      if (fault) return failed(fact.seq, fault);
      position = { seq: fact.seq, hash: fact.hash, recordedAt: fact.recordedAt };
      facts += 1;
      unsigned.push(fact);
      share ??= await shareOf(store, fact);
      if (!share) return failed(fact.seq, 'unsigned');
      if (fact.seq < share.firstSeq + share.count - 1) continue;
      const bad = await batchFault(store, { keys, share, facts: unsigned });
      if (bad) return failed(unsigned[0]?.seq ?? fact.seq, bad);
      batches += 1;
      unsigned = [];
      share = undefined;
    }
    onProgress?.(facts);
  }
  const first = unsigned[0];
  if (first && share) {
    const bad = await batchFault(store, { keys, share, facts: unsigned });
    if (bad) return failed(first.seq, bad);
    batches += 1;
  }
  const head = await store.head(tenant);
  const expected = to === undefined ? head?.seq : Math.min(to, head?.seq ?? 0);
  if (expected !== undefined && position.seq < expected)
    return failed((position.seq + 1) as Seq, 'no-such-fact');
  return verified();
};

/** What each fault means, for whoever reads it. */
export const EXPLAINED: { readonly [Fault in VerificationFault]: string } = {
  'wrong-tenant': 'it belongs to another tenant',
  'seq-gap': 'a fact is missing, repeated or out of order',
  'broken-link': 'it names another fact before it',
  'hash-mismatch': 'its content, or a fact before it, is not what was hashed',
  'time-went-back': 'it was recorded before the fact before it',
  'no-such-fact': 'the head says that it exists, but it is not stored',
  'unknown-key': 'its batch is signed with a key that is not in the keys folder',
  'other-ledger': 'its batch was signed for another ledger',
  unsigned: 'no signed batch covers it',
  malformed: 'its batch record is malformed',
  'other-key': 'its batch names another key than the one that signed it',
  counts: 'the counts of its batch cannot all be true',
  'not-included': 'it is not under the root that its batch signed',
  'bad-signature': 'the signature of its batch does not verify',
};

const shareOf = async (store: Store, { tenant, seq }: Recorded): Promise<SignedShare | undefined> => {
  const proof = await store.proof(tenant, seq);
  return proof && { proof, firstSeq: seq - proof.path.factIndex, count: proof.path.factCount };
};

interface Signed {
  readonly keys: ReadonlyMap<string, VerificationKey>;
  readonly share: SignedShare;
  /** Those facts of the share that were read. */
  readonly facts: readonly Recorded[];
}

const batchFault = async (
  store: Store,
  { keys, share, facts }: Signed,
): Promise<VerificationFault | undefined> => {
  const { proof } = share;
  const [first] = facts;
  if (!first) return 'unsigned';
  if (proof.ledgerId !== store.ledgerId) return 'other-ledger';
  const key = keys.get(proof.kid);
  if (!key) return 'unknown-key';
  const outside = first.seq !== share.firstSeq || facts.length !== share.count;
  const hashes = outside ? await hashesOf(store, first.tenant, share) : facts.map((fact) => fact.hash);
  const index = first.seq - share.firstSeq;
  if (hashes.length !== share.count || facts.some((fact, offset) => hashes[index + offset] !== fact.hash))
    return 'not-included';
  const path = { ...proof.path, factIndex: index, factPath: treeOfDigests(digestsOf(hashes)).proof(index) };
  return proofFault(first.hash, { ...proof, path }, key);
};
