// A receipt as it leaves the ledger: the fact and the signature over it, in one JSON document that can be verified
// with nothing but the ledger's public keys (bundle-reader.ts, verifier.ts). "prov-ledger/receipt@1" is frozen: members are neither
// added nor renamed; another form gets another tag.
import type { Recorded } from '#schemas/event.ts';
import { instantText } from '#schemas/ids.ts';
import type { BatchProof } from './checkpoint.ts';

export const RECEIPT_FORMAT = 'prov-ledger/receipt@1';

/** Times are RFC 3339 in UTC with milliseconds; hashes are SHA-256 in lower-case hexadecimal. */
export interface FactDocument {
  readonly tenant: string;
  readonly seq: number;
  readonly id: string;
  readonly type: string;
  readonly schema_version: number;
  readonly stream?: string;
  readonly occurred_at: string;
  readonly recorded_at: string;
  readonly actor: string;
  readonly op_id?: string;
  readonly op_parent_id?: string;
  readonly region?: string;
  /** The exact text whose UTF-8 bytes were hashed: RFC 8785 canonical JSON. */
  readonly payload: string;
  readonly prev_hash: string;
  readonly hash: string;
}

export interface ProofDocument {
  readonly ledger_id: string;
  readonly signed_at: string;
  readonly tenant_count: number;
  readonly batch_fact_count: number;
  readonly root: string;
  readonly kid: string;
  /** base64url without padding, 64 bytes. */
  readonly signature: string;
  readonly path: {
    readonly fact_index: number;
    readonly fact_count: number;
    readonly fact_path: readonly string[];
    readonly tenant_index: number;
    readonly tenant_path: readonly string[];
  };
}

export interface ReceiptBundle {
  readonly format: typeof RECEIPT_FORMAT;
  readonly fact: FactDocument;
  readonly proof: ProofDocument;
}

/** The document of one fact. Equal facts and proofs give documents that `JSON.stringify` writes alike. */
export const receiptBundle = (fact: Recorded, proof: BatchProof): ReceiptBundle => ({
  format: RECEIPT_FORMAT,
  fact: factDocument(fact),
  proof: proofDocument(proof),
});

/** The fact as a bundle holds it. */
export const factDocument = (fact: Recorded): FactDocument => ({
  tenant: fact.tenant,
  seq: fact.seq,
  id: fact.id,
  type: fact.type,
  schema_version: fact.schemaVersion,
  ...(fact.stream !== undefined && { stream: fact.stream }),
  occurred_at: instantText(fact.occurredAt),
  recorded_at: instantText(fact.recordedAt),
  actor: fact.actor,
  ...(fact.opId !== undefined && { op_id: fact.opId }),
  ...(fact.opParentId !== undefined && { op_parent_id: fact.opParentId }),
  ...(fact.region !== undefined && { region: fact.region }),
  payload: fact.payload,
  prev_hash: fact.prevHash,
  hash: fact.hash,
});

export const proofDocument = ({
  ledgerId,
  signedAt,
  tenantCount,
  batchFactCount,
  root,
  kid,
  signature,
  path,
}: BatchProof): ProofDocument => ({
  ledger_id: ledgerId,
  signed_at: instantText(signedAt),
  tenant_count: tenantCount,
  batch_fact_count: batchFactCount,
  root,
  kid,
  signature,
  path: {
    fact_index: path.factIndex,
    fact_count: path.factCount,
    fact_path: path.factPath,
    tenant_index: path.tenantIndex,
    tenant_path: path.tenantPath,
  },
});
