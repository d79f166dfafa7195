// What a database holds, as text, read from PostgreSQL's own catalogues: tables, columns, constraints, indexes, views,
// functions, triggers, sequences, rights, comments. Equal text, equal schema.
import type { Pool } from '#streams/postgres/connect.ts';

const IN_SCHEMAS = (schema: string): string => `${schema}.nspname = ANY ($1)`;

const PARTS: readonly (readonly [title: string, sql: string])[] = [
  [
    'schemas',
    `SELECT nspname AS line, nspacl::text AS rights FROM pg_namespace n WHERE ${IN_SCHEMAS('n')} AND nspname <> 'public'`,
  ],
  [
    'relations',
    `SELECT format('%s.%s %s', n.nspname, c.relname, CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' WHEN 'S' THEN 'sequence' ELSE c.relkind::text END) AS line,
       array_to_string(c.reloptions, ' ') AS options, c.relacl::text AS rights
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE ${IN_SCHEMAS('n')} AND c.relkind IN ('r', 'v', 'S', 'p', 'm')`,
  ],
  [
    'columns',
    `SELECT format('%s.%s %s %s %s', n.nspname, c.relname, lpad(a.attnum::text, 2), a.attname, format_type(a.atttypid, a.atttypmod)) AS line,
       CASE WHEN a.attnotnull THEN 'not null' END AS required, pg_get_expr(d.adbin, d.adrelid) AS "default",
       CASE a.attidentity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by default' END AS identity,
       CASE WHEN l.collname <> 'default' THEN l.collname END AS collation, a.attacl::text AS rights
     FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum LEFT JOIN pg_collation l ON l.oid = a.attcollation
     WHERE ${IN_SCHEMAS('n')} AND c.relkind IN ('r', 'v') AND a.attnum > 0 AND NOT a.attisdropped`,
  ],
  [
    'constraints',
    `SELECT format('%s.%s %s: %s', n.nspname, c.relname, o.conname, pg_get_constraintdef(o.oid)) AS line
     FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE ${IN_SCHEMAS('n')} AND o.contype <> 'n'`,
  ],
  [
    'sequences',
    `SELECT format('%s.%s start %s increment %s', schemaname, sequencename, start_value, increment_by) AS line FROM pg_sequences WHERE schemaname = ANY ($1)`,
  ],
  ['indexes', 'SELECT indexdef AS line FROM pg_indexes WHERE schemaname = ANY ($1)'],
  [
    'views',
    `SELECT format('%s.%s', schemaname, viewname) AS line, definition FROM pg_views WHERE schemaname = ANY ($1)`,
  ],
  [
    'functions',
    `SELECT format('%s.%s(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) AS line, p.proacl::text AS rights,
       pg_get_functiondef(p.oid) AS definition
     FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE ${IN_SCHEMAS('n')}`,
  ],
  [
    'triggers',
    `SELECT format('%s enabled %s', pg_get_triggerdef(t.oid), t.tgenabled) AS line FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
     JOIN pg_namespace n ON n.oid = c.relnamespace WHERE ${IN_SCHEMAS('n')} AND NOT t.tgisinternal`,
  ],
  [
    'comments',
    `SELECT format('%s.%s%s: %s', n.nspname, c.relname, '.' || a.attname, d.description) AS line
     FROM pg_description d JOIN pg_class c ON c.oid = d.objoid AND d.classoid = 'pg_class'::regclass
     JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.objsubid AND d.objsubid > 0
     WHERE ${IN_SCHEMAS('n')}`,
  ],
];

/** The owner's name is another one on every server: it is written as OWNER. */
export const schemaText = async (pool: Pool, schemas: readonly string[]): Promise<string> => {
  const { rows: who } = await pool.query<{ owner: string }>('SELECT current_user AS owner');
  const owner = who[0]?.owner ?? '';
  const sections: string[] = [];
  for (const [title, sql] of PARTS) {
    const { rows } = await pool.query<Record<string, string | null>>(sql, [schemas]);
    const entries = rows.map(({ line, ...rest }) => entry(line ?? '', rest)).sort();
    sections.push(`# ${title}\n${entries.join('\n')}\n`);
  }
  return sections
    .join('\n')
    .replaceAll(new RegExp(`\\b${owner}(?==|/|[,}]|\\b)`, 'g'), (found, at: number, whole: string) =>
      /[{,/]/.test(whole[at - 1] ?? '') ? 'OWNER' : found,
    );
};

const entry = (line: string, rest: Readonly<Record<string, string | null>>): string => {
  const parts = Object.entries(rest).flatMap(([name, value]) => {
    if (value === null || value === '') return [];
    return [value.includes('\n') ? `\n${value.trimEnd().replaceAll(/^/gm, '    ')}` : ` ${name}: ${value}`];
  });
  return line + parts.join('');
};
