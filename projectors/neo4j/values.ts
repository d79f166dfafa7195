// Values of read models as Neo4j keeps them, each column type in one Neo4j type, and back: what a fold gives, it is
// given again. Integers are integers and never floats; times are zoned and in UTC; JSON is its text.
import neo4j from 'neo4j-driver';
import type { ColumnType, RowValue } from '#projectors/projector.ts';

/** A value that its column type does not have. The fact that made it is parked. */
export class UnfitElement extends Error {
  override readonly name = 'UnfitElement';
  constructor(value: unknown, wanted: string) {
    super(`${String(JSON.stringify(value)).slice(0, 80)} is not ${wanted}`);
  }
}

const MS = 1_000_000;

const text = (value: RowValue): string => {
  if (typeof value !== 'string' || !value.isWellFormed())
    throw new UnfitElement(value, 'a text of whole characters');
  // PostgreSQL, where the twin is, has no such text.
  if (value.includes('\0')) throw new UnfitElement(value, 'a text without NUL');
  return value;
};

const whole = (most: number) => (value: RowValue) => {
  if (!Number.isSafeInteger(value) || Math.abs(value as number) > most)
    throw new UnfitElement(value, 'an integer of its column');
  return neo4j.int(value as number);
};

const hex = (value: RowValue): string => {
  if (!/^(?:[0-9a-f]{2})*$/.test(text(value))) throw new UnfitElement(value, 'lower-case hexadecimal');
  return value as string;
};

const time = (value: RowValue) => {
  const date = new Date(value as number);
  const year = date.getUTCFullYear();
  if (!Number.isSafeInteger(value) || !(year >= 1 && year <= 9999))
    throw new UnfitElement(value, 'a time of the years 0001 to 9999');
  return utc(date);
};

const utc = (date: Date) =>
  new neo4j.types.DateTime(
    neo4j.int(date.getUTCFullYear()),
    neo4j.int(date.getUTCMonth() + 1),
    neo4j.int(date.getUTCDate()),
    neo4j.int(date.getUTCHours()),
    neo4j.int(date.getUTCMinutes()),
    neo4j.int(date.getUTCSeconds()),
    neo4j.int(date.getUTCMilliseconds() * MS),
    neo4j.int(0),
  );

const day = (value: RowValue) => {
  const [, year, month, date] = /^(\d{4})-(\d\d)-(\d\d)$/.exec(text(value)) ?? [];
  const parsed = Date.parse(`${text(value)}T00:00:00Z`);
  if (year === undefined || Number.isNaN(parsed) || new Date(parsed).getUTCDate() !== Number(date))
    throw new UnfitElement(value, 'a date from 0001-01-01 to 9999-12-31');
  return new neo4j.types.Date(neo4j.int(Number(year)), neo4j.int(Number(month)), neo4j.int(Number(date)));
};

const boolean = (value: RowValue): boolean => {
  if (typeof value !== 'boolean') throw new UnfitElement(value, 'true or false');
  return value;
};

const texts = (value: RowValue): readonly string[] => {
  if (!Array.isArray(value)) throw new UnfitElement(value, 'a list of texts');
  return value.map((item: RowValue) => text(item));
};

const WRITE: { readonly [Type in ColumnType]: (value: RowValue) => unknown } = {
  text,
  bigint: whole(Number.MAX_SAFE_INTEGER),
  integer: whole(2 ** 31 - 1),
  boolean,
  timestamptz: time,
  date: day,
  jsonb: (value) => text(JSON.stringify(value)),
  'text[]': texts,
  bytea: hex,
};

/** NULL is no property. Throws `UnfitElement`. */
export const toGraph = (type: ColumnType, value: RowValue): unknown =>
  value === null || value === undefined ? null : WRITE[type](value);

const number = (value: unknown): number => (neo4j.isInt(value) ? value.toNumber() : (value as number));

const milliseconds = (value: unknown): number =>
  neo4j.isDateTime(value) ? value.toStandardDate().getTime() : Number.NaN;

const READ: { readonly [Type in ColumnType]: (value: unknown) => RowValue } = {
  text: (value) => value as string,
  bigint: number,
  integer: number,
  boolean: (value) => value as boolean,
  timestamptz: milliseconds,
  date: (value) => String(value),
  jsonb: (value) => JSON.parse(value as string) as RowValue,
  'text[]': (value) => value as readonly string[],
  bytea: (value) => value as string,
};

/** What `toGraph` was given. */
export const fromGraph = (type: ColumnType, value: unknown): RowValue =>
  value === null || value === undefined ? null : READ[type](value);

export const asInteger = (value: number): unknown => neo4j.int(value);
export const asNumber = number;
