// Read models kept in the very transaction that appends the facts, for an import that is alone with its tenant: no
// fact is read back. It holds only while the checkpoint stands at the head; once a step does not fit, the live
// runner takes over where the checkpoint is.
import type { AnyProjector, Changes } from '#projectors/batch.ts';
import type { Row } from '#projectors/projector.ts';
import type { ChainPosition } from '#proofs/chain.ts';
import { instantText, type TenantId } from '#schemas/ids.ts';
import type { Client, Queryable } from '#streams/postgres/connect.ts';
import { copyIn } from '#streams/postgres/copy.ts';
import { columnsOf } from './columns.ts';
import { write } from './sink.ts';
import { copyTarget, statementsOf, tableOf } from './statements.ts';

export interface InlineStart {
  readonly projector: AnyProjector;
  readonly tenant: TenantId;
  /** The tenant's head. */
  readonly at: ChainPosition;
  /** Rows that may be held in memory. */
  readonly maxRows: number;
}

/** All rows of the tenant, by key text, when the read model stands at `at` and they are few enough; else `undefined`. */
export const inlineRows = async (
  client: Queryable,
  { projector, tenant, at, maxRows }: InlineStart,
): Promise<Map<string, Row> | undefined> => {
  const { rowCount } = await client.query(
    `SELECT FROM projections.checkpoints WHERE projection = $1 AND version = $2 AND tenant = $3 AND seq = $4 AND hash = $5 AND status = 'running'`,
    [projector.name, projector.version, tenant, at.seq, Buffer.from(at.hash, 'hex')],
  );
  if (rowCount !== 1) return undefined;
  if (projector.insertOnly) return new Map();
  const columns = columnsOf(projector).map(({ name, codec }) => `${codec.select(`t.${name}`)} AS ${name}`);
  const { rows } = await client.query<{ [column: string]: never }>(
    `SELECT ${columns.join(', ')} FROM ${tableOf(projector)} t WHERE t.tenant = $1 LIMIT ${maxRows + 1}`,
    [tenant],
  );
  const { keyTextOf } = statementsOf(projector);
  return rows.length > maxRows ? undefined : new Map(rows.map((row) => [keyTextOf(row), row]));
};

export interface InlineStep {
  readonly projector: AnyProjector;
  readonly tenant: TenantId;
  readonly from: ChainPosition;
  readonly to: ChainPosition;
  readonly changes: Changes;
  /** New rows of an insert-only model in COPY form. */
  readonly copyRows?: Uint8Array | undefined;
}

const MOVE = `UPDATE projections.checkpoints SET seq = $6, hash = $7, recorded_at = $8, updated_at = now()
  WHERE projection = $1 AND version = $2 AND tenant = $3 AND seq = $4 AND hash = $5 AND status = 'running'`;

/** Takes the step in the caller's transaction; false, with nothing changed, when the checkpoint stands elsewhere. */
export const inlineStep = async (
  client: Client,
  { projector, tenant, from, to, changes, copyRows }: InlineStep,
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
    ],
  });
  if (moved.rowCount !== 1) return false;
  await write(client, { projector, statements: statementsOf(projector), tenant }, changes);
  if (copyRows && copyRows.length > 0)
    await copyIn(client, { target: copyTarget(projector), rows: copyRows });
  return true;
};
