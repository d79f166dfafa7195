// The digest of a read model (projectors/digest.ts) as SQL: what the server says its rows are.
import type { AnyProjector } from '#projectors/batch.ts';
import { columnsOf } from './columns.ts';
import { tableOf } from './statements.ts';

/** The line of a row of the table that `alias` stands for. */
export const rowLineSql = (projector: AnyProjector, alias = 't'): string => {
  const columns = columnsOf(projector).map(({ name, codec }) => codec.select(`${alias}.${name}`));
  return `jsonb_build_array(${[`${alias}.tenant`, ...columns].join(', ')})::text`;
};

/** A row's hash as bytea; its hexadecimal digits are what the digest is over. */
export const rowHashSql = (projector: AnyProjector, alias = 't'): string =>
  `sha256(convert_to(${rowLineSql(projector, alias)}, 'UTF8'))`;

/** A query for all row hashes of a table in ascending order, one a row: its text output through sha256sum is the digest. */
export const rowHashesSql = (projector: AnyProjector, table = tableOf(projector)): string =>
  `SELECT encode(${rowHashSql(projector)}, 'hex') FROM ${table} t ORDER BY ${rowHashSql(projector)}`;
