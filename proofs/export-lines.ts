// The export of a tenant's chain: NDJSON that anyone can verify with the ledger's public keys and nothing else.
//
//   {"format":"prov-ledger/export/1","ledger_id","tenant","from","to","prev_hash","prev_recorded_at"?,"jwks"}
//   {"fact":{"seq","id","type",...,"payload","hash"}}              one line per fact, in seq order
//   {"batch":{"first_seq","count",...,"root","kid","signature"}}   after the last fact (in range) that it signs
//   {"end":{"facts","batches","seq","hash","recorded_at"}}
//
// `tenant` and the hash before are not repeated in each fact; its hash covers both. A batch signs the root over all of
// its tenants; `tenant_path` leads there from this tenant's facts. Where the range cuts through a batch, the hashes of
// its facts outside stand in `hashes_before` and `hashes_after`. The keys in the header are for the reader's comfort:
// the verifier (export.ts) brings its own, or whoever forged the facts would also bring the keys.
import type { Recorded } from '#schemas/event.ts';
import { instantText, type Seq, type Sha256, type TenantId } from '#schemas/ids.ts';
import type { ChainPosition } from './chain.ts';
import type { BatchProof } from './checkpoint.ts';
import { jwks, type KeySet, type VerificationKey } from './keys/public-key.ts';

export const EXPORT_FORMAT = 'prov-ledger/export/1';

export interface ExportHeader {
  readonly ledgerId: string;
  readonly tenant: TenantId;
  readonly from: Seq;
  readonly to: Seq;
  /** The place before `from`. */
  readonly before: ChainPosition;
}

/** A signed batch as it concerns one tenant. */
export interface ExportedBatch {
  /** The proof of any of the tenant's facts in it: all of them have the same but for the way to the tenant's root. */
  readonly proof: BatchProof;
  readonly firstSeq: Seq;
  readonly hashesBefore: readonly Sha256[];
  readonly hashesAfter: readonly Sha256[];
}

export const headerLine = (
  { ledgerId, tenant, from, to, before }: ExportHeader,
  keys: readonly VerificationKey[] | KeySet,
): string =>
  JSON.stringify({
    format: EXPORT_FORMAT,
    ledger_id: ledgerId,
    tenant,
    from,
    to,
    prev_hash: before.hash,
    ...(from > 1 && { prev_recorded_at: instantText(before.recordedAt) }),
    jwks: 'keys' in keys ? keys : jwks(keys),
  });

export const factLine = (fact: Recorded): string =>
  JSON.stringify({
    fact: {
      seq: fact.seq,
      id: fact.id,
      type: fact.type,
      schema_version: fact.schemaVersion,
      stream: fact.stream,
      occurred_at: instantText(fact.occurredAt),
      recorded_at: instantText(fact.recordedAt),
      actor: fact.actor,
      op_id: fact.opId,
      op_parent_id: fact.opParentId,
      region: fact.region,
      traceparent: fact.traceparent,
      payload: fact.payload,
      hash: fact.hash,
    },
  });

export const batchLine = ({ proof, firstSeq, hashesBefore, hashesAfter }: ExportedBatch): string =>
  JSON.stringify({
    batch: {
      first_seq: firstSeq,
      count: proof.path.factCount,
      signed_at: instantText(proof.signedAt),
      tenant_count: proof.tenantCount,
      batch_fact_count: proof.batchFactCount,
      root: proof.root,
      tenant_index: proof.path.tenantIndex,
      tenant_path: proof.path.tenantPath,
      ...(hashesBefore.length > 0 && { hashes_before: hashesBefore }),
      ...(hashesAfter.length > 0 && { hashes_after: hashesAfter }),
      kid: proof.kid,
      signature: proof.signature,
    },
  });

export interface ExportTotals {
  readonly facts: number;
  readonly batches: number;
  readonly head: ChainPosition;
}

export const endLine = ({ facts, batches, head }: ExportTotals): string =>
  JSON.stringify({
    end: { facts, batches, seq: head.seq, hash: head.hash, recorded_at: instantText(head.recordedAt) },
  });
