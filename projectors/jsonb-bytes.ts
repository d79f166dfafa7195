// The text that PostgreSQL gives a jsonb, as UTF-8 bytes (src/backend/utils/adt/jsonb.c, JsonbToCString; jsonb_util.c,
// lengthCompareJsonbStringValue): what the hash of a row is taken over. Every row of every read model comes through here,
// so it is written byte by byte into one arena: no text is put together that only a hash would look at.
import { putAscii } from '#proofs/bytes.ts';

// One for the whole thread: a value is written, hashed or read, and forgotten before the next one starts.
let arena = Buffer.allocUnsafe(16_384);

/** The bytes written from the arena's beginning; valid until the next value is written. */
export const jsonbBytes = (end: number): Buffer => arena.subarray(0, end);

/** Copies them. */
export const copyJsonb = (end: number, into: Uint8Array, at: number): void => {
  arena.copy(into, at, 0, end);
};

/** The arena with room for so many bytes behind `at`. */
const room = (at: number, bytes: number): Buffer => {
  if (at + bytes > arena.length)
    arena = Buffer.concat([arena.subarray(0, at)], Math.max(arena.length * 2, at + bytes));
  return arena;
};

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** Characters that stand for themselves, in one byte. Answers with the place behind what was written, as all here do. */
export const putPlain = (at: number, text: string): number => putAscii(room(at, text.length), at, text);

/** Any value that JSON can say. Throws `TypeError` for another. */
export const putJsonb = (at: number, value: unknown): number => {
  switch (typeof value) {
    case 'string':
      return putString(at, value);
    case 'number':
      return Number.isSafeInteger(value) && value > 0
        ? putDigits(at, value)
        : putPlain(at, numberText(value));
    case 'boolean':
      return putPlain(at, value ? 'true' : 'false');
    case 'object':
      if (value === null) return putPlain(at, 'null');
      return Array.isArray(value) ? putArray(at, value) : putObject(at, value as Members);
    case 'undefined':
      return putPlain(at, 'null');
    default:
      throw new TypeError(`${typeof value} is no JSON`);
  }
};

const MILLIARD = 1_000_000_000;

/** A whole number above zero; most are times, which `String` does not keep at hand. */
const putDigits = (at: number, value: number): number => {
  const high = Math.floor(value / MILLIARD);
  const start = high > 0 ? putDigits(at, high) : at;
  let low = value - high * MILLIARD;
  let end = start + 9;
  if (high === 0) for (end = at + 1; low >= 10 ** (end - at); end += 1);
  const into = room(start, 9);
  for (let to = end - 1; to >= start; to -= 1) {
    const rest = Math.floor(low / 10);
    into[to] = 0x30 + low - rest * 10;
    low = rest;
  }
  return end;
};

const putString = (at: number, text: string): number => {
  const { length } = text;
  const into = room(at, length + 2);
  into[at] = QUOTE;
  let to = at + 1;
  for (let index = 0; index < length; index += 1, to += 1) {
    const code = text.charCodeAt(index);
    if (code < 0x20 || code > 0x7e || code === QUOTE || code === BACKSLASH) return putEscaped(at, text);
    into[to] = code;
  }
  into[to] = QUOTE;
  return to + 1;
};

/** PostgreSQL escapes the same characters as `JSON.stringify`, in the same spelling. */
const putEscaped = (at: number, text: string): number => {
  const escaped = JSON.stringify(text);
  return at + room(at, escaped.length * 3).write(escaped, at, 'utf8');
};

const putArray = (at: number, values: readonly unknown[]): number => {
  let to = putPlain(at, '[');
  for (const [index, value] of values.entries()) to = putJsonb(index === 0 ? to : putPlain(to, ', '), value);
  return putPlain(to, ']');
};

type Members = { readonly [name: string]: unknown };

const putObject = (at: number, members: Members): number => {
  let to = putPlain(at, '{');
  const first = to;
  for (const { name, label } of inJsonbOrder(Object.keys(members))) {
    const value = members[name];
    if (value === undefined) continue;
    if (to > first) to = putPlain(to, ', ');
    room(to, label.length).set(label, to);
    to = putJsonb(to + label.length, value);
  }
  return putPlain(to, '}');
};

interface MemberName {
  readonly name: string;
  readonly bytes: Buffer;
  /** As it stands before its value. */
  readonly label: Buffer;
}

// Objects come in few shapes: their names are looked up, not encoded again.
const NAMES_MAX = 1_000;
const names = new Map<string, MemberName>();

const memberName = (name: string): MemberName => {
  const known = names.get(name);
  if (known) return known;
  const made = { name, bytes: Buffer.from(name), label: Buffer.from(`${JSON.stringify(name)}: `) };
  if (names.size < NAMES_MAX && name.length < 100) names.set(name, made);
  return made;
};

/** Shorter names first, and of equal length by their bytes. */
const inJsonbOrder = (unordered: readonly string[]): readonly MemberName[] => {
  const ordered: MemberName[] = [];
  for (const name of unordered) {
    const next = memberName(name);
    let place = ordered.length;
    for (; place > 0 && isBehind(ordered[place - 1] as MemberName, next); place -= 1)
      ordered[place] = ordered[place - 1] as MemberName;
    ordered[place] = next;
    // Few members are put in order faster by hand; many would take the square of their number.
    if (ordered.length > 32)
      return unordered.map(memberName).sort((a, b) => (a === b ? 0 : isBehind(a, b) ? 1 : -1));
  }
  return ordered;
};

const isBehind = (a: MemberName, b: MemberName): boolean =>
  a.bytes.length === b.bytes.length ? Buffer.compare(a.bytes, b.bytes) > 0 : a.bytes.length > b.bytes.length;

/** As numeric_out writes the number that `JSON.stringify` wrote: never with an exponent. */
const numberText = (value: number): string => {
  if (Object.is(value, -0)) return '0';
  const text = String(value);
  if (Number.isSafeInteger(value)) return text;
  if (!Number.isFinite(value)) throw new TypeError(`${text} is no JSON`);
  const [mantissa = '', exponent] = text.split('e');
  if (exponent === undefined) return text;
  const negative = mantissa.startsWith('-');
  const [whole = '', fraction = ''] = mantissa.replace('-', '').split('.');
  const digits = whole + fraction;
  const point = whole.length + Number(exponent);
  const plain = point <= 0 ? `0.${'0'.repeat(-point)}${digits}` : digits.padEnd(point, '0');
  return `${negative ? '-' : ''}${plain}`;
};
