// Verification of a range of one tenant's stored chain: every fact's hash from its own bytes, every link, and for every
// commit batch that begins in the range its Merkle root and its signature. Reads pages ahead while it hashes.
import { type ChainFault, type ChainPosition, linkFault } from '#proofs/chain.ts';
import { type BatchStatement, statementBytes, statementOf } from '#proofs/checkpoint.ts';
import { type VerificationKey, verifySignatureAside } from '#proofs/keys/public-key.ts';
import { rootOfDigests } from '#proofs/merkle.ts';
import type { Instant, Seq, Sha256, TenantId } from '#schemas/ids.ts';
import { type BatchShare, decodeLayout } from '../batch-rows.ts';
import { type Pool, withClient } from '../connect.ts';
import { readPage } from '../reader.ts';
import type { StoredFact } from '../rows.ts';

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
  readonly digests: Buffer[];
}

interface Walk extends RangeRequest {
  position: ChainPosition | undefined;
  before: ChainPosition;
  facts: number;
  batches: number;
  open: OpenShare | undefined;
  /** Signatures under way on the thread pool. */
  readonly checks: Promise<RangeResult['fault']>[];
}

export const verifyRange = async (request: RangeRequest): Promise<RangeResult> => {
  const walk: Walk = {
    ...request,
    position: undefined,
    before: await placeBefore(request),
    facts: 0,
    batches: 0,
    open: undefined,
    checks: [],
  };
  const fault = (await walkPages(walk)) ?? (await closeShare(walk)) ?? (await firstFault(walk));
  const result = {
    facts: walk.facts,
    batches: walk.batches,
    before: walk.before,
    after: walk.position ?? walk.before,
  };
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
  const { pool, tenant, tenantNo, to } = walk;
  const read = (from: number, prevHash: Sha256) =>
    withClient(pool, (client) =>
      readPage(client, {
        head: { tenant, tenantNo },
        from: from as Seq,
        to: Math.min(to, from + PAGE - 1) as Seq,
        prevHash,
      }),
    );
  let place = walk.before;
  let next: Promise<readonly StoredFact[]> | undefined = read(place.seq + 1, place.hash);
  while (next && !walk.signal.aborted) {
    const page: readonly StoredFact[] = await next;
    const last = page.at(-1)?.fact;
    if (!last) return { seq: (place.seq + 1) as Seq, code: 'no-such-fact' };
    next = last.seq < to ? read(last.seq + 1, last.hash) : undefined;
    // Awaited in the next round, or never when a fault ends the walk.
    next?.catch(() => undefined);
    const batches = await batchRows(walk, page);
    for (const stored of page) {
      const fault = linkFault(stored.fact, tenant, place) ?? (await joinShare(walk, stored, batches));
      if (fault) return { seq: stored.fact.seq, code: fault };
      place = stored.fact;
    }
    walk.position = { seq: place.seq, hash: place.hash, recordedAt: place.recordedAt };
    walk.facts += page.length;
    walk.onProgress(page.length);
  }
  return undefined;
};

interface BatchRow {
  readonly batch_no: number;
  readonly kid: string;
  readonly signed_ms: Instant;
  readonly root: Buffer;
  readonly signature: Buffer;
  readonly layout: Buffer;
}

const known = new WeakMap<Walk, Map<number, BatchRow>>();

/** The batches of a page's facts, together with the one that the page before left open. */
const batchRows = async (walk: Walk, page: readonly StoredFact[]): Promise<ReadonlyMap<number, BatchRow>> => {
  const before = known.get(walk) ?? new Map<number, BatchRow>();
  const wanted = new Set(page.map((stored) => stored.batchNo));
  const missing = [...wanted].filter((batchNo) => !before.has(batchNo));
  const { rows } = await walk.pool.query<BatchRow>({
    name: 'batches_of',
    text: `SELECT batch_no, kid, (extract(epoch FROM signed_at) * 1000)::bigint AS signed_ms, root, signature, layout
      FROM ledger.batches WHERE batch_no = ANY ($1::bigint[])`,
    values: [missing],
  });
  const now = new Map(rows.map((row) => [row.batch_no, row]));
  for (const [batchNo, row] of before)
    if (wanted.has(batchNo) || batchNo === walk.open?.batchNo) now.set(batchNo, row);
  known.set(walk, now);
  return now;
};

const joinShare = async (
  walk: Walk,
  { batchNo, fact }: StoredFact,
  batches: ReadonlyMap<number, BatchRow>,
): Promise<StoredFault | undefined> => {
  if (!batches.has(batchNo)) return 'unsigned';
  if (walk.open?.batchNo !== batchNo) {
    const fault = await closeShare(walk);
    if (fault) return fault.code;
    walk.open = { batchNo, firstSeq: fact.seq, digests: [] };
  }
  walk.open.digests.push(Buffer.from(fact.hash, 'hex'));
  return undefined;
};

/** All facts of the open share have been read: their root must be the one in the batch, and the batch's be signed. */
const closeShare = async (walk: Walk): Promise<RangeResult['fault']> => {
  const { open } = walk;
  if (!open) return undefined;
  walk.open = undefined;
  walk.batches += 1;
  const batch = known.get(walk)?.get(open.batchNo);
  if (!batch) return { seq: open.firstSeq, code: 'unsigned' };
  const shares = decodeLayout(batch.layout);
  const mine = shares.find((share) => share.tenantNo === walk.tenantNo && share.firstSeq === open.firstSeq);
  if (!isShare(mine, open)) return { seq: open.firstSeq, code: 'not-included' };
  const statement = statementOf({ ledgerId: walk.ledgerId, signedAt: batch.signed_ms }, shares);
  walk.checks.push(signatureFault(walk, { statement, batch, seq: open.firstSeq }));
  return walk.checks.length < MAX_CHECKS ? undefined : await firstFault(walk);
};

const MAX_CHECKS = 64;

const isShare = (share: BatchShare | undefined, { digests }: OpenShare): boolean =>
  share !== undefined &&
  share.count === digests.length &&
  share.root === rootOfDigests(Buffer.concat(digests));

interface Signed {
  readonly statement: BatchStatement;
  readonly batch: BatchRow;
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
