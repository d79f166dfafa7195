// Rows and checkpoints in PostgreSQL. A step is one transaction:
//   move the checkpoint by compare-and-swap · load the touched rows · fold · write
// The checkpoint comes first: its row lock keeps a second runner of the same read model and tenant waiting before it
// has touched anything, so that the two cannot deadlock, and the loaded rows are those of the checkpoint.
import { type AnyProjector, type Changes, foldBatch, touchedKeys } from '#projectors/batch.ts';
import type { Row } from '#projectors/projector.ts';
import type { Checkpoint, RowSink, Step, StepResult } from '#projectors/sink.ts';
import type { Fact } from '#schemas/event.ts';
import { type Instant, instantText, type Seq, type Sha256, type TenantId } from '#schemas/ids.ts';
import { binaryWriter } from '#streams/postgres/binary.ts';
import { type Client, type Pool, sqlState, streamError, transaction } from '#streams/postgres/connect.ts';
import { copyIn } from '#streams/postgres/copy.ts';
import { rowWriter, UnfitValue } from './columns.ts';
import { copyTarget, type Statements, statementsOf } from './statements.ts';

/** Rows from which on COPY is faster than an INSERT from arrays; measured: 1 row 0.5 against 0.4 ms, 10 rows 0.5 against 0.6. */
const COPY_ROWS = 10;

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

export const postgresRowSink = ({ pool }: { readonly pool: Pool }): RowSink => {
  const known = new Map<AnyProjector, Statements>();
  const statements = (projector: AnyProjector): Statements => {
    const made = known.get(projector) ?? statementsOf(projector);
    known.set(projector, made);
    return made;
  };
  return {
    checkpoints: async (projector, tenant) => {
      try {
        return await readCheckpoints(pool, projector, tenant);
      } catch (error) {
        throw streamError(error);
      }
    },
    apply: async (projector, step) => {
      try {
        return await transaction(pool, (client) => take(client, projector, statements(projector), step));
      } catch (error) {
        return refusalOf(error);
      }
    },
  };
};

const take = async (
  client: Client,
  projector: AnyProjector,
  statements: Statements,
  step: Step,
): Promise<StepResult> => {
  if (!(await moveCheckpoint(client, projector, step))) return { kind: 'overtaken' };
  if (step.facts.length === 0) return { kind: 'applied' };
  const rows = await loadRows(client, projector, statements, step);
  const { changes, poison } = foldBatch(projector, step.facts, rows);
  if (poison) throw new Poison(poison.fact, poison.error);
  await write(client, { projector, statements, tenant: step.tenant }, changes);
  return { kind: 'applied' };
};

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

const SET = `seq = $6, hash = $7, recorded_at = $8, updated_at = now(), status = $9,
  fault_seq = $10, fault_id = $11, fault_message = $12, fault_at = CASE WHEN $9 = 'halted' THEN now() END`;
const STANDS = `c.seq = $4 AND c.hash = $5 AND c.status = 'running'`;
// A checkpoint is not waited for on disk: it is lost together with its rows or not at all, and the facts come again.
const NO_WAIT = `RETURNING set_config('synchronous_commit', 'off', true)`;
const MOVE = `UPDATE projections.checkpoints c SET ${SET} WHERE c.projection = $1 AND c.version = $2 AND c.tenant = $3 AND ${STANDS} ${NO_WAIT}`;
const BEGIN = `INSERT INTO projections.checkpoints AS c
  (projection, version, tenant, seq, hash, recorded_at, status, fault_seq, fault_id, fault_message, fault_at)
  VALUES ($1, $2, $3, $6, $7, $8, $9, $10, $11, $12, CASE WHEN $9 = 'halted' THEN now() END)
  ON CONFLICT (projection, version, tenant) DO UPDATE SET ${SET} WHERE ${STANDS} ${NO_WAIT}`;

const moveCheckpoint = async (
  client: Client,
  { name, version }: AnyProjector,
  { tenant, from, to, fault }: Step,
): Promise<boolean> => {
  const first = from.seq === 0;
  const { rowCount } = await client.query({
    name: first ? 'checkpoint.begin' : 'checkpoint.move',
    text: first ? BEGIN : MOVE,
    values: [
      name,
      version,
      tenant,
      from.seq,
      Buffer.from(from.hash, 'hex'),
      to.seq,
      Buffer.from(to.hash, 'hex'),
      instantText(to.recordedAt),
      fault ? 'halted' : 'running',
      fault?.seq ?? null,
      fault?.id ?? null,
      fault?.message ?? null,
    ],
  });
  return rowCount === 1;
};

const loadRows = async (
  client: Client,
  projector: AnyProjector,
  statements: Statements,
  { tenant, facts }: Step,
): Promise<ReadonlyMap<string, Row>> => {
  const keys = touchedKeys(projector, facts);
  if (keys.size === 0) return new Map();
  const { rows } = await client.query<{ [column: string]: never }>(statements.load(tenant, keys.values()));
  return new Map(rows.map((row) => [statements.keyTextOf(row), row]));
};

export interface WriteTarget {
  readonly projector: AnyProjector;
  readonly statements: Statements;
  readonly tenant: TenantId;
}

/** Writes what a batch changed, inside the caller's transaction. */
export const write = async (
  client: Client,
  target: WriteTarget,
  { inserts, upserts, deletes }: Changes,
): Promise<void> => {
  const { statements, tenant } = target;
  if (deletes.length > 0) await client.query(statements.remove(tenant, deletes));
  if (upserts.size > 0) await client.query(statements.upsert(tenant, [...upserts.values()]));
  if (inserts.length >= COPY_ROWS) await copyRows(client, target, inserts);
  else if (inserts.length > 0) await client.query(statements.insert(tenant, inserts));
};

const copyRows = async (
  client: Client,
  { projector, tenant }: WriteTarget,
  rows: readonly Row[],
): Promise<void> => {
  const put = rowWriter(projector);
  const writer = binaryWriter();
  // In full before the first byte is sent: a value that does not fit must not end a COPY half-way.
  for (const row of rows) put(writer, tenant, row);
  await copyIn(client, { target: copyTarget(projector), rows: writer.take() });
};

interface CheckpointRow {
  readonly tenant: TenantId;
  readonly seq: Seq;
  readonly hash: Sha256;
  readonly ms: Instant;
  readonly fault_seq: Seq | null;
  readonly fault_id: string;
  readonly fault_message: string;
}

const readCheckpoints = async (
  pool: Pool,
  { name, version }: AnyProjector,
  tenant: TenantId | undefined,
): Promise<readonly Checkpoint[]> => {
  const { rows } = await pool.query<CheckpointRow>(
    `SELECT tenant, seq, encode(hash, 'hex') AS hash, (extract(epoch FROM recorded_at) * 1000)::bigint AS ms, fault_seq, fault_id, fault_message
     FROM projections.checkpoints WHERE projection = $1 AND version = $2 AND ($3::text IS NULL OR tenant = $3)`,
    [name, version, tenant ?? null],
  );
  return rows.map((row) => ({
    tenant: row.tenant,
    seq: row.seq,
    hash: row.hash,
    recordedAt: row.ms,
    fault:
      row.fault_seq === null
        ? undefined
        : { seq: row.fault_seq, id: row.fault_id, message: row.fault_message },
  }));
};
