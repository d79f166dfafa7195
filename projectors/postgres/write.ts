// What folds changed, into the table of one build: inside the caller's transaction.
import type { AnyProjector, Changes } from '#projectors/batch.ts';
import type { TenantId } from '#schemas/ids.ts';
import { binaryWriter } from '#streams/postgres/binary.ts';
import type { Client } from '#streams/postgres/connect.ts';
import { copyIn } from '#streams/postgres/copy.ts';
import { rowWriter } from './columns.ts';
import type { Statements, TenantRow } from './statements.ts';

/** Rows from which on COPY is faster than an INSERT from arrays; measured: 1 row 0.5 against 0.4 ms, 10 rows 0.5 against 0.6. */
const COPY_ROWS = 10;

export interface WriteTarget {
  readonly projector: AnyProjector;
  readonly statements: Statements;
}

export interface TenantChanges {
  readonly tenant: TenantId;
  readonly changes: Changes;
}

/** Writes what batches of one or more tenants changed. */
export const write = async (
  client: Client,
  { projector, statements }: WriteTarget,
  all: readonly TenantChanges[],
): Promise<void> => {
  const deletes = all.flatMap(({ tenant, changes }) => changes.deletes.map((key) => ({ tenant, key })));
  const upserts = all.flatMap(({ tenant, changes }) =>
    [...changes.upserts.values()].map((row) => ({ tenant, row })),
  );
  const inserts = all.flatMap(({ tenant, changes }) => changes.inserts.map((row) => ({ tenant, row })));
  if (deletes.length > 0) await client.query(statements.remove(deletes));
  if (upserts.length > 0) await client.query(statements.upsert(upserts));
  if (inserts.length >= COPY_ROWS) await copyRows(client, { projector, statements }, inserts);
  else if (inserts.length > 0) await client.query(statements.insert(inserts));
};

/** New rows by COPY. */
export const copyRows = async (
  client: Client,
  { projector, statements }: WriteTarget,
  rows: readonly TenantRow[],
): Promise<void> => {
  const put = rowWriter(projector);
  const writer = binaryWriter();
  // In full before the first byte is sent: a value that does not fit must not end a COPY half-way.
  for (const { tenant, row } of rows) put(writer, tenant, row);
  await copyIn(client, { target: statements.copyTarget, rows: writer.take() });
};
