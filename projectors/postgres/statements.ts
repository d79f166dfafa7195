// The SQL of one read model, built once from its projector.
import { type AnyProjector, keyText } from '#projectors/batch.ts';
import type { Row, RowKey } from '#projectors/projector.ts';
import { type Column, columnArray, columnsOf, keyColumnsOf } from './columns.ts';

export interface Statement {
  readonly name: string;
  readonly text: string;
  readonly values: unknown[];
}

export interface Statements {
  readonly load: (tenant: string, keys: Iterable<RowKey>) => Statement;
  readonly insert: (tenant: string, rows: readonly Row[]) => Statement;
  readonly upsert: (tenant: string, rows: readonly Row[]) => Statement;
  readonly remove: (tenant: string, keys: readonly RowKey[]) => Statement;
  /** `keyText` of a loaded row. */
  readonly keyTextOf: (row: Row) => string;
}

/** The table of one version of a read model, e.g. `projections.receipts_v1`. */
export const tableOf = ({ name, version }: AnyProjector): string => `projections.${name}_v${version}`;

/** What analysts query, e.g. `views.receipts`; stays the same when the version changes. */
export const viewOf = ({ name }: AnyProjector): string => `views.${name}`;

/** Table and columns in the order of `rowWriter`'s rows, for COPY. */
export const copyTarget = (projector: AnyProjector): string =>
  `${tableOf(projector)} (tenant, ${columnsOf(projector)
    .map(({ name }) => name)
    .join(', ')})`;

const list = (items: readonly string[]): string => items.join(', ');

/** `unnest($2::text[], $3::date[]) AS u (a, b)`; a table of no columns has one row. */
const unnest = (columns: readonly Column[]): string =>
  columns.length === 0
    ? '(VALUES (0)) AS u (one)'
    : `unnest(${list(columns.map(({ codec }, index) => `$${index + 2}::${codec.arrayType}`))}) AS u (${list(columns.map(({ name }) => name))})`;

const arrays = (columns: readonly Column[], keys: readonly RowKey[]): Buffer[] =>
  columns.map((column, index) =>
    columnArray(
      column,
      keys.map((key) => key[index]),
    ),
  );

const sameKey = (keys: readonly Column[]): string =>
  ['t.tenant = $1', ...keys.map(({ name }) => `t.${name} = u.${name}`)].join(' AND ');

export const statementsOf = (projector: AnyProjector): Statements => {
  const columns = columnsOf(projector);
  const keys = keyColumnsOf(projector);
  const table = tableOf(projector);
  const names = columns.map(({ name }) => name);
  const keyNames = new Set<string>(projector.key);
  const changing = names.filter((name) => !keyNames.has(name));
  const insert = `INSERT INTO ${table} (tenant, ${list(names)}) SELECT $1, ${list(columns.map(({ name, codec }) => `u.${name}${codec.cast}`))} FROM ${unnest(columns)}`;
  const update =
    changing.length === 0
      ? 'NOTHING'
      : `UPDATE SET ${list(changing.map((name) => `${name} = excluded.${name}`))}`;
  const upsert = `${insert} ON CONFLICT (tenant${keys.map(({ name }) => `, ${name}`).join('')}) DO ${update}`;
  const load = `SELECT ${list(columns.map(({ name, codec }) => `${codec.select(`t.${name}`)} AS ${name}`))} FROM ${unnest(keys)} JOIN ${table} t ON ${sameKey(keys)}`;
  const remove = `DELETE FROM ${table} t USING ${unnest(keys)} WHERE ${sameKey(keys)}`;
  const label = `${projector.name}_v${projector.version}`;
  const write = (kind: string, text: string) => (tenant: string, rows: readonly Row[]) => ({
    name: `${label}.${kind}`,
    text,
    values: [
      tenant,
      ...columns.map((column) =>
        columnArray(
          column,
          rows.map((row) => row[column.name]),
        ),
      ),
    ],
  });
  const byKey = (kind: string, text: string) => (tenant: string, wanted: Iterable<RowKey>) => ({
    name: `${label}.${kind}`,
    text,
    values: [tenant, ...arrays(keys, [...wanted])],
  });
  return {
    load: byKey('load', load),
    insert: write('insert', insert),
    upsert: write('upsert', upsert),
    remove: byKey('remove', remove),
    keyTextOf: (row) => keyText(projector.key.map((name: string) => row[name] as string)),
  };
};
