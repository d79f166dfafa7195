// The table side of attestation: elements out of the rows of a view, by the columns that the mapper catalog names. Names
// of the catalog are quoted; everything else is a parameter.

import type { ElementColumns, ElementSource, Mapping } from '#projectors/attestation/catalog.ts';
import { type CanonicalElement, canonicalElement, type Observed } from '#projectors/attestation/element.ts';
import type { AttestedStore } from '#projectors/attestation/store.ts';
import type { ColumnType } from '#projectors/projector.ts';
import type { Seq, Sha256 } from '#schemas/ids.ts';
import { type Pool, streamError } from '#streams/postgres/connect.ts';

const name = (of: string): string =>
  of
    .split('.')
    .map((part) => `"${part.replaceAll('"', '""')}"`)
    .join('.');

/** As text that says it all; the kind of value is that of the column, which PostgreSQL has held every row to. */
const asText = (type: ColumnType, column: string): string => {
  switch (type) {
    case 'timestamptz':
      return `((extract(epoch FROM ${column}) * 1000000)::bigint * 1000)::text`;
    case 'bytea':
      return `encode(${column}, 'hex')`;
    case 'text[]':
      return `to_json(${column})::text`;
    case 'text':
    case 'bigint':
    case 'integer':
    case 'boolean':
    case 'date':
    case 'jsonb':
      return `${column}::text`;
    default:
      return type satisfies never;
  }
};

const IS = {
  text: 'text',
  bytea: 'text',
  bigint: 'int',
  integer: 'int',
  boolean: 'bool',
  timestamptz: 'time',
  date: 'date',
  jsonb: 'json',
} as const;

const observed = (type: ColumnType, text: string): Observed =>
  type === 'text[]'
    ? { is: 'list', items: (JSON.parse(text) as string[]).map((item) => ({ is: 'text', text: item })) }
    : { is: IS[type], text };

interface Row {
  readonly id: string;
  readonly target: string;
  readonly seq: number;
  readonly [property: `p_${string}`]: string | null;
}

export interface AttestedTablesOptions {
  readonly pool: Pool;
  readonly mapping: Mapping;
}

export const attestedTables = ({ pool, mapping }: AttestedTablesOptions): AttestedStore => {
  const kinds = Object.entries(mapping.elements);
  const ask = async <T extends object>(text: string, values: readonly unknown[]): Promise<readonly T[]> => {
    try {
      return (await pool.query<T>(text, [...values])).rows;
    } catch (error) {
      throw streamError(error);
    }
  };
  const elements = (
    element: string,
    source: ElementSource,
    rows: readonly Row[],
  ): readonly CanonicalElement[] => {
    const properties = Object.keys(source.properties ?? {});
    return rows.map((row) => {
      const fields = properties.map((property) => {
        const text = row[`p_${property}`];
        return [
          property,
          text === null || text === undefined ? undefined : observed(typeOf(mapping, property), text),
        ];
      });
      return canonicalElement({
        element,
        id: row.id,
        target: row.target,
        seq: row.seq,
        fields: Object.fromEntries(fields),
      });
    });
  };
  return {
    name: 'postgres',
    position: async (tenant) => {
      const rows = await ask<{ seq: Seq; hash: Sha256 }>(POSITION, [mapping.table.name, tenant]);
      return rows[0];
    },
    range: async (tenant, from, to) => {
      const all: CanonicalElement[] = [];
      for (const [element, source] of kinds)
        all.push(...elements(element, source, await ask<Row>(rangeSql(mapping, source), [tenant, from, to])));
      return all;
    },
    find: async (tenant, wanted) => {
      const all: CanonicalElement[] = [];
      for (const [element, source] of kinds) {
        const some = wanted.filter(([kind]) => kind === element);
        if (some.length === 0) continue;
        const ends = [some.map(([, id]) => id), some.map(([, , target]) => target)];
        all.push(...elements(element, source, await ask<Row>(findSql(mapping, source), [tenant, ...ends])));
      }
      return all;
    },
    // A row has its place by a constraint, and one beyond the checkpoint is of a step that was taken meanwhile.
    strays: async () => [],
  };
};

/** A property is of the type that its graph declares. */
const typeOf = ({ graph, route }: Mapping, property: string): ColumnType => {
  const type = (graph.columns as { readonly [column: string]: ColumnType })[property];
  if (type) return type;
  throw new TypeError(`${graph.name} has no column ${property}: correct ${route} in the mapper catalog`);
};

const POSITION = `
SELECT c.seq, encode(c.hash, 'hex') AS hash
FROM projections.read_models m
JOIN projections.checkpoints c ON c.projection = m.projection AND c.version = m.version AND c.build = m.live_build
WHERE m.projection = $1 AND m.shown AND c.tenant = $2`;

/** One element a row, from each of the columns that name such elements. */
const rowsOf = (
  mapping: Mapping,
  { from, properties = {} }: ElementSource,
  where: (columns: ElementColumns) => string,
): string =>
  from
    .map((columns) => {
      const { id, target } = columns;
      const selected = Object.entries(properties).map(
        ([property, column]) =>
          `, ${asText(typeOf(mapping, property), name(column))} AS ${name(`p_${property}`)}`,
      );
      const present = [id, target]
        .filter((column) => column !== undefined)
        .map((column) => `${name(column)} IS NOT NULL`);
      return `SELECT tenant, seq, ${name(id)} AS id, ${target === undefined ? "''" : name(target)} AS target${selected.join('')}
        FROM ${name(mapping.view)} WHERE tenant = $1 AND ${present.join(' AND ')} AND ${where(columns)}`;
    })
    .join(' UNION ALL ');

/** Of a shared element its first row in the range, unless an earlier one has it already. */
const rangeSql = (mapping: Mapping, source: ElementSource): string => {
  const rows = rowsOf(mapping, source, () => 'seq BETWEEN $2 AND $3');
  if (!source.shared) return rows;
  const earlier = source.from.map(({ id, target }) => {
    const same = [`e.${name(id)} = g.id`, ...(target === undefined ? [] : [`e.${name(target)} = g.target`])];
    return `NOT EXISTS (SELECT FROM ${name(mapping.view)} e WHERE e.tenant = $1 AND ${same.join(' AND ')} AND e.seq < $2)`;
  });
  return `SELECT g.* FROM (SELECT id, target, min(seq) AS seq FROM (${rows}) r GROUP BY id, target) g WHERE ${earlier.join(' AND ')}`;
};

const findSql = (mapping: Mapping, source: ElementSource): string => {
  const rows = rowsOf(
    mapping,
    source,
    ({ id, target }) =>
      `(${name(id)}, ${target === undefined ? "''" : name(target)}) IN (SELECT * FROM unnest($2::text[], $3::text[]))`,
  );
  return source.shared ? `SELECT id, target, min(seq) AS seq FROM (${rows}) r GROUP BY id, target` : rows;
};
