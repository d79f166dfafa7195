// Positions and states in PostgreSQL. A step is one transaction that begins with the position, moved by compare-and-swap:
// of two processes that took the same facts, one keeps what it found, and the other looks again.
import type { Instant, Seq, Sha256, TenantId } from '#schemas/ids.ts';
import { instantText } from '#schemas/ids.ts';
import { type Client, type Pool, streamError, transaction } from '#streams/postgres/connect.ts';
import { headsElsewhere, type LedgerDatabases } from '#streams/postgres/databases.ts';
import type { MigrationSet } from '#streams/postgres/migrate.ts';
import { READABLE } from '#streams/postgres/reader.ts';
import type { AnySaga } from '../saga.ts';
import type { SagaPosition, SagaShelf, SagaStep } from '../shelf.ts';

export const SAGA_MIGRATIONS: MigrationSet = {
  name: 'sagas',
  directory: new URL('./migrations/', import.meta.url),
};

/** On the home of the ledger. */
export const postgresSagaShelf = (databases: LedgerDatabases): SagaShelf =>
  shelfOn(databases.home.pool, databases);

const shelfOn = (pool: Pool, databases: LedgerDatabases): SagaShelf => ({
  install: (saga) => asked(() => install(databases, saga)),
  positions: (saga, tenant) => asked(() => positions(pool, saga, tenant)),
  states: ({ name, version }, tenant, keys) =>
    asked(async () => {
      const { rows } = await pool.query<{ key: string; state: string }>({
        name: 'sagas.states',
        text: 'SELECT key, state FROM sagas.states WHERE saga = $1 AND version = $2 AND tenant = $3 AND key = ANY ($4)',
        values: [name, version, tenant, keys],
      });
      return new Map(rows.map(({ key, state }) => [key, JSON.parse(state) as unknown]));
    }),
  save: (saga, step) =>
    asked(() =>
      transaction(pool, async (client) => {
        if (!(await move(client, saga, step))) return 'overtaken';
        await putStates(client, saga, step);
        return 'saved';
      }),
    ),
  resume: ({ name, version }, tenant) =>
    asked(async () => {
      const { rowCount } = await pool.query(
        `UPDATE sagas.positions SET parked_seq = NULL, parked_id = NULL, parked_message = NULL, parked_at = NULL, updated_at = now()
         WHERE saga = $1 AND version = $2 AND tenant = $3 AND parked_seq IS NOT NULL`,
        [name, version, tenant],
      );
      return rowCount === 1;
    }),
});

const asked = async <T>(ask: () => Promise<T>): Promise<T> => {
  try {
    return await ask();
  } catch (error) {
    throw streamError(error);
  }
};

const NO_HASH = `decode(repeat('00', 32), 'hex')`;

// The row of the installation is the lock: who makes it says from where on the saga speaks, once.
const install = async (databases: LedgerDatabases, { name, version }: AnySaga): Promise<void> => {
  const { pool } = databases.home;
  const known = await pool.query('SELECT FROM sagas.installations WHERE saga = $1 AND version = $2', [
    name,
    version,
  ]);
  if (known.rowCount === 1) return;
  const others = await headsElsewhere(databases);
  await transaction(pool, async (client) => {
    const { rowCount } = await client.query(
      'INSERT INTO sagas.installations (saga, version) VALUES ($1, $2) ON CONFLICT DO NOTHING',
      [name, version],
    );
    if (rowCount !== 1) return;
    await client.query(
      `INSERT INTO sagas.positions (saga, version, tenant, seq, hash, recorded_at, muted_to)
       SELECT $1, $2, h.tenant, 0, ${NO_HASH}, 'epoch', CASE WHEN b.version IS NULL THEN h.seq ELSE coalesce(p.seq, 0) END
       FROM (SELECT h.tenant, h.seq FROM ledger.heads h WHERE ${READABLE}
         UNION ALL SELECT * FROM unnest($3::text[], $4::bigint[])) h
       LEFT JOIN (SELECT max(version) AS version FROM sagas.installations WHERE saga = $1 AND version < $2) b ON true
       LEFT JOIN sagas.positions p ON p.saga = $1 AND p.version = b.version AND p.tenant = h.tenant
       ON CONFLICT DO NOTHING`,
      [name, version, others.map(({ tenant }) => tenant), others.map(({ seq }) => seq)],
    );
  });
};

interface PositionRow {
  readonly tenant: TenantId;
  readonly seq: Seq;
  readonly hash: Sha256;
  readonly ms: Instant;
  readonly muted_to: Seq;
  readonly parked_seq: Seq | null;
  readonly parked_id: string;
  readonly parked_message: string;
}

const positions = async (
  pool: Pool,
  { name, version }: AnySaga,
  tenant: TenantId | undefined,
): Promise<readonly SagaPosition[]> => {
  const { rows } = await pool.query<PositionRow>(
    `SELECT tenant, seq, encode(hash, 'hex') AS hash, (extract(epoch FROM recorded_at) * 1000)::bigint AS ms, muted_to, parked_seq, parked_id, parked_message
     FROM sagas.positions WHERE saga = $1 AND version = $2 AND ($3::text IS NULL OR tenant = $3) ORDER BY tenant`,
    [name, version, tenant ?? null],
  );
  return rows.map((row) => ({
    tenant: row.tenant,
    seq: row.seq,
    hash: row.hash,
    recordedAt: row.ms,
    mutedTo: row.muted_to,
    parked:
      row.parked_seq === null
        ? undefined
        : { seq: row.parked_seq, id: row.parked_id, message: row.parked_message },
  }));
};

const move = async (
  client: Client,
  { name, version }: AnySaga,
  { tenant, from, to, parked }: SagaStep,
): Promise<boolean> => {
  const { rowCount } = await client.query({
    name: 'sagas.move',
    text: `INSERT INTO sagas.positions AS p (saga, version, tenant, seq, hash, recorded_at, parked_seq, parked_id, parked_message, parked_at)
      SELECT $1, $2, $3, $6, $7, $8, $9, $10, $11, CASE WHEN $9::bigint IS NOT NULL THEN now() END
      WHERE $4 = 0 OR EXISTS (SELECT FROM sagas.positions WHERE saga = $1 AND version = $2 AND tenant = $3)
      ON CONFLICT (saga, version, tenant) DO UPDATE SET seq = excluded.seq, hash = excluded.hash, recorded_at = excluded.recorded_at,
        updated_at = now(), parked_seq = excluded.parked_seq, parked_id = excluded.parked_id,
        parked_message = excluded.parked_message, parked_at = excluded.parked_at
      WHERE p.seq = $4 AND p.hash = $5 AND p.parked_seq IS NULL`,
    values: [
      name,
      version,
      tenant,
      from.seq,
      Buffer.from(from.hash, 'hex'),
      to.seq,
      Buffer.from(to.hash, 'hex'),
      instantText(to.recordedAt),
      parked?.seq ?? null,
      parked?.id ?? null,
      parked?.message ?? null,
    ],
  });
  return rowCount === 1;
};

const putStates = async (
  client: Client,
  { name, version }: AnySaga,
  { tenant, to, states }: SagaStep,
): Promise<void> => {
  if (states.size === 0) return;
  await client.query({
    name: 'sagas.put',
    text: `INSERT INTO sagas.states (saga, version, tenant, key, state, last_seq)
      SELECT $1, $2, $3, g.key, g.state, $4 FROM unnest($5::text[], $6::text[]) AS g (key, state)
      ON CONFLICT (saga, version, tenant, key) DO UPDATE SET state = excluded.state, last_seq = excluded.last_seq`,
    values: [
      name,
      version,
      tenant,
      to.seq,
      [...states.keys()],
      [...states.values()].map((state) => JSON.stringify(state)),
    ],
  });
};
