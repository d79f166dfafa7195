/**
 * The strict reading of JSON source text, one character at a time, writing RFC 8785 text as it goes.
 *
 * It looks at the source, not at parsed values: after `JSON.parse` a duplicate key is gone, 2^53+1 has become
 * 2^53, and integer-like keys have moved to the front of their object. What this reader refuses can mean one
 * thing to the signer and another to a verifier.
 */

/** Why a text was refused. The first fault in reading order is the one reported. */
export type CanonicalFaultCode =
  | 'not-json'
  | 'duplicate-key'
  | 'unsafe-integer'
  | 'lone-surrogate'
  | 'nul-character'
  | 'too-deep'
  | 'too-large'
  | 'invalid-utf8'
  | 'number-out-of-range'
  | 'forbidden-key'
  | 'not-a-json-value';

/** `path` is a JSON Pointer (RFC 6901), `offset` counts UTF-16 code units of the text (bytes for `invalid-utf8`). */
export type CanonicalFault = {
  readonly code: CanonicalFaultCode;
  readonly message: string;
  readonly path?: string;
  readonly offset?: number;
};

/** `maxBytes` of UTF-8, in and out; `maxDepth` of arrays and objects inside each other (never above 1000). */
export type CanonicalLimits = { readonly maxBytes: number; readonly maxDepth: number };

/** Thrown by `canonicalize`: a value built in code broke the law, so the caller has a defect. */
export class CanonicalError extends Error {
  readonly fault: CanonicalFault;
  constructor(fault: CanonicalFault) {
    super(fault.path ? `${fault.message} (at ${fault.path})` : fault.message);
    this.name = 'CanonicalError';
    this.fault = fault;
  }
  get code(): CanonicalFaultCode {
    return this.fault.code;
  }
}

export function pointer(path: readonly (string | number)[]): string {
  return path.map((step) => `/${String(step).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

type Cursor = {
  readonly text: string;
  readonly wellFormed: boolean;
  readonly maxDepth: number;
  readonly path: (string | number)[];
  at: number;
};

type Member = { readonly key: string; readonly text: string };

const SPACE = /[ \t\n\r]*/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const PLAIN_STRING = /"[^"\\\u0000-\u001f]*"/y;
const WORDS: Readonly<Record<string, string>> = { t: 'true', f: 'false', n: 'null' };

/** Canonical text of `text`; throws `CanonicalError` with the first fault. */
export function scan(text: string, maxDepth: number): string {
  const cursor: Cursor = { text, wellFormed: text.isWellFormed(), maxDepth, path: [], at: 0 };
  if (text.startsWith('\uFEFF'))
    throw faultAt(cursor, 'not-json', 'starts with a byte order mark: save it without');
  skipSpace(cursor);
  const canonical = scanValue(cursor, 0);
  skipSpace(cursor);
  if (cursor.at < text.length)
    throw faultAt(cursor, 'not-json', 'more text after the value: send one JSON value');
  return canonical;
}

function faultAt(
  cursor: Cursor,
  code: CanonicalFaultCode,
  message: string,
  offset = cursor.at,
): CanonicalError {
  return new CanonicalError({ code, message, path: pointer(cursor.path), offset });
}

function skipSpace(cursor: Cursor): void {
  if (cursor.text.charCodeAt(cursor.at) > 0x20) return;
  SPACE.lastIndex = cursor.at;
  SPACE.test(cursor.text);
  cursor.at = SPACE.lastIndex;
}

function scanValue(cursor: Cursor, depth: number): string {
  const first = cursor.text[cursor.at];
  if (first === '{' || first === '[') {
    if (depth >= cursor.maxDepth) {
      throw faultAt(cursor, 'too-deep', `nested deeper than ${cursor.maxDepth} levels: flatten the value`);
    }
    return first === '{' ? scanObject(cursor, depth + 1) : scanArray(cursor, depth + 1);
  }
  if (first === '"') return scanString(cursor);
  const word = WORDS[first ?? ''];
  if (word === undefined || !cursor.text.startsWith(word, cursor.at)) return scanNumber(cursor);
  cursor.at += word.length;
  return word;
}

function scanArray(cursor: Cursor, depth: number): string {
  const items: string[] = [];
  cursor.at += 1;
  skipSpace(cursor);
  if (take(cursor, ']')) return '[]';
  for (;;) {
    cursor.path.push(items.length);
    skipSpace(cursor);
    items.push(scanValue(cursor, depth));
    cursor.path.pop();
    skipSpace(cursor);
    if (take(cursor, ']')) return `[${items.join(',')}]`;
    expect(cursor, ',', "',' or ']' after an array element");
  }
}

function scanObject(cursor: Cursor, depth: number): string {
  const members: Member[] = [];
  let seen: Set<string> | undefined;
  cursor.at += 1;
  skipSpace(cursor);
  if (take(cursor, '}')) return '{}';
  for (;;) {
    skipSpace(cursor);
    const start = cursor.at;
    const name = scanName(cursor);
    const key = name.includes('\\') ? (JSON.parse(name) as string) : name.slice(1, -1);
    cursor.path.push(key);
    // While names only ascend none can repeat; from the first that does not, all are remembered.
    const last = members.at(-1)?.key;
    if (last !== undefined && key <= last) seen ??= new Set(members.map((member) => member.key));
    if (seen?.has(key))
      throw faultAt(cursor, 'duplicate-key', 'this name stands twice in its object: keep one', start);
    if (key === '__proto__')
      throw faultAt(cursor, 'forbidden-key', 'a member may not be named __proto__: rename it', start);
    seen?.add(key);
    members.push({ key, text: `${name}:${scanMemberValue(cursor, depth)}` });
    cursor.path.pop();
    skipSpace(cursor);
    if (take(cursor, '}')) break;
    expect(cursor, ',', "',' or '}' after a member");
  }
  // RFC 8785 section 3.2.3: members in the order of their names' UTF-16 code units, which is JavaScript's `<`.
  if (seen !== undefined) members.sort((left, right) => (left.key < right.key ? -1 : 1));
  return `{${members.map((member) => member.text).join(',')}}`;
}

function scanName(cursor: Cursor): string {
  if (cursor.text[cursor.at] !== '"')
    throw faultAt(cursor, 'not-json', 'expected a member name in double quotes');
  return scanString(cursor);
}

function scanMemberValue(cursor: Cursor, depth: number): string {
  skipSpace(cursor);
  expect(cursor, ':', "':' after a member name");
  skipSpace(cursor);
  return scanValue(cursor, depth);
}

/** The canonical literal of the string at the cursor, quotes included. */
function scanString(cursor: Cursor): string {
  PLAIN_STRING.lastIndex = cursor.at;
  if (!PLAIN_STRING.test(cursor.text)) return scanEscapedString(cursor);
  const literal = cursor.text.slice(cursor.at, PLAIN_STRING.lastIndex);
  if (!cursor.wellFormed && !literal.isWellFormed()) throw loneSurrogate(cursor);
  cursor.at = PLAIN_STRING.lastIndex;
  return literal;
}

function scanEscapedString(cursor: Cursor): string {
  const { text, at: start } = cursor;
  let end = start + 1;
  for (let code = text.charCodeAt(end); code !== 0x22; code = text.charCodeAt(end)) {
    if (Number.isNaN(code)) throw faultAt(cursor, 'not-json', 'this string has no closing quote');
    if (code === 0) throw nul(cursor);
    if (code < 0x20)
      throw faultAt(cursor, 'not-json', 'a control character must be written as an escape', end);
    end += code === 0x5c ? 2 : 1;
  }
  const value = unescaped(cursor, text.slice(start, end + 1));
  if (value.includes('\0')) throw nul(cursor);
  if (!value.isWellFormed()) throw loneSurrogate(cursor);
  cursor.at = end + 1;
  return JSON.stringify(value);
}

function unescaped(cursor: Cursor, literal: string): string {
  try {
    return JSON.parse(literal) as string;
  } catch {
    throw faultAt(cursor, 'not-json', 'a string holds an escape that JSON does not have');
  }
}

function nul(cursor: Cursor): CanonicalError {
  return faultAt(cursor, 'nul-character', 'a string holds a NUL character: remove it');
}

function loneSurrogate(cursor: Cursor): CanonicalError {
  return faultAt(cursor, 'lone-surrogate', 'a string holds half of a surrogate pair: send valid Unicode');
}

function scanNumber(cursor: Cursor): string {
  NUMBER.lastIndex = cursor.at;
  const literal = NUMBER.exec(cursor.text)?.[0];
  if (literal === undefined) throw faultAt(cursor, 'not-json', 'expected a JSON value here');
  const value = Number(literal);
  if (!Number.isFinite(value)) {
    throw faultAt(cursor, 'number-out-of-range', 'too large for a double: send it as a string');
  }
  // A double of 2^53 or more is an integer that stands for its neighbours too, however the literal was spelled.
  if (Math.abs(value) > Number.MAX_SAFE_INTEGER) {
    throw faultAt(cursor, 'unsafe-integer', 'beyond 2^53-1 a number is not exact: send it as a string');
  }
  if (value === 0 && /^[^eE]*[1-9]/.test(literal)) {
    throw faultAt(
      cursor,
      'number-out-of-range',
      'too small for a double, it would become 0: send it as a string',
    );
  }
  cursor.at += literal.length;
  return JSON.stringify(value);
}

function take(cursor: Cursor, character: string): boolean {
  if (cursor.text[cursor.at] !== character) return false;
  cursor.at += 1;
  return true;
}

function expect(cursor: Cursor, character: string, what: string): void {
  if (!take(cursor, character)) throw faultAt(cursor, 'not-json', `expected ${what}`);
}
