// A read model's columns on the wire: how each type is sent (as one array parameter per column, or as a field of a
// COPY row) and read back. No driver is needed here, so the importer's worker can use it too.
import type { AnyProjector } from '#projectors/batch.ts';
import type { ColumnType, Row, RowValue } from '#projectors/projector.ts';
import { type BinaryWriter, binaryArray, OID } from '#streams/postgres/binary.ts';

interface Codec {
  /** Element type of the array parameter. */
  readonly oid: number;
  readonly arrayType: string;
  /** From an element of that array to the column; unnest flattens arrays of arrays, so `text[]` travels as text. */
  readonly cast: string;
  /** What `format_type` says of the column. */
  readonly sqlType: string;
  readonly write: (writer: BinaryWriter, value: never) => void;
  /** COPY takes the column's own binary form, where it differs from the array's element. */
  readonly copy?: (writer: BinaryWriter, value: never) => void;
  /** Select expression that gives the value as a fold has it. */
  readonly select: (column: string) => string;
}

const asIs = (column: string): string => column;
const DAY_MS = 86_400_000;
/** Days from 1970-01-01 to 2000-01-01, PostgreSQL's epoch. */
const PG_EPOCH_DAYS = 10_957;

/** A value that its column cannot hold. The fact that made it is parked, like one the database refuses. */
export class UnfitValue extends Error {
  override readonly name = 'UnfitValue';
  constructor(value: unknown, wanted: string) {
    super(`${String(JSON.stringify(value)).slice(0, 80)} is not ${wanted}`);
  }
}

// The binary forms have no server in front that would notice: a wrong value would be stored as another one.
const text = (value: string): string => {
  if (typeof value !== 'string') throw new UnfitValue(value, 'a text');
  return value;
};

const whole = (value: number): number => {
  if (!Number.isSafeInteger(value)) throw new UnfitValue(value, 'a safe integer');
  return value;
};

const int4 = (value: number): number => {
  if (value !== (value | 0)) throw new UnfitValue(value, 'an integer of 32 bits');
  return value;
};

const hex = (value: string): string => {
  if (!/^(?:[0-9a-f]{2})*$/.test(value)) throw new UnfitValue(value, 'lower-case hexadecimal');
  return value;
};

const days = (value: string): number => {
  const ms = /^(?!0000)\d{4}-\d\d-\d\d$/.test(value) ? Date.parse(`${value}T00:00:00Z`) : Number.NaN;
  if (Number.isNaN(ms)) throw new UnfitValue(value, 'a date from 0001-01-01 to 9999-12-31');
  return ms / DAY_MS - PG_EPOCH_DAYS;
};

const writeText = (writer: BinaryWriter, value: string): void => writer.text(text(value));

const arrayLiteral = (items: readonly string[]): string =>
  `{${items.map((item) => `"${item.replace(/["\\]/g, '\\$&')}"`).join(',')}}`;

const copyTextArray = (writer: BinaryWriter, items: readonly string[]): void =>
  writer.raw(binaryArray(OID.text, items, writeText));

// The binary form of jsonb is the version, one byte, and the text; U+0001 is that byte in UTF-8.
const copyJsonb = (writer: BinaryWriter, value: unknown): void =>
  writer.text(`\u0001${JSON.stringify(value)}`);

const CODECS: { readonly [Type in ColumnType]: Codec } = {
  text: { oid: OID.text, arrayType: 'text[]', cast: '', sqlType: 'text', write: writeText, select: asIs },
  bigint: {
    oid: OID.int8,
    arrayType: 'bigint[]',
    cast: '',
    sqlType: 'bigint',
    write: (writer, value: number) => writer.int8(whole(value)),
    select: asIs,
  },
  integer: {
    oid: OID.int4,
    arrayType: 'integer[]',
    cast: '',
    sqlType: 'integer',
    write: (writer, value: number) => writer.int4(int4(value)),
    select: asIs,
  },
  boolean: {
    oid: OID.bool,
    arrayType: 'boolean[]',
    cast: '',
    sqlType: 'boolean',
    write: (writer, value: boolean) => writer.bool(value),
    select: asIs,
  },
  timestamptz: {
    oid: OID.timestamptz,
    arrayType: 'timestamptz[]',
    cast: '',
    sqlType: 'timestamp with time zone',
    write: (writer, value: number) => writer.timestamptz(whole(value)),
    select: (column) => `(extract(epoch FROM ${column}) * 1000)::bigint`,
  },
  date: {
    oid: OID.date,
    arrayType: 'date[]',
    cast: '',
    sqlType: 'date',
    write: (writer, value: string) => writer.int4(days(value)),
    select: (column) => `to_char(${column}, 'YYYY-MM-DD')`,
  },
  jsonb: {
    oid: OID.text,
    arrayType: 'text[]',
    cast: '::jsonb',
    sqlType: 'jsonb',
    write: (writer, value: unknown) => writer.text(JSON.stringify(value)),
    copy: copyJsonb,
    select: asIs,
  },
  'text[]': {
    oid: OID.text,
    arrayType: 'text[]',
    cast: '::text[]',
    sqlType: 'text[]',
    write: (writer, value: readonly string[]) => writer.text(arrayLiteral(value)),
    copy: copyTextArray,
    select: asIs,
  },
  bytea: {
    oid: OID.bytea,
    arrayType: 'bytea[]',
    cast: '',
    sqlType: 'bytea',
    write: (writer, value: string) => writer.hex(hex(value)),
    select: (column) => `encode(${column}, 'hex')`,
  },
};

export interface Column {
  readonly name: string;
  readonly type: ColumnType;
  readonly codec: Codec;
}

/** The columns of a read model in the projector's order, without `tenant`, which comes first in the table. */
export const columnsOf = (projector: AnyProjector): readonly Column[] =>
  Object.entries(projector.columns as Readonly<Record<string, ColumnType>>).map(([name, type]) => ({
    name,
    type,
    codec: CODECS[type],
  }));

export const keyColumnsOf = (projector: AnyProjector): readonly Column[] => {
  const columns = columnsOf(projector);
  return projector.key.map((name: string) => {
    const column = columns.find((candidate) => candidate.name === name);
    if (!column) throw new Error(`${projector.name}: the key column ${name} is not among the columns`);
    return column;
  });
};

const put = (writer: BinaryWriter, write: Codec['write'], value: RowValue): void => {
  if (value === undefined || value === null) writer.nil();
  else write(writer, value as never);
};

/** One column of many rows as an array parameter. */
export const columnArray = (column: Column, values: readonly RowValue[]): Buffer =>
  binaryArray(column.codec.oid, values, (writer, value) => put(writer, column.codec.write, value));

/**
 * A writer of COPY rows (binary, without header and trailer) into `(tenant, ...columns)`; see `copyTarget` in
 * `statements.ts`.
 */
export const rowWriter = (
  projector: AnyProjector,
): ((writer: BinaryWriter, tenant: string, row: Row) => void) => {
  const columns = columnsOf(projector).map(({ name, codec }) => ({ name, write: codec.copy ?? codec.write }));
  return (writer, tenant, row) => {
    writer.u16(columns.length + 1);
    writer.text(tenant);
    for (const { name, write } of columns) put(writer, write, row[name]);
  };
};
