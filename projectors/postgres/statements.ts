// The SQL of one table of a read model, built once from its projector. Rows of many tenants go in one statement.
import { type AnyProjector, keyText } from '#projectors/batch.ts';
import type { Row, RowKey } from '#projectors/projector.ts';
import type { TenantId } from '#schemas/ids.ts';
import { type Column, columnArray, columnsOf, keyColumnsOf } from './columns.ts';

export interface Statement {
  readonly name: string;
  readonly text: string;
  readonly values: unknown[];
}

export interface TenantRow {
  readonly tenant: TenantId;
  readonly row: Row;
}

export interface TenantKey {
  readonly tenant: TenantId;
  readonly key: RowKey;
}

export interface Statements {
  readonly table: string;
  readonly load: (keys: readonly TenantKey[]) => Statement;
  readonly insert: (rows: readonly TenantRow[]) => Statement;
  readonly upsert: (rows: readonly TenantRow[]) => Statement;
  readonly remove: (keys: readonly TenantKey[]) => Statement;
  /** Table and columns in the order of `rowWriter`'s rows, for COPY. */
  readonly copyTarget: string;
  /** `keyText` of a loaded row. */
  readonly keyTextOf: (row: Row) => string;
}

/** The table of one build, e.g. `projections.receipts_v1` and, after a rebuild, `projections.receipts_v1_b2`. */
export const tableOf = ({ name, version }: Pick<AnyProjector, 'name' | 'version'>, build = 1): string =>
  `projections.${name}_v${version}${build === 1 ? '' : `_b${build}`}`;

/** What analysts query, e.g. `views.receipts`; stays the same when version or build change. */
export const viewOf = ({ name }: Pick<AnyProjector, 'name'>): string => `views.${name}`;

const list = (items: readonly string[]): string => items.join(', ');

/** `unnest($1::text[], $2::date[]) AS u (tenant, day)` */
const unnest = (columns: readonly Column[]): string =>
  `unnest($1::text[]${columns.map(({ codec }, index) => `, $${index + 2}::${codec.arrayType}`).join('')}) AS u (${list(['tenant', ...columns.map(({ name }) => name)])})`;

const sameKey = (keys: readonly Column[]): string =>
  ['tenant', ...keys.map(({ name }) => name)].map((name) => `t.${name} = u.${name}`).join(' AND ');

/** As a fold has the values of a row. */
export const selectList = (projector: AnyProjector): string =>
  list(columnsOf(projector).map(({ name, codec }) => `${codec.select(`t.${name}`)} AS ${name}`));

export const statementsOf = (projector: AnyProjector, build = 1): Statements =>
  statementsFor(projector, tableOf(projector, build));

/** Of a table that is none of the builds. */
export const statementsFor = (projector: AnyProjector, table: string): Statements => {
  const columns = columnsOf(projector);
  const keys = keyColumnsOf(projector);
  const names = columns.map(({ name }) => name);
  const keyNames = new Set<string>(projector.key);
  const changing = names.filter((name) => !keyNames.has(name));
  const insert = `INSERT INTO ${table} (tenant, ${list(names)}) SELECT u.tenant, ${list(columns.map(({ name, codec }) => `u.${name}${codec.cast}`))} FROM ${unnest(columns)}`;
  const update =
    changing.length === 0
      ? 'NOTHING'
      : `UPDATE SET ${list(changing.map((name) => `${name} = excluded.${name}`))}`;
  const upsert = `${insert} ON CONFLICT (tenant${keys.map(({ name }) => `, ${name}`).join('')}) DO ${update}`;
  const load = `SELECT t.tenant, ${selectList(projector)} FROM ${unnest(keys)} JOIN ${table} t ON ${sameKey(keys)}`;
  const remove = `DELETE FROM ${table} t USING ${unnest(keys)} WHERE ${sameKey(keys)}`;
  const write = (kind: string, text: string) => (rows: readonly TenantRow[]) => ({
    name: `${table}.${kind}`,
    text,
    values: [
      rows.map(({ tenant }) => tenant),
      ...columns.map((column) =>
        columnArray(
          column,
          rows.map(({ row }) => row[column.name]),
        ),
      ),
    ],
  });
  const byKey = (kind: string, text: string) => (wanted: readonly TenantKey[]) => ({
    name: `${table}.${kind}`,
    text,
    values: [
      wanted.map(({ tenant }) => tenant),
      ...keys.map((column, index) =>
        columnArray(
          column,
          wanted.map(({ key }) => key[index]),
        ),
      ),
    ],
  });
  return {
    table,
    load: byKey('load', load),
    insert: write('insert', insert),
    upsert: write('upsert', upsert),
    remove: byKey('remove', remove),
    copyTarget: `${table} (tenant, ${list(names)})`,
    keyTextOf: (row) => keyText(projector.key.map((name: string) => row[name] as string)),
  };
};
