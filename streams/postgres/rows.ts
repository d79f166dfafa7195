// Facts as rows. An envelope text that the payload already says is not stored twice: the columns actor, op_id,
// op_parent_id and region are NULL where the payload's top-level member of that name holds the same text (or both
// have none), and hold the empty text where the fact has none although the payload has such a member.
import { knownText } from '#proofs/known-texts.ts';
import type { Recorded } from '#schemas/event.ts';
import type { FactId, Instant, Seq, Sha256, StreamName, TenantId } from '#schemas/ids.ts';
import { type BinaryWriter, readInt64, readTimestamp, readUuid } from './binary.ts';

/** A fact about to be stored. */
export interface FactRow {
  readonly tenantNo: number;
  readonly fact: Recorded;
  readonly requestHash?: Sha256 | undefined;
}

type Members = { readonly [name: string]: unknown };

const membersOf = (fact: Recorded): Members => {
  const body = fact.parsed ?? JSON.parse(fact.payload);
  return typeof body === 'object' && body !== null ? (body as Members) : {};
};

const textMember = (body: Members, name: string): string | undefined => {
  const value = Object.hasOwn(body, name) ? body[name] : undefined;
  return typeof value === 'string' && value !== '' ? value : undefined;
};

/** What the column holds: `undefined` is NULL. */
const elided = (value: string | undefined, member: string | undefined): string | undefined =>
  value === member ? undefined : (value ?? '');

const restored = (column: string | undefined, member: string | undefined): string | undefined =>
  column === undefined ? member : column === '' ? undefined : column;

const putText = (writer: BinaryWriter, value: string | undefined): void => {
  if (value === undefined) writer.nil();
  else writer.text(value);
};

/** Columns in the order in which `writeCopyRow` puts them. */
export const COPY_COLUMNS =
  'seq, batch_no, recorded_at, occurred_at, tenant_no, schema_version, id, hash, type, payload, stream, actor, op_id, op_parent_id, region, traceparent, request_hash';
const COPY_COLUMN_COUNT = 17;

/** One row of a binary COPY into ledger.facts. */
export const writeCopyRow = (writer: BinaryWriter, row: FactRow, batchNo: number): void => {
  const { fact } = row;
  const body = membersOf(fact);
  writer.u16(COPY_COLUMN_COUNT);
  writer.int8(fact.seq);
  writer.int8(batchNo);
  writer.timestamptz(fact.recordedAt);
  writer.timestamptz(fact.occurredAt);
  writer.int4(row.tenantNo);
  writer.int2(fact.schemaVersion);
  writer.uuid(fact.id);
  writer.hex(fact.hash);
  writer.text(fact.type);
  writer.text(fact.payload);
  putText(writer, fact.stream);
  putText(writer, elided(fact.actor, textMember(body, 'actor')));
  putText(writer, elided(fact.opId, textMember(body, 'op_id')));
  putText(writer, elided(fact.opParentId, textMember(body, 'op_parent_id')));
  putText(writer, elided(fact.region, textMember(body, 'region')));
  putText(writer, fact.traceparent);
  if (row.requestHash === undefined) writer.nil();
  else writer.hex(row.requestHash);
};

/** The columns that `readCopyRow` expects, of `ledger.facts f`. */
export const READ_COLUMNS =
  'f.seq, f.batch_no, f.recorded_at, f.occurred_at, f.schema_version, f.id, f.hash, f.type, f.payload, f.stream, f.actor, f.op_id, f.op_parent_id, f.region, f.traceparent, f.request_hash';

export interface StoredFact {
  readonly fact: Recorded;
  readonly batchNo: number;
  readonly requestHash: Sha256 | undefined;
  /** Offset behind the last of READ_COLUMNS: a query may have added columns there. */
  readonly end: number;
}

/**
 * Decodes one row of a binary COPY of READ_COLUMNS. `bytes` holds the whole row; `at` points behind the field
 * count. `prevHash` is the hash of the fact before, which is not stored twice.
 */
export const readCopyRow = (bytes: Buffer, start: number, tenant: TenantId, prevHash: Sha256): StoredFact => {
  let at = start;
  const fixed = (length: number): number => {
    const from = at + 4;
    at = from + length;
    return from;
  };
  const text = (): string | undefined => {
    const length = bytes.readInt32BE(at);
    at += 4;
    if (length === -1) return undefined;
    at += length;
    return bytes.toString('utf8', at - length, at);
  };
  const seq = readInt64(bytes, fixed(8)) as Seq;
  const batchNo = readInt64(bytes, fixed(8));
  const recordedAt = readTimestamp(bytes, fixed(8)) as Instant;
  const occurredAt = readTimestamp(bytes, fixed(8)) as Instant;
  const schemaVersion = bytes.readInt16BE(fixed(2));
  const id = readUuid(bytes, fixed(16)) as FactId;
  const hashAt = fixed(32);
  const hash = bytes.toString('hex', hashAt, hashAt + 32) as Sha256;
  const typeAt = fixed(bytes.readInt32BE(at));
  const type = knownText(bytes, typeAt, at);
  const payload = text() as string;
  const parsed = JSON.parse(payload) as Members;
  const stream = text() as StreamName | undefined;
  const actor = restored(text(), textMember(parsed, 'actor')) as string;
  const opId = restored(text(), textMember(parsed, 'op_id'));
  const opParentId = restored(text(), textMember(parsed, 'op_parent_id'));
  const region = restored(text(), textMember(parsed, 'region'));
  const traceparent = text();
  const requestHash =
    bytes.readInt32BE(at) === -1 ? undefined : (bytes.toString('hex', at + 4, at + 36) as Sha256);
  const end = at + 4 + (requestHash === undefined ? 0 : 32);
  return {
    fact: {
      tenant,
      seq,
      id,
      type,
      schemaVersion,
      stream,
      occurredAt,
      recordedAt,
      actor,
      opId,
      opParentId,
      traceparent,
      region,
      payload,
      parsed,
      prevHash,
      hash,
    },
    batchNo,
    requestHash,
    end,
  };
};
