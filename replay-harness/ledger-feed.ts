// A live ledger as a feed: all tenants, or some, up to the heads as they were when the replay began.
import { type Seq, type StreamName, streamName, type TenantId } from '#schemas/ids.ts';
import { decodeLayout } from '#streams/postgres/batch-rows.ts';
import { type Pool, withClient } from '#streams/postgres/connect.ts';
import { readHeads, type StoredHead } from '#streams/postgres/reader.ts';
import type { FeedChunk, ReplayFeed, SkippedFacts, StoredRange, StoredSource } from './feed.ts';

export interface LedgerFeedOptions extends StoredSource {
  readonly pool: Pool;
  /** All unless told. */
  readonly tenants?: readonly TenantId[] | undefined;
  /** Facts to take, tenant by tenant, and on to the end of the commit batch then; all unless told. */
  readonly events?: number | undefined;
  /** The facts that a read model passes over, as decided in the tenant's chain; none unless told. */
  readonly skips?: ((projection: string, tenant: TenantId) => Promise<ReadonlySet<Seq>>) | undefined;
  /** Facts of one chunk, roughly; 2,000 unless told. */
  readonly chunkFacts?: number;
}

export const ledgerFeed = async (options: LedgerFeedOptions): Promise<ReplayFeed> => {
  const { pool, url, ledgerId, keys, tenants, events = Number.POSITIVE_INFINITY } = options;
  // One statement: all heads as of one moment.
  const all = await withClient(pool, (client) => readHeads(client, tenants));
  let left = events;
  const heads: StoredHead[] = [];
  for (const head of all) {
    const seq = Math.min(head.seq, left) as Seq;
    left -= seq;
    if (seq > 0)
      heads.push(seq < head.seq ? { ...head, seq: (await endOfShare(pool, head, seq)) as Seq } : head);
  }
  return {
    kind: 'ledger',
    name: ledgerId,
    stored: { url, ledgerId, keys },
    chunks: (from) => chunks(options, heads, Number(from?.['done'] ?? 0)),
    skips: (projections) => skippedFacts(options, heads, projections),
  };
};

/** Asked for only where a tenant's chain speaks of the read model at all. */
const skippedFacts = async (
  { pool, skips }: LedgerFeedOptions,
  heads: readonly StoredHead[],
  projections: readonly string[],
): Promise<readonly SkippedFacts[]> => {
  if (!skips) return [];
  const streams = projections.map((projection) => streamName('projections', projection));
  const { rows } = await pool.query<{ tenant_no: number; stream: StreamName }>(
    `SELECT t.tenant_no, s.stream FROM unnest($1::bigint[]) AS t (tenant_no), unnest($2::text[]) AS s (stream)
     WHERE EXISTS (SELECT FROM ledger.facts f WHERE f.tenant_no = t.tenant_no AND f.stream = s.stream)`,
    [heads.map(({ tenantNo }) => tenantNo), streams],
  );
  const tenants = new Map(heads.map(({ tenantNo, tenant }) => [tenantNo, tenant]));
  const found: SkippedFacts[] = [];
  for (const { tenant_no: tenantNo, stream } of rows) {
    const projection = projections[streams.indexOf(stream)] as string;
    const tenant = tenants.get(tenantNo) as TenantId;
    const seqs = await skips(projection, tenant);
    if (seqs.size > 0) found.push({ projection, tenant, seqs });
  }
  return found;
};

const chunks = async function* (
  { pool, chunkFacts = 2_000 }: LedgerFeedOptions,
  heads: readonly StoredHead[],
  skip: number,
): AsyncGenerator<FeedChunk> {
  const total = heads.reduce((sum, { seq }) => sum + seq, 0);
  let ranges: StoredRange[] = [];
  let gathered = 0;
  let done = 0;
  const chunk = (): FeedChunk => {
    const made = { task: { kind: 'stored', ranges } as const, cursor: { done }, share: done / total };
    ranges = [];
    gathered = 0;
    return made;
  };
  for (const head of heads) {
    const { tenant, tenantNo, seq: last } = head;
    for (let from = 1; from <= last; ) {
      const to = (await endOfShare(
        pool,
        head,
        Math.min(last, from + chunkFacts - gathered - 1) as Seq,
      )) as Seq;
      done += to - from + 1;
      // Cut at the same places as before: where the earlier replay stopped is an end of one.
      if (done > skip) {
        ranges.push({ tenant, tenantNo, from: from as Seq, to });
        gathered += to - from + 1;
      }
      from = to + 1;
      if (gathered >= chunkFacts) yield chunk();
    }
  }
  if (ranges.length > 0) yield chunk();
};

/** Where the commit batch ends that holds a fact, so that no batch is cut; the head itself is always such an end. */
const endOfShare = async (pool: Pool, { tenantNo, seq: last }: StoredHead, at: Seq): Promise<number> => {
  const { rows } = await pool.query<{ layout: Buffer }>({
    name: 'replayed_layout',
    text: 'SELECT b.layout FROM ledger.facts f JOIN ledger.batches b USING (batch_no) WHERE f.tenant_no = $1 AND f.seq = $2',
    values: [tenantNo, at],
  });
  const share =
    rows[0] &&
    decodeLayout(rows[0].layout).find(
      (each) => each.tenantNo === tenantNo && each.firstSeq + each.count > at,
    );
  return share ? Math.max(at, Math.min(share.firstSeq + share.count - 1, last)) : at;
};
