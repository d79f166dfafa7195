// A recorded receipt to and from the protobuf envelope of receipts.proto, losing nothing: neither what it says nor
// the fact, nor the signature. The payload is not carried beside its members, where the two could contradict each
// other; it is written again from them, in the version it was recorded in.
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { Recorded } from './event.ts';
import { factId, type Instant, type Sha256, seq, sha256, streamName, tenantId } from './ids.ts';
import { decodeFact, faultsOf } from './index.ts';
import type { JsonObject, Receipt, ReceiptVersion } from './receipts.ts';
import { toVersion } from './receipts.ts';
import * as pb from './registry/receipts_pb.ts';

/** As `BatchProof` of proofs/checkpoint.ts, which this room does not see. */
export interface EnvelopeProof {
  readonly ledgerId: string;
  readonly signedAt: Instant;
  readonly tenantCount: number;
  readonly batchFactCount: number;
  readonly root: Sha256;
  readonly kid: string;
  /** base64url. */
  readonly signature: string;
  readonly path: {
    readonly factIndex: number;
    readonly factCount: number;
    readonly factPath: readonly string[];
    readonly tenantIndex: number;
    readonly tenantPath: readonly string[];
  };
}

/** A recorded receipt with the signature over it. */
export interface SealedReceipt {
  readonly fact: Recorded;
  readonly proof: EnvelopeProof;
}

/** The bytes are no envelope of a receipt. Nothing of them is to be used; ask the sender for another copy. */
export class MalformedEnvelope extends Error {
  override readonly name = 'MalformedEnvelope';
}

/** Writes RFC 8785 JSON; proofs/canonical.ts has it, which this room does not see. */
type Canonicalize = (value: never) => string;

const TYPE = 'receipts.ReceiptRecorded';

/** The envelope of a recorded receipt. Throws `UndecodableFact` for a fact of a newer version. */
export const toProto = ({ fact, proof }: SealedReceipt, canonicalize: Canonicalize): Uint8Array => {
  const decoded = decodeFact(fact);
  if (decoded.type !== TYPE)
    throw new MalformedEnvelope(`fact ${fact.seq} is ${fact.type}: only receipts have this envelope`);
  const text = (value: unknown): string | undefined =>
    value === undefined ? undefined : canonicalize(value as never);
  const { data } = decoded;
  const message = create(pb.ReceiptSchema, {
    id: data.id,
    action: data.action,
    actor: data.actor,
    tenant: data.tenant,
    decision: data.decision === 'allow' ? pb.Decision.ALLOW : pb.Decision.DENY,
    createdAt: data.created_at,
    ...said({
      inputsJson: text(data.inputs),
      evidenceHash: data.evidence_hash,
      policyVersion: data.policy_version,
      region: data.region,
      kid: data.kid,
      opId: data.op_id,
      opParentId: data.op_parent_id,
      selectiveFields:
        data.selective_fields && create(pb.SelectiveFieldsSchema, { pointers: data.selective_fields }),
      proofsJson: text(data.proofs),
      extJson: text(data.ext),
    }),
    fact: factMessage(fact),
    batchProof: proofMessage(proof),
  });
  return toBinary(pb.ReceiptSchema, message);
};

const factMessage = (fact: Recorded): pb.Fact => {
  const { tenant, id, type, schemaVersion, actor, stream, opId, opParentId, region, traceparent } = fact;
  return create(pb.FactSchema, {
    tenant,
    seq: BigInt(fact.seq),
    id,
    type,
    schemaVersion,
    occurredAtMs: BigInt(fact.occurredAt),
    recordedAtMs: BigInt(fact.recordedAt),
    actor,
    ...said({ stream, opId, opParentId, region, traceparent }),
    prevHash: Buffer.from(fact.prevHash, 'hex'),
    hash: Buffer.from(fact.hash, 'hex'),
  });
};

const proofMessage = ({ kid, signature, path, root, signedAt, ...statement }: EnvelopeProof): pb.BatchProof =>
  create(pb.BatchProofSchema, {
    kid,
    signature: Buffer.from(signature, 'base64url'),
    statement: create(pb.BatchStatementSchema, {
      ...statement,
      signedAtMs: BigInt(signedAt),
      root: Buffer.from(root, 'hex'),
    }),
    path: create(pb.BatchPathSchema, {
      ...path,
      factPath: path.factPath.map((hash) => Buffer.from(hash, 'hex')),
      tenantPath: path.tenantPath.map((hash) => Buffer.from(hash, 'hex')),
    }),
  });

/**
 * The recorded receipt of an envelope. Its shape is checked, its hash and signature are not: that is the
 * verifier's. Throws `MalformedEnvelope`.
 */
export const fromProto = (bytes: Uint8Array, canonicalize: Canonicalize): SealedReceipt => {
  try {
    const message = fromBinary(pb.ReceiptSchema, bytes);
    if (!message.fact || !message.batchProof)
      throw new MalformedEnvelope('it has no fact or no proof; ask for one with both');
    const { type, schemaVersion } = message.fact;
    if (type !== TYPE) throw new MalformedEnvelope(`its fact is ${type}, not a receipt`);
    const receipt = receiptOf(message);
    const [fault] = faultsOf(TYPE, 3, receipt);
    if (fault) throw new MalformedEnvelope(`its receipt is not sound: ${fault.pointer} ${fault.message}`);
    if (!(schemaVersion >= 1 && schemaVersion <= 3))
      throw new MalformedEnvelope(`its schema version ${schemaVersion} is not known; use a newer program`);
    const payload = canonicalize(toVersion(receipt, 3, schemaVersion as ReceiptVersion) as never);
    return { fact: factOf(message.fact, payload), proof: proofOf(message.batchProof) };
  } catch (cause) {
    if (cause instanceof MalformedEnvelope) throw cause;
    throw new MalformedEnvelope(`these bytes are no receipt envelope: ${(cause as Error).message}`, {
      cause,
    });
  }
};

const DECISIONS: Readonly<Record<number, Receipt['decision']>> = {
  [pb.Decision.ALLOW]: 'allow',
  [pb.Decision.DENY]: 'deny',
};

const receiptOf = (message: pb.Receipt): Receipt => ({
  id: message.id,
  action: message.action,
  actor: message.actor,
  tenant: message.tenant,
  decision: DECISIONS[message.decision] as Receipt['decision'],
  created_at: message.createdAt,
  ...said({
    inputs: parsed(message.inputsJson) as JsonObject | undefined,
    evidence_hash: message.evidenceHash,
    policy_version: message.policyVersion,
    region: message.region,
    kid: message.kid,
    op_id: message.opId,
    op_parent_id: message.opParentId,
    selective_fields: message.selectiveFields?.pointers,
    proofs: parsed(message.proofsJson) as Receipt['proofs'],
    ext: parsed(message.extJson) as Receipt['ext'],
  }),
});

const factOf = (fact: pb.Fact, payload: string): Recorded => {
  const { opId, opParentId, region, traceparent, actor, type, schemaVersion } = fact;
  const [domain = '', ...entity] = fact.stream?.split('-') ?? [];
  return {
    tenant: tenantId(fact.tenant),
    seq: seq(Number(fact.seq)),
    id: factId(fact.id),
    type,
    schemaVersion,
    occurredAt: Number(fact.occurredAtMs) as Instant,
    recordedAt: Number(fact.recordedAtMs) as Instant,
    actor,
    ...said({
      stream: fact.stream === undefined ? undefined : streamName(domain, entity.join('-')),
      opId,
      opParentId,
      region,
      traceparent,
    }),
    payload,
    prevHash: hexOf(fact.prevHash),
    hash: hexOf(fact.hash),
  };
};

const proofOf = ({ kid, signature, statement, path }: pb.BatchProof): EnvelopeProof => {
  if (!statement || !path)
    throw new MalformedEnvelope('its proof has no statement or no path; ask for one with both');
  return {
    ledgerId: factId(statement.ledgerId),
    signedAt: Number(statement.signedAtMs) as Instant,
    tenantCount: statement.tenantCount,
    batchFactCount: statement.batchFactCount,
    root: hexOf(statement.root),
    kid,
    signature: Buffer.from(signature).toString('base64url'),
    path: {
      factIndex: path.factIndex,
      factCount: path.factCount,
      factPath: path.factPath.map(hexOf),
      tenantIndex: path.tenantIndex,
      tenantPath: path.tenantPath.map(hexOf),
    },
  };
};

const hexOf = (bytes: Uint8Array): Sha256 => sha256(Buffer.from(bytes).toString('hex'));
const parsed = (text: string | undefined): unknown => (text === undefined ? undefined : JSON.parse(text));

type Said<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** Without the members that say nothing. */
const said = <T extends object>(members: T): Said<T> =>
  Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as Said<T>;
