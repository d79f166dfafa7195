// One tenant's share of a signed commit batch, apart from the rest of it: the signature, and the way from the root over
// the share's facts to the root that was signed. With the hashes of the share's facts it gives every one of their proofs,
// byte for byte as they were handed out, also where the other tenants of the batch are not known: so facts move between
// stores share by share.
import { instantText, type Seq, type Sha256 } from '#schemas/ids.ts';
import { parseProof } from './bundle-reader.ts';
import { parseStrict } from './canonical.ts';
import {
  type BatchFault,
  type BatchOf,
  type BatchProof,
  type BatchStatement,
  overTree,
  proofFault,
  type Share,
  type SignedStatement,
  shareTree,
  tenantLeaf,
} from './checkpoint.ts';
import { digestsOf, treeOfDigests } from './digest-tree.ts';
import type { VerificationKey } from './keys/public-key.ts';
import { rootOfInclusion } from './merkle.ts';

/** The signed statement, and the share's place under its root. */
export interface ShareProof extends BatchStatement {
  readonly kid: string;
  /** base64url. */
  readonly signature: string;
  readonly tenantIndex: number;
  readonly tenantPath: readonly string[];
}

/** The facts of one tenant that one signature covers. */
export interface SignedShare {
  readonly first: Seq;
  readonly count: number;
  readonly proof: ShareProof;
}

export interface StoredBatch extends BatchOf, SignedStatement {
  readonly shares: readonly (Share & { readonly firstSeq: Seq })[];
}

/** The share at an index of a whole batch. */
export const shareOfBatch = (batch: StoredBatch, tenantIndex: number): SignedShare => {
  const { kid, signature, shares } = batch;
  const tree = shareTree(shares);
  const { firstSeq, count } = shares[tenantIndex] as StoredBatch['shares'][number];
  return {
    first: firstSeq,
    count,
    proof: {
      ...overTree(batch, shares, tree),
      kid,
      signature: signature.toString('base64url'),
      tenantIndex,
      tenantPath: tree.proof(tenantIndex),
    },
  };
};

/** What is known of a batch beside one of its shares. */
export interface ShareWay {
  readonly tenantCount: number;
  readonly batchFactCount: number;
  readonly tenantIndex: number;
  readonly tenantPath: readonly string[];
}

/** The statement that was signed, from one of its shares and the way up; `undefined` when the way leads nowhere. */
export const statementOver = (
  { ledgerId, signedAt }: BatchOf,
  { count, root }: Share,
  { tenantCount, batchFactCount, tenantIndex, tenantPath }: ShareWay,
): BatchStatement | undefined => {
  const leaf = tenantLeaf(count, root);
  const above = rootOfInclusion({ index: tenantIndex, size: tenantCount, leaf, proof: tenantPath });
  return above === undefined
    ? undefined
    : { ledgerId, signedAt, tenantCount, batchFactCount, root: above as Sha256 };
};

/** The proofs of a share's facts, from the hashes of all of them, by their index in it. */
export const proofsOfShare = (
  { proof, count }: SignedShare,
  hashes: readonly Sha256[],
): ((factIndex: number) => BatchProof) => {
  const { tenantIndex, tenantPath, ...statement } = proof;
  const tree = treeOfDigests(digestsOf(hashes));
  return (factIndex) => ({
    ...statement,
    path: { factIndex, factCount: count, factPath: tree.proof(factIndex), tenantIndex, tenantPath },
  });
};

/** Checks a share against the hashes of all of its facts; `undefined` when all holds. The key is one the caller trusts. */
export const shareFault = (
  share: SignedShare,
  hashes: readonly Sha256[],
  key: VerificationKey,
): BatchFault | undefined => {
  const [first] = hashes;
  if (first === undefined || hashes.length !== share.count) return 'counts';
  // The path of any one of them is worked out from all: it stands or falls with each.
  return proofFault(first, proofsOfShare(share, hashes)(0), key);
};

/** A share as text for a message's header: the members of an export's batch line, and the ledger. */
export const shareText = ({ first, count, proof }: SignedShare): string =>
  JSON.stringify({
    ledger_id: proof.ledgerId,
    first_seq: first,
    count,
    signed_at: instantText(proof.signedAt),
    tenant_count: proof.tenantCount,
    batch_fact_count: proof.batchFactCount,
    root: proof.root,
    tenant_index: proof.tenantIndex,
    tenant_path: proof.tenantPath,
    kid: proof.kid,
    signature: proof.signature,
  });

/** Reads `shareText`; throws an error that says what is wrong with it. */
export const parseShare = (text: string): SignedShare => {
  const parsed = parseStrict(text);
  if (!parsed.ok) throw new TypeError(`the batch is no JSON: ${parsed.error.message}`);
  const { first_seq, count, tenant_index, tenant_path, ...statement } = (parsed.value ?? {}) as {
    readonly [name: string]: never;
  };
  const first: unknown = first_seq;
  if (!Number.isSafeInteger(first) || (first as number) < 1)
    throw new TypeError('the batch has no first_seq');
  const path = { fact_index: 0, fact_count: count, fact_path: [], tenant_index, tenant_path } as never;
  const { path: way, ...proof } = parseProof({ ...statement, path });
  return {
    first: first as Seq,
    count: way.factCount,
    proof: { ...proof, tenantIndex: way.tenantIndex, tenantPath: way.tenantPath },
  };
};
