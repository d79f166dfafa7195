// The law of projectors/: what can be asked.
//
// A projector is keyed rows and a pure fold; the machinery does all input and output. Live, rebuilt, replayed or
// as of a point in time, a read model comes out of the same two functions, so the same history gives the same
// rows. A fold never reads a clock, a locale or another row; what it throws parks the fact and halts its tenant.
import type { DomainEvent, Fact } from '#schemas/event.ts';

/**
 * Column types a read model may use, and what a fold puts there: `bigint` a safe integer, `timestamptz` an
 * `Instant` (milliseconds), `date` a string `YYYY-MM-DD`, `jsonb` any JSON value, `text[]` an array of strings,
 * `bytea` lower-case hexadecimal. `undefined` or `null` is SQL NULL.
 */
export type ColumnType =
  | 'text'
  | 'bigint'
  | 'integer'
  | 'boolean'
  | 'timestamptz'
  | 'date'
  | 'jsonb'
  | 'text[]'
  | 'bytea';

export type RowValue = string | number | boolean | readonly string[] | object | null | undefined;
export type Row = { readonly [column: string]: RowValue };

/** The values of a read model's key columns, in their order; the tenant comes before them and is not repeated. */
export type RowKey = readonly string[];

export interface Projector<E extends DomainEvent = DomainEvent, R extends Row = Row> {
  /** Name of the read model: the domain, or `<domain>_<aspect>`. Its table is in `<name>.sql`. */
  readonly name: string;
  /** Counts up with every change of meaning; each version has a table of its own. */
  readonly version: number;
  /** Event types the fold looks at; all others advance the checkpoint only. */
  readonly handles: readonly E['type'][];
  /** All columns except `tenant`, which the machinery fills. */
  readonly columns: { readonly [Column in keyof R & string]: ColumnType };
  /** The columns that identify a row within its tenant, each of type `text` or `date`; empty: one row per tenant. */
  readonly key: readonly (keyof R & string)[];
  /** True when every fact makes one new row and no row is ever touched again: rows are then written without being read. */
  readonly insertOnly?: boolean;
  /** The rows this fact touches. */
  readonly keys: (fact: Fact<E>) => readonly RowKey[];
  /** The row as it was (or `undefined`) to the row as it is (or `undefined`: gone). `key` is the one being folded. */
  readonly fold: (row: R | undefined, fact: Fact<E>, key: RowKey) => R | undefined;
}
