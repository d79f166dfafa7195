// Verification of a range of one tenant's stored chain: every fact's hash from its own bytes, every link, and for every
// commit batch that begins in the range its Merkle root and its signature. Reads pages ahead while it hashes.
import type { ChainFault, ChainPosition } from '#proofs/chain.ts';
import { type BatchStatement, statementBytes } from '#proofs/checkpoint.ts';
import { rootOfDigests } from '#proofs/digest-tree.ts';
import { type VerificationKey, verifySignatureAside } from '#proofs/keys/public-key.ts';
import type { Instant, Seq, Sha256, TenantId } from '#schemas/ids.ts';
import { type BatchShare, decodeLayout } from '../batch-rows.ts';
import { type Pool, withClient } from '../connect.ts';
import { type RawRows, readPage, readRawPage } from '../reader.ts';
import { BATCH_COLUMNS, type StoredBatchRow, statementOfRow } from '../stored-batch.ts';
import { type RowCheck, rowCheck } from './row-check.ts';
import { batchNoOf, seqOf } from './row-layout.ts';

export type StoredFault =
  | ChainFault
  /** A fact below the head is not there. */
  | 'no-such-fact'
  /** No batch record covers the fact. */
  | 'unsigned'
  /** The batch names a key that is not among those given. */
  | 'unknown-key'
  /** The facts are not those under the root that the batch holds. */
  | 'not-included'
  | 'bad-signature';

export interface RangeRequest {
  readonly pool: Pool;
  readonly ledgerId: string;
  readonly tenant: TenantId;
  readonly tenantNo: number;
  /** The first and the last seq; `from` is where a commit batch begins. */
  readonly from: Seq;
  readonly to: Seq;
  /** By kid. */
  readonly keys: ReadonlyMap<string, VerificationKey>;
  readonly onProgress: (facts: number) => void;
  readonly signal: AbortSignal;
}

export interface RangeResult {
  readonly facts: number;
  readonly batches: number;
  /** The place before the first fact, as that fact names it. */
  readonly before: ChainPosition;
  /** The last sound place. */
  readonly after: ChainPosition;
  readonly fault?: { readonly seq: Seq; readonly code: StoredFault };
}

const PAGE = 5_000;

interface OpenShare {
  readonly batchNo: number;
  readonly firstSeq: Seq;
  count: number;
  /** The facts' hashes, 32 bytes each. */
  digests: Uint8Array;
}

interface Walk extends RangeRequest {
  readonly before: ChainPosition;
  readonly rows: RowCheck;
  batches: number;
  known: ReadonlyMap<number, StoredBatchRow>;
  open: OpenShare | undefined;
  /** Signatures under way on the thread pool. */
  readonly checks: Promise<RangeResult['fault']>[];
}

export const verifyRange = async (request: RangeRequest): Promise<RangeResult> => {
  const before = await placeBefore(request);
  const rows = rowCheck(request.tenant, before);
  const walk: Walk = { ...request, before, rows, batches: 0, known: new Map(), open: undefined, checks: [] };
  const fault = (await walkPages(walk)) ?? closeShare(walk) ?? (await firstFault(walk));
  const after = rows.position();
  const result = { facts: after.seq - before.seq, batches: walk.batches, before, after };
  return fault ? { ...result, fault } : result;
};

const placeBefore = async ({ pool, tenant, tenantNo, from }: RangeRequest): Promise<ChainPosition> => {
  const start: ChainPosition = {
    seq: 0 as Seq,
    hash: '0'.repeat(64) as Sha256,
    recordedAt: Number.MIN_SAFE_INTEGER as Instant,
  };
  if (from === 1) return start;
  const seq = (from - 1) as Seq;
  const [stored] = await withClient(pool, (client) =>
    readPage(client, { head: { tenant, tenantNo }, from: seq, to: seq }),
  );
  return stored ? stored.fact : { ...start, seq };
};

const walkPages = async (walk: Walk): Promise<RangeResult['fault']> => {
  const { pool, tenant, tenantNo, to, rows } = walk;
  const read = (from: number): Promise<readonly RawRows[]> =>
    withClient(pool, (client) =>
      readRawPage(client, {
        head: { tenant, tenantNo },
        from: from as Seq,
        to: Math.min(to, from + PAGE - 1) as Seq,
      }),
    );
  let next: Promise<readonly RawRows[]> | undefined = read(walk.from);
  for (let from: number = walk.from; next && !walk.signal.aborted; from += PAGE) {
    const page: readonly RawRows[] = await next;
    next = from + PAGE <= to ? read(from + PAGE) : undefined;
    // Awaited in the next round, or never when a fault ends the walk.
    next?.catch(() => undefined);
    walk.known = await batchRows(walk, page);
    const fault = walkPage(walk, page) ?? (await firstFault(walk));
    if (fault) return fault;
    const { seq } = rows.position();
    if (seq < Math.min(to, from + PAGE - 1)) return { seq: (seq + 1) as Seq, code: 'no-such-fact' };
    walk.onProgress(seq - from + 1);
  }
  return undefined;
};

const walkPage = (walk: Walk, page: readonly RawRows[]): RangeResult['fault'] => {
  for (const { bytes, rows } of page) {
    walk.rows.take({ bytes, rows });
    for (const at of rows) {
      const code = walk.rows.next();
      if (code) return { seq: seqOf(bytes, at), code };
      const fault = joinShare(walk, batchNoOf(bytes, at), seqOf(bytes, at));
      if (fault) return fault;
    }
  }
  return undefined;
};

/** The batches of a page's facts, together with the one that the page before left open. */
const batchRows = async (
  { pool, known, open }: Walk,
  page: readonly RawRows[],
): Promise<ReadonlyMap<number, StoredBatchRow>> => {
  const wanted = new Set<number>();
  for (const { bytes, rows } of page) for (const at of rows) wanted.add(batchNoOf(bytes, at));
  if (open) wanted.add(open.batchNo);
  const { rows } = await pool.query<StoredBatchRow>({
    name: 'batches_of',
    text: `SELECT ${BATCH_COLUMNS} FROM ledger.batches b WHERE b.batch_no = ANY ($1::bigint[])`,
    values: [[...wanted].filter((batchNo) => !known.has(batchNo))],
  });
  const now = new Map(rows.map((row) => [row.batch_no, row]));
  for (const [batchNo, row] of known) if (wanted.has(batchNo)) now.set(batchNo, row);
  return now;
};

const joinShare = (walk: Walk, batchNo: number, seq: Seq): RangeResult['fault'] => {
  if (!walk.known.has(batchNo)) return { seq, code: 'unsigned' };
  if (walk.open?.batchNo !== batchNo) {
    const fault = closeShare(walk);
    if (fault) return fault;
    walk.open = { batchNo, firstSeq: seq, count: 0, digests: new Uint8Array(FIRST_DIGESTS * 32) };
  }
  const { open } = walk;
  const at = open.count * 32;
  if (at === open.digests.length) {
    const longer = new Uint8Array(at * 4);
    longer.set(open.digests);
    open.digests = longer;
  }
  for (let index = 0; index < 32; index += 1) open.digests[at + index] = walk.rows.hash[index] as number;
  open.count += 1;
  return undefined;
};

const FIRST_DIGESTS = 16;

/** All facts of the open share have been read: their root must be the one in the batch, and the batch's be signed. */
const closeShare = (walk: Walk): RangeResult['fault'] => {
  const { open } = walk;
  if (!open) return undefined;
  walk.open = undefined;
  walk.batches += 1;
  const batch = walk.known.get(open.batchNo);
  if (!batch) return { seq: open.firstSeq, code: 'unsigned' };
  const shares = decodeLayout(batch.layout);
  const mine = shares.find((share) => share.tenantNo === walk.tenantNo && share.firstSeq === open.firstSeq);
  if (!isShare(mine, open)) return { seq: open.firstSeq, code: 'not-included' };
  const statement = statementOfRow(walk.ledgerId, batch);
  if (!statement) return { seq: open.firstSeq, code: 'not-included' };
  walk.checks.push(signatureFault(walk, { statement, batch, seq: open.firstSeq }));
  return undefined;
};

const isShare = (share: BatchShare | undefined, { count, digests }: OpenShare): boolean =>
  share !== undefined &&
  share.count === count &&
  share.root === rootOfDigests(digests.subarray(0, count * 32));

interface Signed {
  readonly statement: BatchStatement;
  readonly batch: StoredBatchRow;
  readonly seq: Seq;
}

const signatureFault = async (
  { keys }: Walk,
  { statement, batch, seq }: Signed,
): Promise<RangeResult['fault']> => {
  const key = keys.get(batch.kid);
  if (!key) return { seq, code: 'unknown-key' };
  if (batch.root.toString('hex') !== statement.root) return { seq, code: 'not-included' };
  return (await verifySignatureAside(key, statementBytes(statement), batch.signature))
    ? undefined
    : { seq, code: 'bad-signature' };
};

const firstFault = async (walk: Walk): Promise<RangeResult['fault']> => {
  const faults = await Promise.all(walk.checks.splice(0));
  return faults.find((fault) => fault !== undefined);
};
