// Rows and checkpoints in PostgreSQL. A step, or the steps of many tenants together, is one transaction:
//   move the checkpoints by compare-and-swap · load the touched rows · fold · write
// The checkpoint comes first: its row lock keeps a second runner of the same read model and tenant waiting before it
// has touched anything, so that the two cannot deadlock, and the loaded rows are those of the checkpoint. The swap
// compares the build's epoch too: a runner that was superseded (a rebuild took its place) changes nothing.
import { type AnyProjector, foldBatch, touchedKeys } from '#projectors/batch.ts';
import type { Row } from '#projectors/projector.ts';
import { beginning, type RowSink, type Step, type StepResult } from '#projectors/sink.ts';
import type { Fact } from '#schemas/event.ts';
import { instantText, type Seq, type TenantId } from '#schemas/ids.ts';
import { type Client, type Pool, sqlState, streamError, transaction } from '#streams/postgres/connect.ts';
import { type BuildRef, type LiveBuild, liveBuild, type SourceDigests } from './builds.ts';
import { readCheckpoints } from './checkpoints.ts';
import { UnfitValue } from './columns.ts';
import { type Statements, statementsOf, type TenantKey } from './statements.ts';
import { type TenantChanges, write } from './write.ts';

/** Thrown inside the transaction, so that it is rolled back. */
class Poison extends Error {
  readonly fact: Fact;
  override readonly cause: Error;
  constructor(fact: Fact, cause: Error) {
    super(cause.message);
    this.fact = fact;
    this.cause = cause;
  }
}

export interface RowSinkOptions {
  readonly pool: Pool;
  /** Of this program's projectors: a build that another source made is left alone. */
  readonly sources?: SourceDigests | undefined;
  /** Writes to this build and no other: that of a rebuild. The live one unless told. */
  readonly target?: BuildRef | undefined;
  /** Facts that a read model passes over; none unless told. */
  readonly skips?: Skips | undefined;
  /** Names who may write at all, checked in the transaction of each step. */
  readonly fence?: Fence | undefined;
}

/** The places of the facts that a read model passes over, by what was decided in the tenant's own chain. */
export type Skips = (projection: string, tenant: TenantId) => Promise<ReadonlySet<Seq>>;

/** Takes what it checks so that it cannot change before the transaction ends; false: nothing may be written. */
export type Fence = (client: Client, tenants: readonly TenantId[]) => Promise<boolean>;

/** Where a read model's rows are, as this sink last saw it. */
interface Place {
  readonly live: LiveBuild;
  readonly statements: Statements;
}

export const postgresRowSink = (options: RowSinkOptions): RowSink => {
  const { pool, sources, target, fence } = options;
  const places = new Map<AnyProjector, Place>();
  const look = async (projector: AnyProjector): Promise<Place> => {
    const live = target ?? (await liveBuild(pool, projector, sources));
    const before = places.get(projector);
    const statements =
      before?.live.build === live.build ? before.statements : statementsOf(projector, live.build);
    const place = { live, statements };
    places.set(projector, place);
    return place;
  };
  const applyAll = async (
    projector: AnyProjector,
    steps: readonly Step[],
  ): Promise<readonly StepResult[]> => {
    let taken: readonly boolean[];
    try {
      const { live, statements } = places.get(projector) ?? (await look(projector));
      if (live.held) return steps.map(() => ({ kind: 'overtaken' }));
      const applying = { projector, statements, build: live, fence };
      taken = await transaction(pool, (client) => takeSteps(client, applying, steps));
    } catch (error) {
      const refusal = refusalOf(error);
      if (steps.length === 1) return [refusal];
      // Whose it was shows when each goes by itself.
      const each: StepResult[] = [];
      for (const step of steps) each.push(...(await applyAll(projector, [step])));
      return each;
    }
    return taken.map((applied) => ({ kind: applied ? 'applied' : 'overtaken' }));
  };
  return {
    checkpoints: async (projector, tenant) =>
      await asked(async () => {
        const { live } = await look(projector);
        const found = await readCheckpoints(pool, projector, live, tenant);
        const known = tenant !== undefined && found.length === 0 ? [beginning(tenant)] : found;
        return live.held ? known.map((checkpoint) => ({ ...checkpoint, held: live.held })) : known;
      }),
    held: async (projector) => await asked(async () => (await look(projector)).live.held),
    skips: async ({ name }, tenant) =>
      await asked(async () => (await options.skips?.(name, tenant)) ?? NO_SKIPS),
    apply: async (projector, step) => (await applyAll(projector, [step]))[0] as StepResult,
    applyAll,
  };
};

/** A runner waits a `StreamError` out; an error of the driver would end it, and the service with it. */
const asked = async <T>(ask: () => Promise<T>): Promise<T> => {
  try {
    return await ask();
  } catch (error) {
    throw streamError(error);
  }
};

export interface Applying {
  readonly projector: AnyProjector;
  readonly statements: Statements;
  readonly build: BuildRef;
  readonly fence?: Fence | undefined;
}

/** Takes steps of different tenants in the caller's transaction; for each, whether its checkpoint stood where it must. */
export const takeSteps = async (
  client: Client,
  { projector, statements, build, fence }: Applying,
  steps: readonly Step[],
): Promise<readonly boolean[]> => {
  const tenants = steps.map(({ tenant }) => tenant);
  if (fence && !(await fence(client, tenants))) return steps.map(() => false);
  const moved = await moveCheckpoints(client, { projector, build }, steps);
  const taken = steps.filter(({ tenant, facts }) => moved.has(tenant) && facts.length > 0);
  if (taken.length > 0) {
    const rows = await loadRows(client, { projector, statements }, taken);
    const changes: TenantChanges[] = [];
    for (const { tenant, facts } of taken) {
      const folded = foldBatch(projector, facts, rows.get(tenant) ?? NO_ROWS);
      if (folded.poison) throw new Poison(folded.poison.fact, folded.poison.error);
      changes.push({ tenant, changes: folded.changes });
    }
    await write(client, { projector, statements }, changes);
  }
  return tenants.map((tenant) => moved.has(tenant));
};

const NO_SKIPS: ReadonlySet<Seq> = new Set();
const NO_ROWS: ReadonlyMap<string, Row> = new Map();

const refusalOf = (error: unknown): StepResult => {
  if (error instanceof Poison) return { kind: 'refused', error: error.cause, fact: error.fact };
  if (error instanceof UnfitValue) return { kind: 'refused', error };
  const state = sqlState(error) ?? '';
  // Classes 22 data exception, 23 integrity constraint, 54 program limit (a key too long for its index).
  if (/^(?:22|23|54)...$/.test(state)) return { kind: 'refused', error: error as Error };
  // Class 40: the server rolled this transaction back to end a conflict of locks.
  if (/^40...$/.test(state)) return { kind: 'overtaken' };
  throw streamError(error);
};

const GIVEN = `unnest($5::text[], $6::bigint[], $7::bytea[], $8::bigint[], $9::bytea[], $10::timestamptz[],
  $11::bigint[], $12::text[], $13::text[]) AS g (tenant, from_seq, from_hash, seq, hash, recorded_at, fault_seq, fault_id, fault_message)`;
const STATUS = `CASE WHEN g.fault_seq IS NULL THEN 'running' ELSE 'halted' END`;
const FAULT_AT = 'CASE WHEN g.fault_seq IS NOT NULL THEN now() END';
// Locked in the order of their tenants, so that two runners with the same tenants wait and do not deadlock.
const MOVE = `WITH g AS MATERIALIZED (SELECT * FROM ${GIVEN}),
  l AS MATERIALIZED (SELECT c.tenant FROM projections.checkpoints c JOIN g ON g.tenant = c.tenant
    WHERE c.projection = $1 AND c.version = $2 AND c.build = $3 ORDER BY c.tenant FOR NO KEY UPDATE OF c)
  UPDATE projections.checkpoints c SET seq = g.seq, hash = g.hash, recorded_at = g.recorded_at, updated_at = now(),
    status = ${STATUS}, fault_seq = g.fault_seq, fault_id = g.fault_id, fault_message = g.fault_message, fault_at = ${FAULT_AT}
  FROM g JOIN l ON l.tenant = g.tenant
  WHERE c.projection = $1 AND c.version = $2 AND c.build = $3 AND c.epoch = $4 AND c.tenant = g.tenant
    AND c.seq = g.from_seq AND c.hash = g.from_hash AND c.status = 'running'
  RETURNING c.tenant, set_config('synchronous_commit', 'off', true)`;
// The build's row is held, so that its epoch stands until the transaction ends: there is no checkpoint yet to hold.
const BEGIN = `WITH b AS MATERIALIZED (SELECT epoch FROM projections.builds WHERE projection = $1 AND version = $2 AND build = $3 AND epoch = $4 FOR SHARE)
  INSERT INTO projections.checkpoints AS c
  (projection, version, build, epoch, tenant, seq, hash, recorded_at, status, fault_seq, fault_id, fault_message, fault_at)
  SELECT $1, $2, $3, b.epoch, g.tenant, g.seq, g.hash, g.recorded_at, ${STATUS}, g.fault_seq, g.fault_id, g.fault_message, ${FAULT_AT}
  FROM b CROSS JOIN ${GIVEN} ORDER BY g.tenant
  ON CONFLICT (projection, version, build, tenant) DO UPDATE SET seq = excluded.seq, hash = excluded.hash,
    recorded_at = excluded.recorded_at, updated_at = now(), status = excluded.status, fault_seq = excluded.fault_seq,
    fault_id = excluded.fault_id, fault_message = excluded.fault_message, fault_at = excluded.fault_at
    WHERE c.seq = 0 AND c.epoch = $4 AND c.status = 'running'
  RETURNING c.tenant, set_config('synchronous_commit', 'off', true)`;

// A checkpoint is not waited for on disk (synchronous_commit): it is lost together with its rows or not at all, and the
// facts come again.
const moveCheckpoints = async (
  client: Client,
  { projector: { name, version }, build: { build, epoch } }: Pick<Applying, 'projector' | 'build'>,
  steps: readonly Step[],
): Promise<ReadonlySet<TenantId>> => {
  const moved = new Set<TenantId>();
  for (const first of [true, false]) {
    const some = steps.filter(({ from }) => (from.seq === 0) === first);
    if (some.length === 0) continue;
    const { rows } = await client.query<{ tenant: TenantId }>({
      name: first ? 'checkpoints.begin' : 'checkpoints.move',
      text: first ? BEGIN : MOVE,
      values: [
        name,
        version,
        build,
        epoch,
        some.map(({ tenant }) => tenant),
        some.map(({ from }) => from.seq),
        some.map(({ from }) => Buffer.from(from.hash, 'hex')),
        some.map(({ to }) => to.seq),
        some.map(({ to }) => Buffer.from(to.hash, 'hex')),
        some.map(({ to }) => instantText(to.recordedAt)),
        some.map(({ fault }) => fault?.seq ?? null),
        some.map(({ fault }) => fault?.id ?? null),
        some.map(({ fault }) => fault?.message ?? null),
      ],
    });
    for (const { tenant } of rows) moved.add(tenant);
  }
  return moved;
};

/** The rows that the facts touch, by tenant and key text. */
export const loadRows = async (
  client: Client,
  { projector, statements }: Pick<Applying, 'projector' | 'statements'>,
  steps: readonly Pick<Step, 'tenant' | 'facts'>[],
): Promise<ReadonlyMap<TenantId, ReadonlyMap<string, Row>>> => {
  const keys: TenantKey[] = [];
  for (const { tenant, facts } of steps)
    for (const key of touchedKeys(projector, facts).values()) keys.push({ tenant, key });
  const byTenant = new Map<TenantId, Map<string, Row>>();
  if (keys.length === 0) return byTenant;
  const { rows } = await client.query<Record<string, never> & { tenant: TenantId }>(statements.load(keys));
  for (const { tenant, ...row } of rows) {
    const known = byTenant.get(tenant) ?? new Map<string, Row>();
    byTenant.set(tenant, known.set(statements.keyTextOf(row), row));
  }
  return byTenant;
};
