// Records of a topic's schema as Avro binary: what receipts are made of, and no more. A schema that needs more is refused
// when it is read, before any receipt is. Source: Apache Avro 1.12, "Binary encoding".
import { canonicalize, type JsonValue } from '#proofs/canonical.ts';

/** Throws a RangeError that names the member which does not fit. */
export type RecordWriter = (members: object) => Uint8Array;

type Write = (value: unknown, into: number[]) => void;

interface Field {
  readonly name: string;
  readonly type: unknown;
}

interface Complex {
  readonly type: string;
  readonly logicalType?: string;
  readonly symbols?: readonly string[];
  readonly items?: unknown;
  readonly fields?: readonly Field[];
}

/** Throws a RangeError when the schema is no record of texts, choices, lists of texts and JSON. */
export const recordWriter = (schema: unknown): RecordWriter => {
  const { type, fields } = schema as Complex;
  if (type !== 'record' || !Array.isArray(fields)) throw new RangeError('the schema is no Avro record');
  const members = (fields as readonly Field[]).map(({ name, type: of }) => ({
    name,
    write: writerOf(name, of),
  }));
  const known = new Set(members.map(({ name }) => name));
  return (given) => {
    const unknown = Object.keys(given).find((name) => !known.has(name));
    if (unknown !== undefined)
      throw new RangeError(`/${unknown} is no member of a receipt: put it into ext, or leave it out`);
    const bytes: number[] = [];
    for (const { name, write } of members) write((given as Record<string, unknown>)[name], bytes);
    return Uint8Array.from(bytes);
  };
};

const writerOf = (name: string, type: unknown): Write => {
  if (type === 'string') return text(name);
  if (Array.isArray(type)) return optional(name, type);
  const complex = type as Complex;
  switch (complex.type) {
    case 'string':
      return complex.logicalType === 'canonical-json' ? json(name) : text(name);
    case 'enum':
      return choice(name, complex.symbols ?? []);
    case 'array':
      return list(name, writerOf(name, complex.items));
    default:
      throw new RangeError(`the schema's member ${name} is of a kind that this SDK does not write: renew it`);
  }
};

const encoder = new TextEncoder();

/** Zigzag, then seven bits a byte, the lowest first. */
const putLong = (value: number, into: number[]): void => {
  let rest = value * 2;
  while (rest >= 128) {
    into.push((rest % 128) + 128);
    rest = Math.floor(rest / 128);
  }
  into.push(rest);
};

const putText = (value: string, into: number[]): void => {
  const bytes = encoder.encode(value);
  putLong(bytes.length, into);
  for (const byte of bytes) into.push(byte);
};

const text =
  (name: string): Write =>
  (value, into) => {
    if (typeof value !== 'string') throw new RangeError(`/${name} must be a text`);
    if (!value.isWellFormed()) throw new RangeError(`/${name} has half a surrogate pair, which is no UTF-8`);
    putText(value, into);
  };

/** As the ledger hashes it (RFC 8785), so that it is the same text on both sides. */
const json =
  (name: string): Write =>
  (value, into) => {
    try {
      putText(canonicalize(value as JsonValue), into);
    } catch (cause) {
      throw new RangeError(`/${name}: ${(cause as Error).message}`, { cause });
    }
  };

const choice =
  (name: string, symbols: readonly string[]): Write =>
  (value, into) => {
    const index = symbols.indexOf(value as string);
    if (index === -1) throw new RangeError(`/${name} must be one of ${symbols.join(', ')}`);
    putLong(index, into);
  };

const list =
  (name: string, write: Write): Write =>
  (value, into) => {
    if (!Array.isArray(value)) throw new RangeError(`/${name} must be a list`);
    if (value.length > 0) {
      putLong(value.length, into);
      for (const item of value) write(item, into);
    }
    putLong(0, into);
  };

const optional = (name: string, branches: readonly unknown[]): Write => {
  const absent = branches.indexOf('null');
  const present = branches.findIndex((branch) => branch !== 'null');
  if (branches.length !== 2 || absent === -1 || present === -1)
    throw new RangeError(`the schema's member ${name} is a choice that this SDK does not write: renew it`);
  const write = writerOf(name, branches[present]);
  return (value, into) => {
    putLong(value === undefined ? absent : present, into);
    if (value !== undefined) write(value, into);
  };
};
