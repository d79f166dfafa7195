// Who is told of which alarm, and when again: one row for each alarm and sink, by the database's clock. Of any number of
// processes one takes a row, for as long as a telling may last; when it dies, the next one takes it after that. What the
// saga of alarms only folds, because it was there before, is never put down here.
import type { TenantId } from '#schemas/ids.ts';
import { type Pool, streamError, transaction } from '#streams/postgres/connect.ts';
import type { MigrationSet } from '#streams/postgres/migrate.ts';
import { type AlarmState, alarms } from '../../attestations.ts';

export const ALARM_MIGRATIONS: MigrationSet = {
  name: 'alarms',
  directory: new URL('./migrations/', import.meta.url),
};

/** One alarm that is to be told to one sink now. */
export interface DueAlarm {
  readonly tenant: TenantId;
  readonly alarmId: string;
  readonly sink: string;
  readonly alarm: AlarmState;
  /** From 1. */
  readonly attempt: number;
  /** Since the first attempt. */
  readonly ageMs: number;
}

export type Told =
  | { readonly kind: 'delivered' }
  | { readonly kind: 'again'; readonly inMs: number; readonly fault: string }
  | { readonly kind: 'given up'; readonly fault: string };

export interface SinkLoad {
  readonly sink: string;
  /** Alarms that are still on their way. */
  readonly waiting: number;
  readonly givenUp: number;
}

/** All of it throws `StreamError`. */
export interface AlarmDeliveries {
  /** Makes the sinks known; what was raised before is muted for one that is new. */
  open(): Promise<void>;
  /** Takes what is due, for `leaseMs`. */
  take(leaseMs: number): Promise<readonly DueAlarm[]>;
  settle(due: DueAlarm, told: Told): Promise<void>;
  load(): Promise<readonly SinkLoad[]>;
}

const AT_ONCE = 20;

export const alarmDeliveries = (pool: Pool, sinks: readonly string[]): AlarmDeliveries => ({
  open: () => asked(() => open(pool, sinks)),
  take: (leaseMs) => asked(() => take(pool, sinks, leaseMs)),
  settle: (due, told) => asked(() => settle(pool, due, told)),
  load: () =>
    asked(async () => {
      const { rows } = await pool.query<SinkLoad>(
        `SELECT s.sink, count(*) FILTER (WHERE d.sink IS NOT NULL AND d.outcome IS NULL)::integer AS waiting,
                count(*) FILTER (WHERE d.outcome = 'given up')::integer AS "givenUp"
         FROM unnest($1::text[]) AS s (sink) LEFT JOIN alarms.deliveries d USING (sink) GROUP BY s.sink ORDER BY s.sink`,
        [sinks],
      );
      return rows;
    }),
});

const asked = async <T>(ask: () => Promise<T>): Promise<T> => {
  try {
    return await ask();
  } catch (error) {
    throw streamError(error);
  }
};

const open = (pool: Pool, sinks: readonly string[]): Promise<void> =>
  transaction(pool, async (client) => {
    const { rows } = await client.query<{ sink: string }>(
      'INSERT INTO alarms.sinks (sink) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING RETURNING sink',
      [sinks],
    );
    await client.query(
      `INSERT INTO alarms.deliveries (tenant, alarm, sink, outcome, settled_at)
       SELECT s.tenant, s.key, k.sink, 'muted', now()
       FROM sagas.states s CROSS JOIN unnest($3::text[]) AS k (sink)
       WHERE s.saga = $1 AND s.version = $2 ON CONFLICT DO NOTHING`,
      [alarms.name, alarms.version, rows.map(({ sink }) => sink)],
    );
  });

interface DueRow {
  readonly tenant: TenantId;
  readonly alarm: string;
  readonly sink: string;
  readonly attempts: number;
  readonly age_ms: number;
  readonly state: string;
}

const take = async (pool: Pool, sinks: readonly string[], leaseMs: number): Promise<readonly DueAlarm[]> => {
  await pool.query(
    `INSERT INTO alarms.deliveries (tenant, alarm, sink)
     SELECT s.tenant, s.key, k.sink
     FROM sagas.states s JOIN sagas.positions p USING (saga, version, tenant) CROSS JOIN unnest($3::text[]) AS k (sink)
     WHERE s.saga = $1 AND s.version = $2 AND s.last_seq > p.muted_to
       AND NOT EXISTS (SELECT FROM alarms.deliveries d WHERE d.tenant = s.tenant AND d.alarm = s.key AND d.sink = k.sink)
     ON CONFLICT DO NOTHING`,
    [alarms.name, alarms.version, sinks],
  );
  const { rows } = await pool.query<DueRow>(
    `UPDATE alarms.deliveries d
     SET attempts = d.attempts + 1, first_tried_at = coalesce(d.first_tried_at, now()),
         next_try_at = now() + $2 * interval '1 millisecond'
     FROM sagas.states s
     WHERE s.saga = $3 AND s.version = $4 AND s.tenant = d.tenant AND s.key = d.alarm
       AND (d.tenant, d.alarm, d.sink) IN
         (SELECT tenant, alarm, sink FROM alarms.deliveries
          WHERE outcome IS NULL AND next_try_at <= now() AND sink = ANY ($1)
          ORDER BY next_try_at LIMIT ${AT_ONCE} FOR UPDATE SKIP LOCKED)
     RETURNING d.tenant, d.alarm, d.sink, d.attempts, s.state,
       (extract(epoch FROM now() - d.first_tried_at) * 1000)::bigint AS age_ms`,
    [sinks, leaseMs, alarms.name, alarms.version],
  );
  return rows.map(({ tenant, alarm, sink, attempts, age_ms, state }) => ({
    tenant,
    alarmId: alarm,
    sink,
    alarm: JSON.parse(state) as AlarmState,
    attempt: attempts,
    ageMs: age_ms,
  }));
};

const FAULT_MAX = 500;

// The attempt names the lease: who slept through it changes nothing.
const settle = async (
  pool: Pool,
  { tenant, alarmId, sink, attempt }: DueAlarm,
  told: Told,
): Promise<void> => {
  const fault = told.kind === 'delivered' ? null : told.fault.replaceAll('\0', '\\0').slice(0, FAULT_MAX);
  await pool.query(
    `UPDATE alarms.deliveries
     SET last_fault = $5, outcome = $6, settled_at = CASE WHEN $6::text IS NOT NULL THEN now() END,
         next_try_at = CASE WHEN $6::text IS NULL THEN now() + $7 * interval '1 millisecond' ELSE next_try_at END
     WHERE tenant = $1 AND alarm = $2 AND sink = $3 AND attempts = $4 AND outcome IS NULL`,
    [
      tenant,
      alarmId,
      sink,
      attempt,
      fault?.toWellFormed() ?? null,
      told.kind === 'again' ? null : told.kind,
      told.kind === 'again' ? told.inMs : 0,
    ],
  );
};
