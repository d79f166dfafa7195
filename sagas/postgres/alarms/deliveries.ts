// Who is told of which alarm, and of its end, and when again: one row for each alarm and sink, in a table for each of the
// two, by the database's clock. Of any number of processes one takes a row, for as long as a telling may last; when it
// dies, the next one takes it after that. An end has a row only where its alarm was taken, so it cannot come before it,
// nor to anybody who does not know of it. What a saga only folds, because it was there before, is told to nobody.
import type { TenantId } from '#schemas/ids.ts';
import { type Pool, streamError, transaction } from '#streams/postgres/connect.ts';
import type { MigrationSet } from '#streams/postgres/migrate.ts';
import { type AlarmState, alarms } from '../../attestations.ts';
import { type Reopening, reopenings } from '../../gates.ts';

export const ALARM_MIGRATIONS: MigrationSet = {
  name: 'alarms',
  directory: new URL('./migrations/', import.meta.url),
};

/** What is to be told to one sink now: an alarm, or that it is over. */
export interface DueAlarm {
  readonly tenant: TenantId;
  readonly alarmId: string;
  readonly sink: string;
  readonly alarm: AlarmState;
  /** What ended it; absent where the alarm itself is to be told. */
  readonly end: Reopening | undefined;
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
  /** Alarms, and ends of alarms, that are still on their way. */
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
  take: (leaseMs) =>
    asked(async () => {
      await pool.query(RAISED, [...ALARMS, sinks]);
      await pool.query(OVER, [...ALARMS, ...REOPENINGS, sinks]);
      const alarm = await pool.query<DueRow>(TAKE_ALARMS, [...ALARMS, sinks, leaseMs]);
      const over = await pool.query<DueRow>(TAKE_ENDS, [...ALARMS, sinks, leaseMs, ...REOPENINGS]);
      return [...alarm.rows, ...over.rows].map(dueOf);
    }),
  settle: (due, told) => asked(() => settle(pool, due, told)),
  load: () =>
    asked(async () => {
      const { rows } = await pool.query<SinkLoad>(
        `SELECT s.sink, count(*) FILTER (WHERE d.sink IS NOT NULL AND d.outcome IS NULL)::integer AS waiting,
                count(*) FILTER (WHERE d.outcome = 'given up')::integer AS "givenUp"
         FROM unnest($1::text[]) AS s (sink)
         LEFT JOIN (SELECT sink, outcome FROM alarms.deliveries UNION ALL SELECT sink, outcome FROM alarms.resolutions) d USING (sink)
         GROUP BY s.sink ORDER BY s.sink`,
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
      [...ALARMS, rows.map(({ sink }) => sink)],
    );
  });

const ALARMS = [alarms.name, alarms.version] as const;
const REOPENINGS = [reopenings.name, reopenings.version] as const;

/** The place of the fact that a state of either saga is about; `last_seq` is that of the batch it came with. */
const placeOf = (state: string): string => `(${state}::json ->> 'seq')::bigint`;

const RAISED = `INSERT INTO alarms.deliveries (tenant, alarm, sink)
  SELECT s.tenant, s.key, k.sink
  FROM sagas.states s JOIN sagas.positions p USING (saga, version, tenant) CROSS JOIN unnest($3::text[]) AS k (sink)
  WHERE s.saga = $1 AND s.version = $2 AND ${placeOf('s.state')} > p.muted_to
    AND NOT EXISTS (SELECT FROM alarms.deliveries d WHERE d.tenant = s.tenant AND d.alarm = s.key AND d.sink = k.sink)
  ON CONFLICT DO NOTHING`;

// The first return of the route after the alarm; one that was there before the saga is put down, so that no later one is
// taken for it.
const OVER = `INSERT INTO alarms.resolutions (tenant, alarm, sink, reopening, outcome, settled_at)
  SELECT d.tenant, d.alarm, d.sink, o.key, CASE WHEN o.muted THEN 'muted' END, CASE WHEN o.muted THEN now() END
  FROM alarms.deliveries d
  JOIN sagas.states a ON a.saga = $1 AND a.version = $2 AND a.tenant = d.tenant AND a.key = d.alarm
  CROSS JOIN LATERAL (
    SELECT s.key, ${placeOf('s.state')} <= p.muted_to AS muted
    FROM sagas.states s JOIN sagas.positions p USING (saga, version, tenant)
    WHERE s.saga = $3 AND s.version = $4 AND s.tenant = d.tenant
      AND s.state::json ->> 'route' = a.state::json ->> 'route' AND ${placeOf('s.state')} > ${placeOf('a.state')}
    ORDER BY ${placeOf('s.state')} LIMIT 1) o
  WHERE d.outcome = 'delivered' AND d.sink = ANY ($5)
    AND NOT EXISTS (SELECT FROM alarms.resolutions r WHERE r.tenant = d.tenant AND r.alarm = d.alarm AND r.sink = d.sink)
  ON CONFLICT DO NOTHING`;

interface Telling {
  readonly table: string;
  /** The state of what ended the alarm, and where it is. */
  readonly end: string;
  readonly joined: string;
}

const take = ({ table, end, joined }: Telling): string => `WITH due AS (
    SELECT d.tenant, d.alarm, d.sink, a.state, ${end} AS ended
    FROM ${table} d
    JOIN sagas.states a ON a.saga = $1 AND a.version = $2 AND a.tenant = d.tenant AND a.key = d.alarm ${joined}
    WHERE d.outcome IS NULL AND d.next_try_at <= now() AND d.sink = ANY ($3)
    ORDER BY d.next_try_at LIMIT ${AT_ONCE} FOR UPDATE OF d SKIP LOCKED)
  UPDATE ${table} d
  SET attempts = d.attempts + 1, first_tried_at = coalesce(d.first_tried_at, now()),
      next_try_at = now() + $4 * interval '1 millisecond'
  FROM due WHERE (d.tenant, d.alarm, d.sink) = (due.tenant, due.alarm, due.sink)
  RETURNING d.tenant, d.alarm, d.sink, d.attempts, due.state, due.ended,
    (extract(epoch FROM now() - d.first_tried_at) * 1000)::bigint AS age_ms`;

const TAKE_ALARMS = take({ table: 'alarms.deliveries', end: 'NULL', joined: '' });
const TAKE_ENDS = take({
  table: 'alarms.resolutions',
  end: 'o.state',
  joined:
    'JOIN sagas.states o ON o.saga = $5 AND o.version = $6 AND o.tenant = d.tenant AND o.key = d.reopening',
});

interface DueRow {
  readonly tenant: TenantId;
  readonly alarm: string;
  readonly sink: string;
  readonly attempts: number;
  readonly age_ms: number;
  readonly state: string;
  readonly ended: string | null;
}

const dueOf = ({ tenant, alarm, sink, attempts, age_ms, state, ended }: DueRow): DueAlarm => ({
  tenant,
  alarmId: alarm,
  sink,
  alarm: JSON.parse(state) as AlarmState,
  end: ended === null ? undefined : (JSON.parse(ended) as Reopening),
  attempt: attempts,
  ageMs: age_ms,
});

const FAULT_MAX = 500;

// The attempt names the lease: who slept through it changes nothing.
const settle = async (
  pool: Pool,
  { tenant, alarmId, sink, end, attempt }: DueAlarm,
  told: Told,
): Promise<void> => {
  const fault = told.kind === 'delivered' ? null : told.fault.replaceAll('\0', '\\0').slice(0, FAULT_MAX);
  await pool.query(
    `UPDATE ${end ? 'alarms.resolutions' : 'alarms.deliveries'}
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
