// Reads from the ledger's tables, all by binary COPY. Values put into query text are whole numbers, checked UUIDs or
// quoted literals. Facts never change and have no holes, so pages read one after the other are one consistent range.
import { GENESIS_HASH } from '#proofs/chain.ts';
import type { FactId, Instant, Seq, Sha256, StreamName, StreamRevision, TenantId } from '#schemas/ids.ts';
import { StreamError } from '#streams/errors.ts';
import type { Head } from '#streams/stream.ts';
import type { Client, Queryable } from './connect.ts';
import { copyOut } from './copy.ts';
import { READ_COLUMNS, readCopyRow, type StoredFact } from './rows.ts';

/** A head as the adapter knows it: with the number that stands for the tenant in every row. */
export interface StoredHead extends Head {
  readonly tenantNo: number;
  readonly standing: Standing;
}

/** Where a tenant stands in this database: migration 0004. */
export type Standing = 'here' | 'leaving' | 'arriving' | 'gone';

interface HeadRow {
  readonly tenant_no: number;
  readonly tenant: TenantId;
  readonly seq: Seq;
  readonly hash: Sha256;
  readonly ms: number;
  readonly standing: Standing;
}

/** The head without the number, which no one outside the adapter sees. */
export const publicHead = ({ tenant, seq, hash, recordedAt }: StoredHead): Head => ({
  tenant,
  seq,
  hash,
  recordedAt,
});

const HEAD_COLUMNS = `h.tenant_no, h.tenant, h.seq, encode(h.hash, 'hex') AS hash, (extract(epoch FROM h.recorded_at) * 1000)::bigint AS ms, h.standing`;

const storedHead = (row: HeadRow): StoredHead => ({
  tenantNo: row.tenant_no,
  tenant: row.tenant,
  seq: row.seq,
  hash: row.hash,
  recordedAt: row.ms as Instant,
  standing: row.standing,
});

/** Whether its facts are read here: of one that arrives some are missing, and one that is gone is another store's. */
export const isReadable = ({ seq, standing }: Pick<StoredHead, 'seq' | 'standing'>): boolean =>
  seq > 0 && (standing === 'here' || standing === 'leaving');

/** The same of `ledger.heads h`. */
export const READABLE = "h.seq > 0 AND h.standing IN ('here', 'leaving')";

/** Of those tenants, wherever they stand; without a list of all that are read here. */
export const readHeads = async (
  client: Queryable,
  tenants?: readonly TenantId[],
): Promise<readonly StoredHead[]> => {
  const where = tenants ? 'WHERE h.tenant = ANY ($1)' : `WHERE ${READABLE}`;
  const { rows } = await client.query<HeadRow>({
    name: tenants ? 'heads_of' : 'heads',
    text: `SELECT ${HEAD_COLUMNS} FROM ledger.heads h ${where} ORDER BY h.tenant`,
    values: tenants ? [tenants] : [],
  });
  return rows.map(storedHead);
};

/** Takes the heads' row locks, in the order of their numbers, until the transaction ends. */
export const lockHeads = async (
  client: Queryable,
  tenants: readonly TenantId[],
): Promise<readonly StoredHead[]> => {
  const { rows } = await client.query<HeadRow>(
    `SELECT ${HEAD_COLUMNS} FROM ledger.heads h WHERE h.tenant = ANY ($1) ORDER BY h.tenant_no FOR NO KEY UPDATE`,
    [tenants],
  );
  return rows.map(storedHead);
};

export interface StreamKey {
  readonly tenant: TenantId;
  readonly stream: StreamName;
}

/** The heads of the tenants and the revisions of the streams, all as of one moment. */
export const readRevisions = async (
  client: Queryable,
  keys: readonly StreamKey[],
): Promise<{
  readonly heads: readonly StoredHead[];
  readonly revisions: ReadonlyMap<string, StreamRevision>;
}> => {
  const { rows } = await client.query<
    HeadRow & { readonly stream: StreamName; readonly revision: StreamRevision }
  >({
    name: 'revisions',
    text: `SELECT ${HEAD_COLUMNS}, k.stream,
      coalesce((SELECT max(f.seq) FROM ledger.facts f WHERE f.tenant_no = h.tenant_no AND f.stream = k.stream), 0) AS revision
      FROM unnest($1::text[], $2::text[]) AS k (tenant, stream) JOIN ledger.heads h USING (tenant)`,
    values: [keys.map((key) => key.tenant), keys.map((key) => key.stream)],
  });
  return {
    heads: rows.map(storedHead),
    revisions: new Map(rows.map((row) => [revisionKey(row), row.revision])),
  };
};

/** A tenant's name holds no space, so the pair is unambiguous. */
export const revisionKey = ({ tenant, stream }: StreamKey): string => `${tenant} ${stream}`;

export interface PageRequest {
  readonly head: Pick<StoredHead, 'tenant' | 'tenantNo'>;
  readonly from: Seq;
  readonly to: Seq;
  /** The hash of the fact before `from`, when the caller knows it. */
  readonly prevHash?: Sha256 | undefined;
}

/** The facts from `from` to `to`, both included, in seq order. */
export const readPage = async (
  client: Client,
  { head, from, to, prevHash }: PageRequest,
): Promise<readonly StoredFact[]> => {
  const known = from === 1 ? GENESIS_HASH : prevHash;
  const first = known === undefined ? from - 1 : from;
  const query = pageQuery(head, first, to);
  const page: StoredFact[] = [];
  let before = known ?? GENESIS_HASH;
  for await (const { bytes, rows } of copyOut(client, query)) {
    for (const at of rows) {
      const stored = readCopyRow(bytes, at, head.tenant, before);
      before = stored.fact.hash;
      if (stored.fact.seq >= from) page.push(stored);
    }
  }
  return page;
};

/** Rows as they came out of COPY: where in `bytes` the first column of each begins. */
export interface RawRows {
  readonly bytes: Buffer;
  readonly rows: readonly number[];
}

/** The rows of the facts from `from` to `to`, READ_COLUMNS each, in seq order and undecoded. */
export const readRawPage = async (
  client: Client,
  { head, from, to }: Omit<PageRequest, 'prevHash'>,
): Promise<readonly RawRows[]> => {
  const chunks: RawRows[] = [];
  for await (const chunk of copyOut(client, pageQuery(head, from, to))) chunks.push(chunk);
  return chunks;
};

const pageQuery = ({ tenantNo }: PageRequest['head'], from: number, to: number): string =>
  `SELECT ${READ_COLUMNS} FROM ledger.facts f WHERE f.tenant_no = ${tenantNo} AND f.seq BETWEEN ${from} AND ${to} ORDER BY f.seq`;

/** `readPage`, and all of them: below a head no place is empty. Throws `corrupt`. */
export const readWholePage = async (client: Client, request: PageRequest): Promise<readonly StoredFact[]> => {
  const page = await readPage(client, request);
  const { head, from, to } = request;
  if (page.length === to - from + 1) return page;
  throw new StreamError(
    'corrupt',
    `${head.tenant}/${from} to ${to}: facts below the head are missing; restore from an export or a replica`,
  );
};

const withPredecessor = async (
  client: Client,
  tenant: TenantId,
  where: string,
): Promise<readonly StoredFact[]> => {
  const query = `SELECT ${READ_COLUMNS}, p.hash FROM ledger.facts f
    LEFT JOIN ledger.facts p ON p.tenant_no = f.tenant_no AND p.seq = f.seq - 1 WHERE ${where} ORDER BY f.seq`;
  const found: StoredFact[] = [];
  for await (const { bytes, rows } of copyOut(client, query)) {
    for (const at of rows) {
      const { end, fact, ...rest } = readCopyRow(bytes, at, tenant, GENESIS_HASH);
      const first = bytes.readInt32BE(end) === -1;
      const prevHash = first ? GENESIS_HASH : (bytes.toString('hex', end + 4, end + 36) as Sha256);
      found.push({ ...rest, end, fact: { ...fact, prevHash } });
    }
  }
  return found;
};

export const readStreamFacts = async (
  client: Client,
  head: StoredHead,
  stream: StreamName,
): Promise<readonly StoredFact[]> =>
  await withPredecessor(
    client,
    head.tenant,
    `f.tenant_no = ${head.tenantNo} AND f.stream = ${client.escapeLiteral(stream)}`,
  );

/** The facts that hold the given ids; ids nobody holds are left out. */
export const findFacts = async (
  client: Client,
  head: StoredHead,
  ids: readonly FactId[],
): Promise<readonly StoredFact[]> => {
  if (ids.length === 0) return [];
  const list = ids.map((id) => `'${id}'`).join(', ');
  return await withPredecessor(
    client,
    head.tenant,
    `f.tenant_no = ${head.tenantNo} AND f.id = ANY (ARRAY[${list}]::uuid[])`,
  );
};
