// The position of a snapshot: for each tenant the last fact that is in it. A place is one tenant's; a time says one for
// every tenant, since no tenant's recorded times go back.
import type { Checkpoint } from '#projectors/sink.ts';
import { type Instant, instantText, type Seq, type Sha256, type TenantId } from '#schemas/ids.ts';
import type { Pool } from '#streams/postgres/connect.ts';
import { type LedgerDatabases, onEach } from '#streams/postgres/databases.ts';
import { READABLE } from '#streams/postgres/reader.ts';

/** Where the facts are goes along: the database, and the tenant's number in its tables. */
export interface Place extends Checkpoint {
  readonly tenantNo: number;
  readonly source: Pool;
}

/** The heads of this moment; one fact; or whatever was recorded up to a time. */
export type Asked =
  | { readonly kind: 'now'; readonly tenant?: TenantId | undefined }
  | { readonly kind: 'seq'; readonly tenant: TenantId; readonly seq: Seq }
  | { readonly kind: 'time'; readonly time: Instant; readonly tenant?: TenantId | undefined };

export const askedText = (asked: Asked): string => {
  switch (asked.kind) {
    case 'now':
      return 'the heads';
    case 'seq':
      return `fact ${asked.seq} of ${asked.tenant}`;
    case 'time':
      return instantText(asked.time);
    default:
      return asked satisfies never;
  }
};

interface PlaceRow {
  readonly tenant: TenantId;
  readonly tenant_no: number;
  readonly seq: Seq;
  readonly hash: Sha256;
  readonly ms: Instant;
}

const COLUMNS = `h.tenant, h.tenant_no, f.seq, encode(f.hash, 'hex') AS hash, (extract(epoch FROM f.recorded_at) * 1000)::bigint AS ms`;

const AT_SEQ = `SELECT ${COLUMNS} FROM ledger.heads h JOIN ledger.facts f ON f.tenant_no = h.tenant_no
  WHERE f.seq = coalesce($2, h.seq) AND ${READABLE} AND ($1::text IS NULL OR h.tenant = $1)`;

// Halving by seq: a tenant of a million facts takes twenty looks at the primary key, and no index over time is needed.
const AT_TIME = `WITH RECURSIVE search AS (
    SELECT h.tenant_no, 0::bigint AS low, h.seq AS high FROM ledger.heads h
    WHERE ${READABLE} AND ($1::text IS NULL OR h.tenant = $1)
    UNION ALL
    SELECT s.tenant_no, CASE WHEN f.recorded_at <= $2 THEN f.seq ELSE s.low END, CASE WHEN f.recorded_at <= $2 THEN s.high ELSE f.seq - 1 END
    FROM search s JOIN ledger.facts f ON f.tenant_no = s.tenant_no AND f.seq = (s.low + s.high + 1) / 2 WHERE s.low < s.high)
  SELECT ${COLUMNS} FROM search s JOIN ledger.heads h USING (tenant_no) JOIN ledger.facts f ON f.tenant_no = s.tenant_no AND f.seq = s.low
  WHERE s.low = s.high`;

/** In the order of the tenants; those without a fact by then are not in it. Throws `StreamError`. */
export const positionOf = async ({ all }: LedgerDatabases, asked: Asked): Promise<readonly Place[]> => {
  const places = await onEach(all, async ({ pool: source }) => {
    const { rows } = await (asked.kind === 'time'
      ? source.query<PlaceRow>(AT_TIME, [asked.tenant ?? null, instantText(asked.time)])
      : source.query<PlaceRow>(AT_SEQ, [asked.tenant ?? null, asked.kind === 'seq' ? asked.seq : null]));
    return rows.map(({ tenant, tenant_no, seq, hash, ms }) => ({
      tenant,
      tenantNo: tenant_no,
      source,
      seq,
      hash,
      recordedAt: ms,
    }));
  });
  // One that moved between two of the questions was met twice.
  const byTenant = new Map(places.flat().map((place) => [place.tenant, place]));
  return [...byTenant.values()].sort((one, other) => (one.tenant < other.tenant ? -1 : 1));
};
