// Read models kept in the very transaction that appends the facts, for an import that is alone with its tenant: no
// fact is read back. It holds only while the checkpoint stands at the head; once a step does not fit, the live
// runner takes over where the checkpoint is.
import type { AnyProjector, Changes } from '#projectors/batch.ts';
import type { Row } from '#projectors/projector.ts';
import type { ChainPosition } from '#proofs/chain.ts';
import { instantText, type TenantId } from '#schemas/ids.ts';
import type { Client, Queryable } from '#streams/postgres/connect.ts';
import { copyIn } from '#streams/postgres/copy.ts';
import { type BuildRef, liveBuild, type SourceDigests } from './builds.ts';
import { selectList, statementsOf } from './statements.ts';
import { write } from './write.ts';

export interface InlineStart {
  readonly projector: AnyProjector;
  readonly tenant: TenantId;
  /** The tenant's head. */
  readonly at: ChainPosition;
  /** Rows that may be held in memory. */
  readonly maxRows: number;
  /** Of this program's projectors: rows that another source made are left alone. */
  readonly sources?: SourceDigests | undefined;
}

export interface InlineRows {
  /** Every row of the tenant, by key text; none of an insert-only model. */
  readonly rows: Map<string, Row>;
  /** Where they stand; a step names it. */
  readonly build: BuildRef;
}

/** The rows of the tenant when the read model stands at `at` and they are few enough; else `undefined`. */
export const inlineRows = async (
  client: Queryable,
  { projector, tenant, at, maxRows, sources }: InlineStart,
): Promise<InlineRows | undefined> => {
  const build = await liveBuild(client, projector, sources);
  const { rowCount } = await client.query(
    `SELECT FROM projections.checkpoints WHERE projection = $1 AND version = $2 AND build = $6 AND tenant = $3 AND seq = $4 AND hash = $5 AND status = 'running'`,
    [projector.name, projector.version, tenant, at.seq, Buffer.from(at.hash, 'hex'), build.build],
  );
  if (rowCount !== 1 || build.held) return undefined;
  if (projector.insertOnly) return { rows: new Map(), build };
  const { keyTextOf, table } = statementsOf(projector, build.build);
  const { rows } = await client.query<{ [column: string]: never }>(
    `SELECT ${selectList(projector)} FROM ${table} t WHERE t.tenant = $1 LIMIT ${maxRows + 1}`,
    [tenant],
  );
  return rows.length > maxRows
    ? undefined
    : { build, rows: new Map(rows.map((row) => [keyTextOf(row), row])) };
};

export interface InlineStep {
  readonly projector: AnyProjector;
  readonly tenant: TenantId;
  readonly build: BuildRef;
  readonly from: ChainPosition;
  readonly to: ChainPosition;
  readonly changes: Changes;
  /** New rows of an insert-only model in COPY form. */
  readonly copyRows?: Uint8Array | undefined;
}

const MOVE = `UPDATE projections.checkpoints SET seq = $6, hash = $7, recorded_at = $8, updated_at = now()
  WHERE projection = $1 AND version = $2 AND tenant = $3 AND seq = $4 AND hash = $5 AND status = 'running' AND build = $9 AND epoch = $10`;

/** Takes the step in the caller's transaction; false, with nothing changed, when the checkpoint stands elsewhere. */
export const inlineStep = async (
  client: Client,
  { projector, tenant, build, from, to, changes, copyRows: newRows }: InlineStep,
): Promise<boolean> => {
  const moved = await client.query({
    name: 'checkpoint.inline',
    text: MOVE,
    values: [
      projector.name,
      projector.version,
      tenant,
      from.seq,
      Buffer.from(from.hash, 'hex'),
      to.seq,
      Buffer.from(to.hash, 'hex'),
      instantText(to.recordedAt),
      build.build,
      build.epoch,
    ],
  });
  if (moved.rowCount !== 1) return false;
  const statements = statementsOf(projector, build.build);
  await write(client, { projector, statements }, [{ tenant, changes }]);
  if (newRows && newRows.length > 0) await copyIn(client, { target: statements.copyTarget, rows: newRows });
  return true;
};
