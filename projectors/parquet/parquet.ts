// Parquet files, written by DuckDB: the one place that knows it. It reads a CSV with every value quoted and NULL as \N, which
// says apart what is empty and what is nothing, and holds a few row groups, whatever the size.
import { DuckDBInstance } from '@duckdb/node-api';
import type { ColumnType } from '#projectors/projector.ts';

/** As what a column comes in the CSV, and what it is in the file. */
const TYPES: { readonly [Type in ColumnType]: (name: string) => string } = {
  text: (name) => name,
  bigint: (name) => `${name}::BIGINT`,
  integer: (name) => `${name}::INTEGER`,
  boolean: (name) => `${name}::BOOLEAN`,
  timestamptz: (name) => `${name}::TIMESTAMPTZ`,
  date: (name) => `${name}::DATE`,
  jsonb: (name) => `${name}::JSON`,
  'text[]': (name) => `from_json(${name}, '["VARCHAR"]')`,
  bytea: (name) => `unhex(${name})`,
};

/** How PostgreSQL must write a column so that this reads it; the session's zone is UTC. */
export const csvSelect = (name: string, type: ColumnType): string => {
  if (type === 'bytea') return `encode(${name}, 'hex') AS ${name}`;
  if (type === 'text[]') return `to_jsonb(${name}) AS ${name}`;
  return name;
};

/** Options of COPY for such a CSV. */
export const CSV_OPTIONS = String.raw`FORMAT csv, NULL '\N', FORCE_QUOTE *`;

export interface ParquetColumn {
  readonly name: string;
  readonly type: ColumnType;
}

export interface ParquetOptions {
  readonly csv: string;
  readonly file: string;
  readonly columns: readonly ParquetColumn[];
}

const MEMORY = '512MB';
/** A row is a receipt, of at most one mebibyte, with its quotes doubled. */
const LINE_BYTES = 8 << 20;

const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/** Writes the file and answers with its rows. */
export const parquetFromCsv = async ({ csv, file, columns }: ParquetOptions): Promise<number> => {
  const database = await DuckDBInstance.create(':memory:', {
    memory_limit: MEMORY,
    threads: '1',
    autoinstall_known_extensions: 'false',
    autoload_known_extensions: 'false',
  });
  const connection = await database.connect();
  try {
    const select = columns.map(({ name, type }) => `${TYPES[type](name)} AS ${name}`).join(', ');
    const read = columns.map(({ name }) => `${literal(name)}: 'VARCHAR'`).join(', ');
    const { rowsChanged } = await connection.run(
      `COPY (SELECT ${select} FROM read_csv(${literal(csv)}, header = false, auto_detect = false, delim = ',', quote = '"', escape = '"',
         nullstr = '\\N', allow_quoted_nulls = false, new_line = '\\n', parallel = false, max_line_size = ${LINE_BYTES},
         buffer_size = ${2 * LINE_BYTES}, columns = {${read}})) TO ${literal(file)} (FORMAT parquet, COMPRESSION zstd)`,
    );
    return rowsChanged;
  } finally {
    connection.closeSync();
    database.closeSync();
  }
};
