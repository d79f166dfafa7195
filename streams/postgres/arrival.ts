// Facts from elsewhere into this database. A tenant that arrives takes no appends (migration 0004), and readers see it
// once the arrival has ended: whatever is killed in between leaves a tenant that the same command brings further, and that
// nobody else can append to.
import { CHAIN_START } from '#proofs/chain.ts';
import { rootOfDigests } from '#proofs/digest-tree.ts';
import type { Instant, Seq, Sha256, TenantId } from '#schemas/ids.ts';
import { type CarriedShare, CarryError, type ShareTaker } from '#streams/carry.ts';
import { type BatchNumbers, type BatchShare, batchNumbers, encodeLayout, FACTS } from './batch-rows.ts';
import { binaryWriter } from './binary.ts';
import { type Client, type Pool, sqlState, streamError, transaction, withClient } from './connect.ts';
import { copyIn } from './copy.ts';
import { lockHeads, readHeads, type StoredHead } from './reader.ts';
import { writeCopyRow } from './rows.ts';
import { encodeWay } from './stored-batch.ts';

/** Of the runtime role, or of the owner; the ledger's id as it stands in the database. */
export const postgresShareTaker = (pool: Pool, ledgerId: string): ShareTaker => {
  const numbers = batchNumbers();
  return {
    ledgerId,
    position: async (tenant) => {
      const head = await asking(pool, (client) => arrivingHead(client, tenant));
      return head && head.seq > 0 ? head : CHAIN_START;
    },
    hashes: async (tenant, { from, to }) =>
      await asking(pool, async (client) => {
        const { rows } = await client.query<{ hash: Sha256 }>({
          name: 'taken_hashes',
          text: `SELECT encode(f.hash, 'hex') AS hash FROM ledger.heads h JOIN ledger.facts f USING (tenant_no)
            WHERE h.tenant = $1 AND f.seq BETWEEN $2 AND $3 ORDER BY f.seq`,
          values: [tenant, from, to],
        });
        return rows.map(({ hash }) => hash);
      }),
    take: async (tenant, shares) => {
      try {
        await transaction(pool, (client) => store(client, numbers, { tenant, shares }));
      } catch (error) {
        if (error instanceof CarryError) throw error;
        if (sqlState(error) === '23505') throw overtaken(tenant);
        throw streamError(error);
      }
    },
  };
};

const asking = async <T>(pool: Pool, ask: (client: Client) => Promise<T>): Promise<T> => {
  try {
    return await withClient(pool, ask);
  } catch (error) {
    throw streamError(error);
  }
};

const arrivingHead = async (client: Client, tenant: TenantId): Promise<StoredHead | undefined> =>
  (await readHeads(client, [tenant]))[0];

const overtaken = (tenant: TenantId): CarryError =>
  new CarryError(
    'overtaken',
    `${tenant}: another program has brought its facts meanwhile, or ended that; run the command again`,
  );

interface Arriving {
  readonly tenant: TenantId;
  readonly shares: readonly CarriedShare[];
}

const store = async (client: Client, numbers: BatchNumbers, { tenant, shares }: Arriving): Promise<void> => {
  await client.query(
    `INSERT INTO ledger.heads (tenant, seq, hash, recorded_at, standing)
     VALUES ($1, 0, decode(repeat('00', 32), 'hex'), 'epoch', 'arriving') ON CONFLICT (tenant) DO NOTHING`,
    [tenant],
  );
  const [head] = await lockHeads(client, [tenant]);
  const first = shares[0]?.facts[0]?.fact;
  const last = shares.at(-1)?.facts.at(-1)?.fact;
  if (!head || !first || !last) return;
  if (head.standing !== 'arriving' || first.seq !== head.seq + 1 || first.prevHash !== head.hash)
    throw overtaken(tenant);
  const facts = binaryWriter(shares.length * 1_024);
  const batches: BatchRows = {
    numbers: [],
    kids: [],
    times: [],
    roots: [],
    signatures: [],
    layouts: [],
    ways: [],
  };
  for (const carried of shares) {
    const batchNo = await numbers.next(client);
    for (const { fact, requestHash } of carried.facts)
      writeCopyRow(facts, { tenantNo: head.tenantNo, fact, requestHash }, batchNo);
    putBatch(batches, { batchNo, tenantNo: head.tenantNo, carried });
  }
  await copyIn(client, { target: FACTS, rows: facts.take() });
  await client.query(
    `INSERT INTO ledger.batches (batch_no, kid, signed_at, root, signature, layout, way)
     SELECT no, kid, to_timestamp(ms / 1000.0), root, signature, layout, way
     FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bytea[])
       AS b (no, kid, ms, root, signature, layout, way)`,
    Object.values(batches),
  );
  await client.query(
    'UPDATE ledger.heads SET seq = $2, hash = $3, recorded_at = to_timestamp($4 / 1000.0) WHERE tenant_no = $1',
    [head.tenantNo, last.seq, Buffer.from(last.hash, 'hex'), last.recordedAt],
  );
};

interface BatchRows {
  readonly numbers: number[];
  readonly kids: string[];
  readonly times: Instant[];
  readonly roots: Buffer[];
  readonly signatures: Buffer[];
  readonly layouts: Buffer[];
  readonly ways: Buffer[];
}

interface BatchToPut {
  readonly batchNo: number;
  readonly tenantNo: number;
  readonly carried: CarriedShare;
}

const putBatch = (rows: BatchRows, { batchNo, tenantNo, carried }: BatchToPut): void => {
  const { share, facts } = carried;
  const { proof, first, count } = share;
  const digests = Buffer.from(facts.map(({ fact }) => fact.hash).join(''), 'hex');
  const own: BatchShare = { tenantNo, firstSeq: first, count, root: rootOfDigests(digests) as Sha256 };
  rows.numbers.push(batchNo);
  rows.kids.push(proof.kid);
  rows.times.push(proof.signedAt);
  rows.roots.push(Buffer.from(proof.root, 'hex'));
  rows.signatures.push(Buffer.from(proof.signature, 'base64url'));
  rows.layouts.push(encodeLayout([own]));
  rows.ways.push(encodeWay(proof));
};

/** A whole ledger on its way into this database. */
export interface Arrival {
  /** This database was begun with by an earlier run from the same source. */
  readonly resumed: boolean;
  /** Every tenant that came is here from now on, all at once. */
  readonly end: () => Promise<void>;
}

export interface ArrivalRequest {
  /** Names the source for whoever runs the command again. */
  readonly source: string;
  readonly ledgerId: string;
}

/**
 * Makes the database the ledger's: it must hold no facts, unless it is the half of an earlier run from the same source.
 * `pool`: of the owner. Throws `CarryError` `not-empty`, `StreamError`.
 */
export const beginArrival = async (pool: Pool, { source, ledgerId }: ArrivalRequest): Promise<Arrival> => {
  const resumed = await begin(pool, source, ledgerId).catch((error: unknown) => {
    throw error instanceof CarryError ? error : streamError(error);
  });
  return {
    resumed,
    end: async () => {
      try {
        await transaction(pool, async (client) => {
          await client.query("UPDATE ledger.heads SET standing = 'here' WHERE standing = 'arriving'");
          await client.query('UPDATE ledger.arrivals SET ended_at = now() WHERE ended_at IS NULL');
          await client.query("SELECT pg_notify('ledger_facts', '')");
        });
        await pool.query('ANALYZE ledger.facts, ledger.batches, ledger.heads');
      } catch (error) {
        throw streamError(error);
      }
    },
  };
};

const begin = (pool: Pool, source: string, ledgerId: string): Promise<boolean> =>
  transaction(pool, async (client) => {
    await client.query('LOCK TABLE ledger.arrivals, ledger.heads IN SHARE ROW EXCLUSIVE MODE');
    const { rows } = await client.query<{ source: string; id: string }>(
      'SELECT a.source, i.id FROM ledger.arrivals a, ledger.identity i WHERE a.ended_at IS NULL',
    );
    const [earlier] = rows;
    if (earlier?.source === source && earlier.id === ledgerId) return true;
    if (earlier)
      throw new CarryError(
        'not-empty',
        `the database holds a half of the ledger ${earlier.id} from ${earlier.source}: go on with that, or restore into an empty database`,
      );
    const { rows: counted } = await client.query<{ tenants: Seq }>(
      'SELECT count(*) AS tenants FROM ledger.heads',
    );
    const tenants = counted[0]?.tenants ?? 0;
    if (tenants > 0)
      throw new CarryError(
        'not-empty',
        `the database has a ledger already, with ${tenants} tenants: restore into an empty database (another PROV_LEDGER_DATA_DIR, or a DATABASE_URL of a new one)`,
      );
    await client.query('INSERT INTO ledger.arrivals (source) VALUES ($1)', [source]);
    await setIdentity(client, ledgerId);
    return false;
  });

const setIdentity = async (client: Client, ledgerId: string): Promise<void> => {
  await client.query('ALTER TABLE ledger.identity DISABLE TRIGGER USER');
  await client.query('UPDATE ledger.identity SET id = $1', [ledgerId]);
  await client.query('ALTER TABLE ledger.identity ENABLE TRIGGER USER');
};

/**
 * Makes an empty database another store of the ledger; one that is that already stays as it is. `pool`: of the owner.
 * Throws `CarryError` `not-empty`, `StreamError`.
 */
export const joinLedger = async (pool: Pool, ledgerId: string): Promise<void> => {
  try {
    await transaction(pool, async (client) => {
      await client.query('LOCK TABLE ledger.heads IN SHARE ROW EXCLUSIVE MODE');
      const { rows } = await client.query<{ id: string; tenants: number }>(
        'SELECT id, (SELECT count(*) FROM ledger.heads) AS tenants FROM ledger.identity',
      );
      if (rows[0]?.id === ledgerId) return;
      if ((rows[0]?.tenants ?? 0) > 0)
        throw new CarryError(
          'not-empty',
          `a database of PROV_LEDGER_SHARDS holds the ledger ${rows[0]?.id}, and this is ${ledgerId}: name an empty one`,
        );
      await setIdentity(client, ledgerId);
    });
  } catch (error) {
    throw error instanceof CarryError ? error : streamError(error);
  }
};
