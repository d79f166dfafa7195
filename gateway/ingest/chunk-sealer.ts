// The part of a bulk import that runs off the main thread: lines to receipts, receipts to sealed facts and COPY rows,
// and the folds of the read models kept in the same transaction. No input or output: chunks in, results out.
import { isUtf8 } from 'node:buffer';
import { completeReceipt, receipts } from '#commands/receipts.ts';
import { draftsOf } from '#commands/run.ts';
import { type AnyProjector, type Changes, foldBatch } from '#projectors/batch.ts';
import { rowWriter } from '#projectors/postgres/columns.ts';
import type { Row } from '#projectors/projector.ts';
import { canonicalize, type JsonValue, parseStrict, parseStrictBytes, type Strict } from '#proofs/canonical.ts';
import { type ChainPosition, payloadHash, seal } from '#proofs/chain.ts';
import { leafHash, merkleRoot } from '#proofs/merkle.ts';
import type { Draft, Fact, Recorded } from '#schemas/event.ts';
import type { FactId, Instant, Seq, Sha256, TenantId } from '#schemas/ids.ts';
import { decodeFact } from '#schemas/index.ts';
import { type JsonObject, receiptVersion } from '#schemas/receipts.ts';
import { binaryWriter } from '#streams/postgres/binary.ts';
import { writeCopyRow } from '#streams/postgres/rows.ts';
import type { Mapping } from './mapping.ts';

/** A line that is no receipt; the lines around it go in. */
export interface LineFault {
  readonly line: number;
  readonly code: string;
  readonly message: string;
}

/** The receipts of one chunk, in the order of their lines. */
export interface ReadChunk {
  readonly drafts: readonly Draft[];
  readonly digests: readonly Sha256[];
  readonly lines: readonly number[];
  readonly faults: readonly LineFault[];
  /** Lines that say again what an earlier line of this chunk says. */
  readonly repeated: number;
}

export interface ReaderOptions {
  readonly tenant: TenantId;
  readonly mapping: Mapping | undefined;
}

const NEWLINE = 0x0a;
const RETURN = 0x0d;

/** Reads whole lines of NDJSON. A receipt without an id gets one from its own content, so that it stays the same. */
export const readLines = ({ tenant, mapping }: ReaderOptions, { bytes, firstLine, at }: { readonly bytes: Buffer; readonly firstLine: number; readonly at: Instant }): ReadChunk => {
  const drafts: Draft[] = [];
  const digests: Sha256[] = [];
  const lines: number[] = [];
  const faults: LineFault[] = [];
  const seen = new Map<FactId, Sha256>();
  const trusted = isUtf8(bytes);
  let repeated = 0;
  let line = firstLine;
  for (let start = 0; start < bytes.length; line += 1) {
    const newline = bytes.indexOf(NEWLINE, start);
    const next = newline === -1 ? bytes.length : newline + 1;
    let end = newline === -1 ? next : newline;
    if (end > start && bytes[end - 1] === RETURN) end -= 1;
    const from = start;
    start = next;
    if (end === from) continue;
    const strict = trusted ? parseStrict(bytes.toString('utf8', from, end)) : parseStrictBytes(bytes.subarray(from, end));
    const draft = draftOf(strict, { tenant, mapping, at });
    if ('code' in draft) {
      faults.push({ line, code: draft.code, message: draft.message });
      continue;
    }
    const digest = payloadHash(draft.payload);
    const twin = seen.get(draft.id);
    if (twin === undefined) {
      seen.set(draft.id, digest);
      drafts.push(draft);
      digests.push(digest);
      lines.push(line);
    } else if (twin === digest) repeated += 1;
    else faults.push({ line, ...CONFLICT });
  }
  return { drafts, digests, lines, faults, repeated };
};

/** What is said of a line whose receipt id belongs to other content. */
export const CONFLICT = { code: 'id-taken', message: 'another receipt has this id already: give this one an id of its own' } as const;

interface DraftContext extends ReaderOptions {
  readonly at: Instant;
}

const draftOf = (strict: Strict, { tenant, mapping, at }: DraftContext): Draft | { readonly code: string; readonly message: string } => {
  if (!strict.ok) return strict.error;
  const mapped = mapping ? mapping.map(strict.value) : undefined;
  if (mapped && !mapped.ok) return { code: 'unmappable', message: `the line ${mapped.message}` };
  const source = mapped ? mapped.receipt : strict.value;
  if (typeof source !== 'object' || source === null || Array.isArray(source)) {
    return { code: 'not-an-object', message: 'a receipt is a JSON object: one object a line' };
  }
  const receipt = complete(source as JsonObject, { tenant, at, canonical: strict.canonical });
  const schemaVersion = receiptVersion(receipt);
  if (typeof schemaVersion === 'object') return { code: 'malformed', message: `${schemaVersion.pointer} ${schemaVersion.message}` };
  const { id, actor } = receipt as { readonly id: string; readonly actor: string };
  const context = { tenant, actor, at, key: id };
  const decision = receipts.decide({ type: 'RecordReceipt', receipt, schemaVersion }, undefined, context);
  if (decision.kind === 'refused') return { code: 'malformed', message: decision.refusal.message };
  // A line that is a receipt in canonical form is the payload already.
  const payload = receipt === strict.value ? strict.canonical : canonicalize(receipt as JsonValue);
  return draftsOf(decision.events, context, { payload })[0] as Draft;
};

const complete = (source: JsonObject, { tenant, at, canonical }: { readonly tenant: TenantId; readonly at: Instant; readonly canonical: string }): JsonObject => {
  if (source['id'] !== undefined && source['tenant'] !== undefined) return completeReceipt(source, { id: '', at, tenant });
  return completeReceipt(source, { id: `sha256:${payloadHash(canonical)}`, at, tenant });
};

/** The rows of one read model, as a fold needs them. */
export interface InlineModel {
  readonly projector: AnyProjector;
  /** By key text; every row of the tenant. Empty for an insert-only model, which reads none. */
  readonly rows: Map<string, Row>;
}

export interface InlineChanges {
  readonly name: string;
  readonly changes: Changes;
  /** New rows of an insert-only model in COPY form; `changes.inserts` is empty then. */
  readonly copyRows: Uint8Array<ArrayBuffer> | undefined;
}

export interface SealedChunk {
  readonly batchNo: number;
  /** COPY rows for ledger.facts, without header and trailer. */
  readonly rows: Uint8Array<ArrayBuffer>;
  readonly count: number;
  readonly before: ChainPosition;
  readonly after: ChainPosition;
  /** RFC 6962 root over the facts' hashes: this tenant's share of the commit batch. */
  readonly root: Sha256;
  readonly inline: readonly InlineChanges[];
  /** Read models whose fold refused a fact: they are left to the live runner, which parks it. */
  readonly poisoned: readonly string[];
}

export interface SealOptions {
  readonly tenant: TenantId;
  readonly tenantNo: number;
  readonly batchNo: number;
  readonly at: Instant;
  readonly before: ChainPosition;
  readonly models: readonly InlineModel[];
  /** True at the index of a draft that is stored already. */
  readonly skip?: Uint8Array | undefined;
}

const ROW_BYTES = 900;

/** Puts the drafts behind `before`, in order. Changes `models` to the rows as they are afterwards. */
export const sealDrafts = ({ drafts, digests }: Pick<ReadChunk, 'drafts' | 'digests'>, options: SealOptions): SealedChunk => {
  const { tenant, tenantNo, batchNo, skip, before } = options;
  const writer = binaryWriter(Math.max(4_096, drafts.length * ROW_BYTES));
  const recordedAt = Math.max(options.at, before.recordedAt) as Instant;
  const facts: Recorded[] = [];
  let tip = before;
  for (let index = 0; index < drafts.length; index += 1) {
    if (skip?.[index]) continue;
    const link = { tenant, seq: (tip.seq + 1) as Seq, prevHash: tip.hash, recordedAt };
    const fact = seal(drafts[index] as Draft, link, digests[index]);
    writeCopyRow(writer, { tenantNo, fact }, batchNo);
    facts.push(fact);
    tip = fact;
  }
  const root = merkleRoot(facts.map((fact) => leafHash(fact.hash))) as Sha256;
  const { inline, poisoned } = foldInline(tenant, facts, options.models);
  const after = { seq: tip.seq, hash: tip.hash, recordedAt: tip.recordedAt };
  return { batchNo, rows: writer.take(), count: facts.length, before, after, root, inline, poisoned };
};

const foldInline = (tenant: TenantId, recorded: readonly Recorded[], models: readonly InlineModel[]) => {
  const inline: InlineChanges[] = [];
  const poisoned: string[] = [];
  if (models.length === 0) return { inline, poisoned };
  const facts = recorded.map((fact) => decodeFact(fact) as Fact);
  for (const { projector, rows } of models) {
    const handled = facts.filter((fact) => projector.handles.includes(fact.type));
    const { changes, poison } = foldBatch(projector, handled, rows);
    if (poison) {
      poisoned.push(projector.name);
      continue;
    }
    for (const [key, row] of changes.upserts) rows.set(key, row);
    inline.push({ name: projector.name, ...copied(projector, tenant, changes) });
  }
  return { inline, poisoned };
};

const copied = (projector: AnyProjector, tenant: TenantId, changes: Changes): Pick<InlineChanges, 'changes' | 'copyRows'> => {
  if (!projector.insertOnly) return { changes, copyRows: undefined };
  const writer = binaryWriter(Math.max(4_096, changes.inserts.length * 300));
  const write = rowWriter(projector);
  for (const row of changes.inserts) write(writer, tenant, row);
  return { changes: { ...changes, inserts: [] }, copyRows: writer.take() };
};
