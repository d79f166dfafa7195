// A fact as an event. The data is the fact's payload, byte for byte, as binary: what is marked as JSON the client parses
// and writes anew. All the rest is the metadata, a JSON object, with the signature over the batch that the fact came in.
// The event's own id is a digest of all its bytes: the server takes an append whose ids it knows for a repetition, and so
// it is one only when every byte is the same.
import { createHash } from 'node:crypto';
import { binaryEvent, type EventData, type RecordedEvent } from '@eventstore/db-client';
import type { SignedShare } from '#proofs/share.ts';
import type { Recorded } from '#schemas/event.ts';
import type { FactId, Instant, Seq, Sha256, StreamName, TenantId } from '#schemas/ids.ts';
import { StreamError } from '#streams/errors.ts';

export interface StoredFact {
  readonly fact: Recorded;
  /** When it differs from the hash of the payload. */
  readonly requestHash: Sha256 | undefined;
  readonly share: SignedShare;
}

interface Metadata {
  readonly v: 1;
  readonly tenant: TenantId;
  readonly seq: Seq;
  readonly prev_hash: Sha256;
  readonly hash: Sha256;
  readonly id: FactId;
  readonly schema_version: number;
  readonly stream?: StreamName;
  readonly occurred_at: Instant;
  readonly recorded_at: Instant;
  readonly actor: string;
  readonly op_id?: string;
  readonly op_parent_id?: string;
  readonly traceparent?: string;
  readonly region?: string;
  readonly request_hash?: Sha256;
  readonly batch: {
    readonly first: Seq;
    readonly count: number;
    readonly ledger_id: string;
    readonly signed_at: Instant;
    readonly tenants: number;
    readonly facts: number;
    readonly root: Sha256;
    readonly kid: string;
    readonly signature: string;
    readonly tenant_index: number;
    readonly tenant_path: readonly string[];
  };
}

export const encodeFact = ({ fact, requestHash, share }: StoredFact): EventData => {
  const { proof, first, count } = share;
  const metadata: Metadata = {
    v: 1,
    tenant: fact.tenant,
    seq: fact.seq,
    prev_hash: fact.prevHash,
    hash: fact.hash,
    id: fact.id,
    schema_version: fact.schemaVersion,
    ...(fact.stream !== undefined && { stream: fact.stream }),
    occurred_at: fact.occurredAt,
    recorded_at: fact.recordedAt,
    actor: fact.actor,
    ...(fact.opId !== undefined && { op_id: fact.opId }),
    ...(fact.opParentId !== undefined && { op_parent_id: fact.opParentId }),
    ...(fact.traceparent !== undefined && { traceparent: fact.traceparent }),
    ...(fact.region !== undefined && { region: fact.region }),
    ...(requestHash !== undefined && { request_hash: requestHash }),
    batch: {
      first,
      count,
      ledger_id: proof.ledgerId,
      signed_at: proof.signedAt,
      tenants: proof.tenantCount,
      facts: proof.batchFactCount,
      root: proof.root,
      kid: proof.kid,
      signature: proof.signature,
      tenant_index: proof.tenantIndex,
      tenant_path: proof.tenantPath,
    },
  };
  const data = Buffer.from(fact.payload);
  const bytes = Buffer.from(JSON.stringify(metadata));
  return binaryEvent({ id: eventId(fact.type, bytes, data), type: fact.type, data, metadata: bytes });
};

/** A UUID of version 8 (RFC 9562 section 5.8). */
export const eventId = (...parts: readonly (string | Buffer)[]): string => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(`${Buffer.byteLength(part)} `).update(part);
  const digest = hash.digest();
  digest[6] = ((digest[6] ?? 0) & 0x0f) | 0x80;
  digest[8] = ((digest[8] ?? 0) & 0x3f) | 0x80;
  const hex = digest.toString('hex', 0, 16);
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
};

/** Throws `corrupt` where the event is none of ours, or its place is not the one it says: seq is revision + 1. */
export const decodeFact = (event: RecordedEvent, tenant: TenantId): StoredFact => {
  const metadata = event.metadata as Metadata | undefined;
  const at = `${tenant}/${event.revision + 1n}`;
  if (metadata?.v !== 1 || !(event.data instanceof Uint8Array))
    throw new StreamError('corrupt', `${at}: the event ${event.id} was not written by this program`);
  if (metadata.tenant !== tenant || BigInt(metadata.seq) !== event.revision + 1n)
    throw new StreamError('corrupt', `${at}: the event says that it is ${metadata.tenant}/${metadata.seq}`);
  const { batch } = metadata;
  return {
    fact: {
      tenant,
      seq: metadata.seq,
      id: metadata.id,
      type: event.type,
      schemaVersion: metadata.schema_version,
      stream: metadata.stream,
      occurredAt: metadata.occurred_at,
      recordedAt: metadata.recorded_at,
      actor: metadata.actor,
      opId: metadata.op_id,
      opParentId: metadata.op_parent_id,
      traceparent: metadata.traceparent,
      region: metadata.region,
      payload: Buffer.from(event.data).toString('utf8'),
      prevHash: metadata.prev_hash,
      hash: metadata.hash,
    },
    requestHash: metadata.request_hash,
    share: {
      first: batch.first,
      count: batch.count,
      proof: {
        ledgerId: batch.ledger_id,
        signedAt: batch.signed_at,
        tenantCount: batch.tenants,
        batchFactCount: batch.facts,
        root: batch.root,
        kid: batch.kid,
        signature: batch.signature,
        tenantIndex: batch.tenant_index,
        tenantPath: batch.tenant_path,
      },
    },
  };
};
