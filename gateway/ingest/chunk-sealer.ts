// The part of a bulk import that runs off the main thread: lines to receipts, receipts to sealed facts and COPY rows,
// and the folds of the read models kept in the same transaction. No input or output: chunks in, results out.
import { isAscii, isUtf8 } from 'node:buffer';
import { receipts } from '#commands/receipts.ts';
import { draftsOf } from '#commands/run.ts';
import { type AnyProjector, type Changes, foldBatch } from '#projectors/batch.ts';
import { rowWriter } from '#projectors/postgres/columns.ts';
import type { Row } from '#projectors/projector.ts';
import {
  canonicalize,
  type JsonValue,
  parseStrict,
  parseStrictBytes,
  type Strict,
} from '#proofs/canonical.ts';
import { type ChainPosition, payloadHash, seal } from '#proofs/chain.ts';
import type { Draft, Fact, Recorded } from '#schemas/event.ts';
import type { FactId, Instant, Seq, Sha256, TenantId } from '#schemas/ids.ts';
import { decodeFact } from '#schemas/index.ts';
import { binaryWriter } from '#streams/postgres/binary.ts';
import { writeCopyRow } from '#streams/postgres/rows.ts';
import { type LineContext, type LineRefusal, receiptOfLine } from './line-receipt.ts';
import type { Mapping } from './mapping.ts';

/** A line that is no receipt; the lines around it go in. */
export interface LineFault {
  readonly line: number;
  readonly code: string;
  readonly message: string;
}

/** The receipts of some lines, in their order. */
export interface ReadLines {
  readonly drafts: Draft[];
  readonly digests: Sha256[];
  readonly lines: number[];
}

export interface ReaderOptions {
  readonly tenant: TenantId;
  readonly mapping: Mapping | undefined;
}

export interface LineReader {
  /** The receipts of the next `most` lines; none at the end. */
  next(most: number): ReadLines | undefined;
  readonly faults: LineFault[];
  /** Lines that said again what an earlier line of this chunk says. */
  readonly repeated: () => number;
}

export interface LinesOf {
  readonly bytes: Buffer;
  readonly firstLine: number;
  /** When the lines are taken in. */
  readonly at: Instant;
}

const NEWLINE = 0x0a;
const RETURN = 0x0d;

/** Reads whole lines of NDJSON. A receipt without an id gets one from its own content, so that it stays the same. */
export const lineReader = (options: ReaderOptions, { bytes, firstLine, at }: LinesOf): LineReader => {
  const context = { ...options, at };
  const faults: LineFault[] = [];
  const seen = new Map<FactId, Sha256>();
  const encoding = isAscii(bytes) ? 'latin1' : isUtf8(bytes) ? 'utf8' : undefined;
  let repeated = 0;
  let line = firstLine - 1;
  let start = 0;
  const take = (from: number, end: number, into: ReadLines): void => {
    const strict = encoding
      ? parseStrict(bytes.toString(encoding, from, end))
      : parseStrictBytes(bytes.subarray(from, end));
    const draft = draftOf(strict, context);
    if ('code' in draft) {
      faults.push({ line, code: draft.code, message: draft.message });
      return;
    }
    const digest = payloadHash(draft.payload);
    const twin = seen.get(draft.id);
    if (twin === undefined) {
      seen.set(draft.id, digest);
      into.drafts.push(draft);
      into.digests.push(digest);
      into.lines.push(line);
    } else if (twin === digest) repeated += 1;
    else faults.push({ line, ...CONFLICT });
  };
  return {
    faults,
    repeated: () => repeated,
    next: (most) => {
      if (start >= bytes.length) return undefined;
      const read: ReadLines = { drafts: [], digests: [], lines: [] };
      for (let left = most; left > 0 && start < bytes.length; left -= 1) {
        const newline = bytes.indexOf(NEWLINE, start);
        const next = newline === -1 ? bytes.length : newline + 1;
        let end = newline === -1 ? next : newline;
        if (end > start && bytes[end - 1] === RETURN) end -= 1;
        line += 1;
        if (end > start) take(start, end, read);
        start = next;
      }
      return read;
    },
  };
};

/** What is said of a line whose receipt id belongs to other content. */
export const CONFLICT = {
  code: 'id-taken',
  message: 'another receipt has this id already: give this one an id of its own',
} as const;

const draftOf = (strict: Strict, context: LineContext): Draft | LineRefusal => {
  if (!strict.ok) return strict.error;
  const read = receiptOfLine(strict, context);
  if ('code' in read) return read;
  const { receipt, schemaVersion } = read;
  const { id, actor } = receipt as { readonly id: string; readonly actor: string };
  const sending = { tenant: context.tenant, actor, at: context.at, key: id };
  const decision = receipts.decide({ type: 'RecordReceipt', receipt, schemaVersion }, undefined, sending);
  if (decision.kind === 'refused') {
    const { refusal, message } = decision.refusal;
    return { code: refusal === 'TenantMismatch' ? 'tenant-mismatch' : 'malformed-receipt', message };
  }
  // A line that is a receipt in canonical form is the payload already.
  const payload = receipt === strict.value ? strict.canonical : canonicalize(receipt as JsonValue);
  return draftsOf(decision.events, sending, { payload })[0] as Draft;
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
  /** The facts' hashes, 32 bytes each: the leaves of this tenant's share of the commit batch. */
  readonly digests: Uint8Array<ArrayBuffer>;
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
  /** Facts at most. */
  readonly most: number;
  /** Bytes that the rows will take, roughly. */
  readonly rowBytes: number;
}

export interface ChunkSealer {
  /** Puts the drafts behind what was sealed before; those with a 1 in `skip` are left out. */
  add(read: Pick<ReadLines, 'drafts' | 'digests'>, skip?: Uint8Array): void;
  end(): SealedChunk;
}

/** Seals one chunk. Changes `models` to the rows as they are afterwards. */
export const chunkSealer = (options: SealOptions): ChunkSealer => {
  const { tenant, tenantNo, batchNo, before, most, rowBytes } = options;
  const writer = binaryWriter(Math.max(4_096, rowBytes));
  const hashes = Buffer.from(new ArrayBuffer(most * 32));
  const recordedAt = Math.max(options.at, before.recordedAt) as Instant;
  const inline = inlineFold(tenant, options.models);
  let tip: ChainPosition = before;
  let count = 0;
  return {
    add: ({ drafts, digests }, skip) => {
      const facts: Recorded[] = [];
      for (let index = 0; index < drafts.length; index += 1) {
        if (skip?.[index]) continue;
        const link = { tenant, seq: (tip.seq + 1) as Seq, prevHash: tip.hash, recordedAt };
        const fact = seal(drafts[index] as Draft, link, digests[index]);
        writeCopyRow(writer, { tenantNo, fact }, batchNo);
        hashes.write(fact.hash, count * 32, 32, 'hex');
        count += 1;
        facts.push(fact);
        tip = fact;
      }
      inline.add(facts);
    },
    end: () => ({
      batchNo,
      rows: writer.take(),
      count,
      before,
      after: { seq: tip.seq, hash: tip.hash, recordedAt: tip.recordedAt },
      digests: hashes.subarray(0, count * 32),
      ...inline.end(),
    }),
  };
};

/** The folds of one chunk, fed in slices so that few facts are alive at any time. */
const inlineFold = (tenant: TenantId, models: readonly InlineModel[]) => {
  const poisoned: string[] = [];
  const folds = models.map(({ projector, rows }) => ({
    projector,
    rows,
    upserts: new Map<string, Row>(),
    copies: projector.insertOnly ? { writer: binaryWriter(1 << 20), write: rowWriter(projector) } : undefined,
  }));
  const fold = (
    facts: readonly Fact[],
    { projector, rows, upserts, copies }: (typeof folds)[number],
  ): void => {
    const { changes, poison } = foldBatch(
      projector,
      facts.filter((fact) => projector.handles.includes(fact.type)),
      rows,
    );
    // A read model that takes rows away is rare: the live runner does it.
    if (poison || changes.deletes.length > 0) poisoned.push(projector.name);
    for (const [key, row] of changes.upserts) {
      rows.set(key, row);
      upserts.set(key, row);
    }
    for (const row of changes.inserts) copies?.write(copies.writer, tenant, row);
  };
  return {
    add: (recorded: readonly Recorded[]): void => {
      if (folds.length === 0 || recorded.length === 0) return;
      const facts = recorded.map((fact) => decodeFact(fact) as Fact);
      for (const each of folds) if (!poisoned.includes(each.projector.name)) fold(facts, each);
    },
    end: () => ({
      poisoned,
      inline: folds.flatMap(({ projector, upserts, copies }): InlineChanges[] =>
        poisoned.includes(projector.name)
          ? []
          : [
              {
                name: projector.name,
                changes: { inserts: [], upserts, deletes: [] },
                copyRows: copies?.writer.take(),
              },
            ],
      ),
    }),
  };
};
