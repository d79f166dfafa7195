// The signed commit batch. One group commit holds facts of several tenants: a tree per tenant over its facts' hashes,
// and a tree over the tenants, whose leaves are (number of facts as u64, root of the tenant's tree), so that the
// path of a fact shows other tenants as opaque hashes only. What is signed is one statement of fixed size:
//
//   "prov-ledger/commit-batch/v1\n" (28 bytes) · ledger id 16 bytes · signedAt u64 ms
//   tenant count u32 · fact count u32 · root 32 bytes                                   (all integers big-endian)
//
// A quiet ledger signs each receipt by itself, a busy one a thousand with one signature; a statement fits every KMS.
import { type Instant, isUuid, type Sha256 } from '#schemas/ids.ts';
import { digestsOf, rootOfDigests, treeOfDigests } from './digest-tree.ts';
import { keyFromJwk, type VerificationKey, verifySignature } from './keys/public-key.ts';
import { type Signer, SigningFault } from './keys/signer.ts';
import { leafHash, type MerkleTree, merkleTree, rootOfInclusion, verifyInclusion } from './merkle.ts';

/** From a fact to the batch's root: the audit paths of RFC 9162 section 2.1.3, as hexadecimal hashes. */
export interface BatchPath {
  readonly factIndex: number;
  /** Facts of the fact's tenant in the batch. */
  readonly factCount: number;
  readonly factPath: readonly string[];
  readonly tenantIndex: number;
  readonly tenantPath: readonly string[];
}

/** What is signed, apart from its form. */
export interface BatchStatement {
  readonly ledgerId: string;
  readonly signedAt: Instant;
  readonly tenantCount: number;
  /** Facts in the whole batch. */
  readonly batchFactCount: number;
  readonly root: Sha256;
}

/** The signature over one fact, as every receipt carries it. */
export interface BatchProof extends BatchStatement {
  readonly kid: string;
  /** base64url. */
  readonly signature: string;
  readonly path: BatchPath;
}

const TAG = 'prov-ledger/commit-batch/v1\n';
const TWO_32 = 0x1_0000_0000;

/** The bytes that are signed; throws TypeError on a field out of its range. */
export const statementBytes = (statement: BatchStatement): Buffer => {
  const { ledgerId, signedAt, tenantCount, batchFactCount, root } = statement;
  if (!isStatement(statement)) {
    throw new TypeError(
      'a commit batch has a lower-case ledger UUID, a time, at least one fact a tenant, and a root',
    );
  }
  const bytes = Buffer.alloc(TAG.length + 16 + 8 + 4 + 4 + 32);
  let at = bytes.write(TAG, 'latin1');
  at += bytes.write(ledgerId.replaceAll('-', ''), at, 16, 'hex');
  at = bytes.writeUInt32BE(Math.floor(signedAt / TWO_32), at);
  at = bytes.writeUInt32BE(signedAt >>> 0, at);
  at = bytes.writeUInt32BE(tenantCount, at);
  at = bytes.writeUInt32BE(batchFactCount, at);
  bytes.write(root, at, 32, 'hex');
  return bytes;
};

// Two statements must never share their bytes, so each field has one spelling.
const isStatement = ({ ledgerId, signedAt, tenantCount, batchFactCount, root }: BatchStatement): boolean =>
  typeof ledgerId === 'string' &&
  isUuid(ledgerId) &&
  Number.isSafeInteger(signedAt) &&
  signedAt >= 0 &&
  isCount(tenantCount) &&
  isCount(batchFactCount) &&
  tenantCount <= batchFactCount &&
  isHash(root);

const isCount = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) >= 1 && (value as number) < TWO_32;

const isHash = (value: unknown): value is Sha256 => typeof value === 'string' && /^[0-9a-f]{64}$/.test(value);

// 40 bytes, where a fact's leaf has 32: a leaf of one tree is never a leaf of the other.
export const tenantLeaf = (count: number, root: string): string =>
  leafHash(count.toString(16).padStart(16, '0') + root);

/** Root over the hashes of one tenant's facts. */
export const tenantRoot = (hashes: readonly Sha256[]): Sha256 => rootOfDigests(digestsOf(hashes)) as Sha256;

/** One tenant's part of a batch. */
export interface Share {
  readonly count: number;
  readonly root: Sha256;
}

export interface BatchOf {
  readonly ledgerId: string;
  readonly signedAt: Instant;
}

/** A batch whose tenants' roots are known already. */
export const statementOf = (of: BatchOf, shares: readonly Share[]): BatchStatement =>
  overTree(of, shares, shareTree(shares));

/** The tree over the tenants of a batch. */
export const shareTree = (shares: readonly Share[]): MerkleTree =>
  merkleTree(shares.map((share) => tenantLeaf(share.count, share.root)));

export const overTree = (
  { ledgerId, signedAt }: BatchOf,
  shares: readonly Share[],
  tree: MerkleTree,
): BatchStatement => {
  if (!shares.every(({ count }) => isCount(count)))
    throw new TypeError('a tenant without facts does not belong in a batch');
  const batchFactCount = shares.reduce((sum, share) => sum + share.count, 0);
  return { ledgerId, signedAt, tenantCount: shares.length, batchFactCount, root: tree.root as Sha256 };
};

export interface CommitBatch {
  readonly statement: BatchStatement;
  readonly shares: readonly Share[];
  /** The proof of one fact; each tenant's tree is hashed once for all its facts. */
  proof(
    place: { readonly tenantIndex: number; readonly factIndex: number },
    signed: SignedStatement,
  ): BatchProof;
}

export interface SignedStatement {
  readonly kid: string;
  readonly signature: Buffer;
}

/** The batch of a group commit: for each tenant the hashes of its facts, in seq order; none of them empty. */
export const buildBatch = ({
  tenants,
  ...of
}: BatchOf & { readonly tenants: readonly (readonly Sha256[])[] }): CommitBatch => {
  const trees = tenants.map((hashes) => treeOfDigests(digestsOf(hashes)));
  const shares = trees.map((tree, index) => ({
    count: tenants[index]?.length ?? 0,
    root: tree.root as Sha256,
  }));
  const upper = shareTree(shares);
  const statement = overTree(of, shares, upper);
  return {
    statement,
    shares,
    proof: ({ tenantIndex, factIndex }, signed) =>
      proofOf(statement, signed, {
        factIndex,
        factCount: shares[tenantIndex]?.count ?? 0,
        factPath: trees[tenantIndex]?.proof(factIndex) ?? [],
        tenantIndex,
        tenantPath: upper.proof(tenantIndex),
      }),
  };
};

const proofOf = (
  statement: BatchStatement,
  { kid, signature }: SignedStatement,
  path: BatchPath,
): BatchProof => ({
  ...statement,
  kid,
  signature: signature.toString('base64url'),
  path,
});

/** Signs, and verifies before anybody sees the signature, so that a faulty signer lets no bad receipt out. Throws `SigningFault`. */
export const signBatch = async (statement: BatchStatement, signer: Signer): Promise<SignedStatement> => {
  const bytes = statementBytes(statement);
  const key = keyOf(signer);
  if (key.kid !== signer.kid) {
    throw new SigningFault(
      'wrong-key',
      `signer ${signer.kid} shows the key ${key.kid}: mend its configuration`,
    );
  }
  let signature: Buffer;
  try {
    signature = await signer.sign(bytes);
  } catch (cause) {
    throw new SigningFault(
      'signer-failed',
      `the key ${signer.kid} did not sign: see the cause, then try again`,
      cause,
    );
  }
  // Here and not on the thread pool, whose round trip costs each commit batch more than it frees.
  if (verifySignature(key, bytes, signature)) return { kid: signer.kid, signature };
  throw new SigningFault(
    'bad-signature',
    `the key ${signer.kid} made a signature that does not verify: take it out of service`,
  );
};

const publicKeys = new WeakMap<Signer, VerificationKey>();

const keyOf = (signer: Signer): VerificationKey => {
  const known = publicKeys.get(signer) ?? keyFromJwk(signer.publicJwk);
  publicKeys.set(signer, known);
  return known;
};

export type BatchFault =
  /** The proof lacks a member, or one is out of its range or has another spelling than the one it may have. */
  | 'malformed'
  /** The proof names another key than the one it is checked with. */
  | 'other-key'
  /** The numbers of facts and tenants in it cannot all be true. */
  | 'counts'
  /** The paths do not lead from this fact to the signed root. */
  | 'not-included'
  /** The key did not sign this statement. */
  | 'bad-signature';

/**
 * Checks a fact's hash against its proof; `undefined` when all holds. Never throws. The key is one the caller trusts,
 * never one that came with the proof; whether `ledgerId` is the ledger that was meant is the caller's to compare.
 */
export const proofFault = (
  factHash: Sha256,
  proof: BatchProof,
  key: VerificationKey,
): BatchFault | undefined => {
  const fault = pathFault(factHash, proof);
  if (fault !== undefined) return fault;
  if (proof.kid !== key.kid) return 'other-key';
  if (typeof proof.signature !== 'string') return 'malformed';
  const signature = Buffer.from(proof.signature, 'base64url');
  // Node skips what is not base64url; without this one signature would have many spellings.
  if (signature.toString('base64url') !== proof.signature) return 'malformed';
  return verifySignature(key, statementBytes(proof), signature) ? undefined : 'bad-signature';
};

/** The same without the signature, for a caller that has verified this statement's already. Never throws. */
export const pathFault = (
  factHash: Sha256,
  proof: Omit<BatchProof, 'kid' | 'signature'>,
): BatchFault | undefined => {
  if (!isHash(factHash) || typeof proof !== 'object' || proof === null || !isStatement(proof))
    return 'malformed';
  const { path, tenantCount, batchFactCount, root } = proof;
  if (typeof path !== 'object' || path === null || !isCount(path.factCount)) return 'malformed';
  // Each other tenant has at least one fact; a lone tenant has them all.
  const others = tenantCount - 1;
  const left = batchFactCount - path.factCount;
  if (left < others || (others === 0 && left !== 0)) return 'counts';
  const leaf = leafHash(factHash);
  const share = rootOfInclusion({ index: path.factIndex, size: path.factCount, leaf, proof: path.factPath });
  if (share === undefined) return 'not-included';
  const included = verifyInclusion({
    index: path.tenantIndex,
    size: tenantCount,
    leaf: tenantLeaf(path.factCount, share),
    root,
    proof: path.tenantPath,
  });
  return included ? undefined : 'not-included';
};
