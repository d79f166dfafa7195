// Tenants shared among workers: by slots, each a 256th of all tenants, held by one worker that is alive. Who is alive and
// who holds what is settled in one short transaction after the other, by the database's clock. A worker with more than
// its part gives some up, one with less takes what nobody alive holds; whatever a step has its hands on is left for the
// next time, so that nobody waits here.
import { hash } from 'node:crypto';
import type { TenantId } from '#schemas/ids.ts';
import { StreamError } from '#streams/errors.ts';
import { type Client, type Pool, transaction } from '#streams/postgres/connect.ts';
import type { Fence } from '../sink.ts';

export const SLOTS = 256;

/** The first byte of the SHA-256 of the name. */
export const slotOf = (tenant: TenantId): number => Number.parseInt(hash('sha256', tenant).slice(0, 2), 16);

/** The epochs of the slots that a worker holds. */
export type HeldSlots = ReadonlyMap<number, number>;

export interface WorkerRef {
  readonly worker: string;
  /** How long it may be silent, in milliseconds. */
  readonly leaseMs: number;
}

// An arbitrary constant: workers settle their parts one by one.
const LOCK_KEY = 7_203_118;

/** Says that the worker is alive, and answers with what it holds from now on. Throws the driver's errors. */
export const settleSlots = (pool: Pool, { worker, leaseMs }: WorkerRef): Promise<HeldSlots> =>
  transaction(pool, async (client) => {
    await client.query('SELECT pg_advisory_xact_lock($1)', [LOCK_KEY]);
    await client.query('DELETE FROM projections.workers WHERE lease_until < now() AND worker <> $1', [
      worker,
    ]);
    await client.query(
      `INSERT INTO projections.workers (worker, lease_until) VALUES ($1, now() + $2 * interval '1 millisecond')
       ON CONFLICT (worker) DO UPDATE SET lease_until = excluded.lease_until`,
      [worker, leaseMs],
    );
    const { rows } = await client.query<{ workers: number; held: number }>(
      `SELECT (SELECT count(*) FROM projections.workers) AS workers, (SELECT count(*) FROM projections.slots WHERE worker = $1) AS held`,
      [worker],
    );
    const { workers = 1, held = 0 } = rows[0] ?? {};
    const part = Math.ceil(SLOTS / workers);
    if (held > part) await giveUp(client, worker, held - part);
    if (held < part) await take(client, worker, part - held);
    return await heldBy(client, worker);
  });

const giveUp = (client: Client, worker: string, most: number): Promise<unknown> =>
  client.query(
    `UPDATE projections.slots SET worker = NULL WHERE slot IN
       (SELECT slot FROM projections.slots WHERE worker = $1 ORDER BY slot DESC LIMIT $2 FOR UPDATE SKIP LOCKED)`,
    [worker, most],
  );

const take = (client: Client, worker: string, most: number): Promise<unknown> =>
  client.query(
    `UPDATE projections.slots SET worker = $1, epoch = epoch + 1, taken_at = now() WHERE slot IN
       (SELECT slot FROM projections.slots s WHERE worker IS NULL OR NOT EXISTS (SELECT FROM projections.workers w WHERE w.worker = s.worker)
        ORDER BY slot LIMIT $2 FOR UPDATE SKIP LOCKED)`,
    [worker, most],
  );

const heldBy = async (client: Client, worker: string): Promise<HeldSlots> =>
  new Map(
    (
      await client.query<{ slot: number; epoch: number }>(
        'SELECT slot, epoch FROM projections.slots WHERE worker = $1 ORDER BY slot',
        [worker],
      )
    ).rows.map(({ slot, epoch }) => [slot, epoch]),
  );

/** The worker ends, and the others need not wait for its lease. */
export const leaveSlots = (pool: Pool, worker: string): Promise<void> =>
  transaction(pool, async (client) => {
    await client.query('SELECT pg_advisory_xact_lock($1)', [LOCK_KEY]);
    await client.query('DELETE FROM projections.workers WHERE worker = $1', [worker]);
    await client.query('UPDATE projections.slots SET worker = NULL WHERE worker = $1', [worker]);
  });

/** What a step throws whose tenant another worker keeps: nothing was changed, and waiting a moment helps. */
export const movedAway = (): StreamError =>
  new StreamError('unavailable', 'another worker keeps the read models of this tenant now');

/**
 * Holds the slots of a step's tenants until its transaction ends. The server ends a transaction of a process that stands
 * still for longer than its lease, so that whoever takes over does not wait for one that is asleep.
 */
export const slotFence =
  ({ worker, leaseMs }: WorkerRef, held: () => HeldSlots): Fence =>
  async (client, tenants) => {
    const now = held();
    const slots = [...new Set(tenants.map(slotOf))];
    const { rowCount } = await client.query({
      name: 'slots.hold',
      text: `SELECT set_config('idle_in_transaction_session_timeout', $4, true) FROM projections.slots s
        JOIN unnest($1::smallint[], $2::bigint[]) AS g (slot, epoch) ON s.slot = g.slot AND s.epoch = g.epoch
        WHERE s.worker = $3 FOR SHARE OF s`,
      values: [slots, slots.map((slot) => now.get(slot) ?? -1), worker, String(Math.ceil(leaseMs))],
    });
    if (rowCount !== slots.length) throw movedAway();
    return true;
  };
