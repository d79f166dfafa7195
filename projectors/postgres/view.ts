// The view of a read model: the same name and columns for good, whichever version and build stand behind it. Which one
// that is, is a row that the view reads: a switch changes the row, and every reader sees, by its own snapshot, all of
// the one or all of the other. Nothing is locked for it, and no query breaks.
import { StreamError } from '#streams/errors.ts';
import { type Client, RUNTIME_ROLE } from '#streams/postgres/connect.ts';
import { ANALYST_ROLE, gateOf, VIEWS_ROLE } from './isolation.ts';
import { tableOf, viewOf } from './statements.ts';

export interface TableColumn {
  readonly name: string;
  readonly type: string;
  readonly collation: string | null;
  readonly comment: string | null;
}

/** The columns of a table or view; none when there is no such relation. */
export const describeColumns = async (client: Client, relation: string): Promise<readonly TableColumn[]> =>
  (
    await client.query<TableColumn>(
      `SELECT a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS type,
              (SELECT format('%I.%I', n.nspname, l.collname) FROM pg_collation l JOIN pg_namespace n ON n.oid = l.collnamespace
               WHERE l.oid = a.attcollation) AS collation,
              col_description(a.attrelid, a.attnum) AS comment
       FROM pg_attribute a WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`,
      [relation],
    )
  ).rows;

/** Column by which the machinery tells builds apart; no view shows it. */
export const BUILD_COLUMN = 'build';

interface Shape {
  readonly version: number;
  readonly gate: string;
  readonly columns: readonly TableColumn[];
}

const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/**
 * Makes the view, or makes it anew when a version came or went: its columns stay and newer ones come behind them.
 * Throws `StreamError`: `schema-mismatch` when a version lacks a column that queries may use, or gives it another type.
 */
export const ensureView = async (client: Client, name: string): Promise<void> => {
  const view = viewOf({ name });
  const { rows } = await client.query<{ version: number }>(
    'SELECT version FROM projections.read_models WHERE projection = $1 ORDER BY version',
    [name],
  );
  const shapes: Shape[] = [];
  for (const { version } of rows) {
    const gate = gateOf({ name, version });
    const columns = await describeColumns(client, gate);
    if (columns.length > 0)
      shapes.push({ version, gate, columns: columns.filter((column) => column.name !== BUILD_COLUMN) });
  }
  const newest = shapes.at(-1);
  if (!newest) return;
  const columns = await viewColumns(client, { name, shapes });
  await client.query(
    `CREATE OR REPLACE VIEW ${view} AS ${shapes.map((shape) => branch(name, shape, columns)).join(' UNION ALL ')}`,
  );
  await commentOn(client, { view, table: tableOf({ name, version: newest.version }) });
  await client.query(`GRANT SELECT ON ${view} TO ${RUNTIME_ROLE}, ${ANALYST_ROLE}`);
  await client.query(`ALTER VIEW ${view} OWNER TO ${VIEWS_ROLE}`);
};

interface ViewShape {
  readonly name: string;
  readonly shapes: readonly Shape[];
}

const viewColumns = async (client: Client, { name, shapes }: ViewShape): Promise<readonly TableColumn[]> => {
  const columns = [...(await describeColumns(client, viewOf({ name })))];
  for (const shape of shapes)
    for (const column of shape.columns)
      if (!columns.some((known) => known.name === column.name)) columns.push(column);
  const newest = shapes.at(-1) as Shape;
  for (const { name: column, type } of columns) {
    const now = newest.columns.find((candidate) => candidate.name === column);
    if (now?.type === type) continue;
    const what = now ? `makes it ${now.type}, it was ${type}` : 'has none';
    throw new StreamError(
      'schema-mismatch',
      `${viewOf({ name })} shows a column ${column}, and version ${newest.version} ${what}: queries would break; keep the column as it was and give what is new another name`,
    );
  }
  return columns;
};

const branch = (name: string, { version, gate, columns }: Shape, wanted: readonly TableColumn[]): string => {
  const list = wanted.map((column) => {
    if (columns.some((own) => own.name === column.name)) return `g.${column.name}`;
    const collate = column.collation === null ? '' : ` COLLATE ${column.collation}`;
    return `NULL::${column.type}${collate} AS ${column.name}`;
  });
  return `SELECT ${list.join(', ')} FROM ${gate} g WHERE g.${BUILD_COLUMN} = (SELECT m.live_build FROM projections.read_models m WHERE m.projection = ${literal(name)} AND m.version = ${version} AND m.shown)`;
};

/** The comments of a table on a view over it, column by column. */
export const commentOn = async (
  client: Client,
  { view, table }: { readonly view: string; readonly table: string },
): Promise<void> => {
  const { rows } = await client.query<{ comment: string | null }>(
    'SELECT obj_description(to_regclass($1)) AS comment',
    [table],
  );
  await client.query(`COMMENT ON VIEW ${view} IS ${literal(rows[0]?.comment ?? '')}`);
  const shown = new Set((await describeColumns(client, view)).map(({ name }) => name));
  for (const { name: column, comment } of await describeColumns(client, table))
    if (shown.has(column))
      await client.query(`COMMENT ON COLUMN ${view}.${column} IS ${literal(comment ?? '')}`);
};
