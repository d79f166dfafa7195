/**
 * The signed commit batch: one signature over everything one group commit made durable. Law: a receipt's proof
 * needs nothing but its fact's hash, this proof and the ledger's public key, and shows other tenants only as hashes.
 *
 * Two RFC 6962 trees. Lower, one per tenant: leaf data = the 32 bytes of a fact's hash. Upper, over the tenants of
 * the batch: leaf data = the tenant's fact count (u64 BE) || its lower root, 40 bytes, so that a leaf of one tree is
 * never a leaf of the other. The upper root stands in the statement that is signed (batch-statement.ts).
 */
import { type BatchStatement, encodeStatement, isU32, statementBytes } from './batch-statement.ts';
import type { KeySet } from './keys/key-set.ts';
import {
  keyFromJwk,
  type VerificationKey,
  verifySignature,
  verifySignatureAside,
} from './keys/public-key.ts';
import { type Signer, SigningFault } from './keys/signer.ts';
import {
  leafHash,
  type MerkleTree,
  merkleRoot,
  merkleTree,
  rootOfInclusion,
  verifyInclusion,
} from './merkle.ts';

export { type BatchStatement, encodeStatement } from './batch-statement.ts';

/** The way from one fact to the signed root. `tenantFactCount` counts the facts of this fact's tenant. */
export type BatchPath = {
  readonly tenantIndex: number;
  readonly tenantHashes: readonly string[];
  readonly factIndex: number;
  readonly tenantFactCount: number;
  readonly factHashes: readonly string[];
};

/** The proof that every fact carries: plain JSON, `signature` in base64url. */
export type BatchProof = {
  readonly kid: string;
  readonly signature: string;
  readonly statement: BatchStatement;
  readonly path: BatchPath;
};

/** One tenant's part of a batch: how many facts, and the lower root over them. */
export type Share = { readonly count: number; readonly root: string };

type BatchOf = { readonly ledgerId: string; readonly signedAt: number };
type FactPlace = { readonly tenantIndex: number; readonly factIndex: number };
type Signed = { readonly kid: string; readonly signature: Uint8Array };

/** What is needed to sign and store a batch. */
export type SealedBatch = {
  /** The bytes to sign. */
  readonly statement: Buffer;
  readonly root: string;
  /** One per tenant, in the order given. */
  readonly tenantRoots: readonly string[];
};

/** A batch whose trees are at hand, so that any fact's proof costs no hash. */
export type CommitBatch = SealedBatch & {
  path(tenantIndex: number, factIndex: number): BatchPath;
  proof(of: FactPlace & Signed): BatchProof;
};

/** Which check failed: the proof's form, the key it names, its signature, its counts, its path to the root. */
export type BatchCheck = 'malformed' | 'kid' | 'signature' | 'counts' | 'path';
export type BatchVerdict = { readonly ok: true } | { readonly ok: false; readonly check: BatchCheck };

const HASH = /^[0-9a-f]{64}$/;

/** The lower root over one tenant's fact hashes, no level kept. */
export function tenantRoot(factHashes: Iterable<string>): string {
  return merkleRoot(Iterator.from(factHashes).map((hash) => leafHash(hash)));
}

/** Trees and statement over the facts of one commit; every tenant given has at least one. */
export function buildBatch(
  of: BatchOf & { readonly tenants: readonly { readonly hashes: readonly string[] }[] },
): CommitBatch {
  const lower = of.tenants.map(({ hashes }) => factTree(hashes));
  const shares = lower.map((tree, index) => ({
    root: tree.root,
    count: of.tenants[index]?.hashes.length ?? 0,
  }));
  const upper = shareTree(shares);
  const statement = statementOf(of, shares, upper.root);
  const path = (tenantIndex: number, factIndex: number): BatchPath => {
    const tree = lower[tenantIndex];
    if (tree === undefined) throw new RangeError(`no tenant ${tenantIndex} in a batch of ${lower.length}`);
    return {
      tenantIndex,
      tenantHashes: upper.proof(tenantIndex),
      factIndex,
      tenantFactCount: shares[tenantIndex]?.count ?? 0,
      factHashes: tree.proof(factIndex),
    };
  };
  return {
    statement: encodeStatement(statement),
    root: upper.root,
    tenantRoots: shares.map((share) => share.root),
    path,
    proof: ({ tenantIndex, factIndex, ...signed }) =>
      proofOf(signed, statement, path(tenantIndex, factIndex)),
  };
}

/** A batch of one tenant whose root was computed elsewhere, as a bulk import's worker does. */
export function singleTenantBatch(of: BatchOf & Share): SealedBatch {
  const { root } = shareTree([of]);
  return { statement: encodeStatement(statementOf(of, [of], root)), root, tenantRoots: [of.root] };
}

/** A fact's proof later, from what a store keeps: each tenant's count and root, and the hashes of one tenant. */
export function batchProof(
  from: BatchOf &
    FactPlace &
    Signed & { readonly shares: readonly Share[]; readonly hashes: readonly string[] },
): BatchProof {
  const { tenantIndex, factIndex, shares, hashes } = from;
  const upper = shareTree(shares);
  return proofOf(from, statementOf(from, shares, upper.root), {
    tenantIndex,
    tenantHashes: upper.proof(tenantIndex),
    factIndex,
    tenantFactCount: hashes.length,
    factHashes: factTree(hashes).proof(factIndex),
  });
}

const shownKeys = new WeakMap<Signer, VerificationKey>();

/**
 * Signs, and verifies what came back before anyone sees it, so that a faulty signer lets no bad receipt out.
 * Throws `SigningFault`.
 */
export async function signBatch(statement: Uint8Array, signer: Signer): Promise<Buffer> {
  const key = shownKeys.get(signer) ?? keyFromJwk(signer.publicJwk);
  shownKeys.set(signer, key);
  if (key.kid !== signer.kid || key.algorithm !== signer.algorithm) {
    throw new SigningFault(
      'wrong-key',
      `signer ${signer.kid} shows the key ${key.kid}: mend its configuration`,
    );
  }
  let signature: Buffer;
  try {
    signature = await signer.sign(statement);
  } catch (cause) {
    throw new SigningFault(
      'signer-failed',
      `key ${signer.kid} did not sign: see the cause, then try again`,
      cause,
    );
  }
  if (await verifySignatureAside(key, statement, signature)) return signature;
  throw new SigningFault(
    'bad-signature',
    `key ${signer.kid} made a signature that does not verify: replace the signer`,
  );
}

/**
 * Everything about one receipt's proof. Never throws. `keys` are those the caller trusts, never any that came with
 * the receipt; whether `statement.ledgerId` is the ledger that was meant is the caller's to compare.
 */
export function verifyBatchProof(factHash: string, proof: BatchProof, keys: KeySet): BatchVerdict {
  const bytes = statementBytes(proof?.statement);
  if (bytes === undefined || typeof proof.signature !== 'string') return failed('malformed');
  const key = keys.find(proof.kid);
  if (key === undefined) return failed('kid');
  const signature = Buffer.from(proof.signature, 'base64url');
  // Node skips what is not base64url; a signature has one spelling here.
  if (signature.toString('base64url') !== proof.signature) return failed('malformed');
  if (!verifySignature(key, bytes, signature)) return failed('signature');
  return verifyBatchPath(factHash, proof.statement, proof.path);
}

/** The path alone, for a caller that has verified this statement's signature already. Never throws. */
export function verifyBatchPath(factHash: string, statement: BatchStatement, path: BatchPath): BatchVerdict {
  if (typeof factHash !== 'string' || !HASH.test(factHash)) return failed('malformed');
  if (typeof path !== 'object' || path === null || statementBytes(statement) === undefined)
    return failed('malformed');
  const { tenantIndex, tenantHashes, factIndex, tenantFactCount, factHashes } = path;
  if (![tenantIndex, factIndex, tenantFactCount].every(isU32)) return failed('malformed');
  // Every other tenant has at least one fact; a lone tenant has them all.
  const others = statement.tenantCount - 1;
  const left = statement.factCount - tenantFactCount;
  if (left < others || (others === 0 && left !== 0)) return failed('counts');
  const leaf = leafHash(factHash);
  const root = rootOfInclusion({ index: factIndex, size: tenantFactCount, leaf, proof: factHashes });
  if (root === undefined) return failed('path');
  const included = verifyInclusion({
    index: tenantIndex,
    size: statement.tenantCount,
    leaf: shareLeaf({ count: tenantFactCount, root }),
    root: statement.root,
    proof: tenantHashes,
  });
  return included ? { ok: true } : failed('path');
}

function statementOf(
  { ledgerId, signedAt }: BatchOf,
  shares: readonly Share[],
  root: string,
): BatchStatement {
  if (shares.some(({ count }) => count < 1))
    throw new TypeError('a tenant without facts does not belong in a batch');
  const factCount = shares.reduce((sum, { count }) => sum + count, 0);
  return Object.freeze({ ledgerId, signedAt, tenantCount: shares.length, factCount, root });
}

function proofOf({ kid, signature }: Signed, statement: BatchStatement, path: BatchPath): BatchProof {
  return { kid, signature: Buffer.from(signature).toString('base64url'), statement, path };
}

function factTree(hashes: readonly string[]): MerkleTree {
  return merkleTree(hashes.map((hash) => leafHash(hash)));
}

function shareTree(shares: readonly Share[]): MerkleTree {
  return merkleTree(shares.map(shareLeaf));
}

function shareLeaf({ count, root }: Share): string {
  return leafHash(count.toString(16).padStart(16, '0') + root);
}

function failed(check: BatchCheck): BatchVerdict {
  return { ok: false, check };
}
