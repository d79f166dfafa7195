/**
 * Canonical JSON (RFC 8785) behind a strict front door. Law: one value has one text, and the value handed on is
 * the value of exactly that text. What is hashed, signed, stored and read again is that text.
 *
 * Decided here, where RFC 8785 leaves room:
 * - a number beyond ±(2^53-1) is refused in every spelling (9007199254740993, 1e21, 9007199254740992.5);
 * - `-0` is written and handed on as `0` (RFC 8785 section 3.2.2.3);
 * - a number that a double would turn into infinity or, though not zero, into 0 is refused;
 * - NUL is refused, since no SQL text column can hold it;
 * - a member named `toJSON` is data; a function of that name is refused.
 */
import { isUtf8 } from 'node:buffer';
import type { CanonicalFault, CanonicalLimits } from './canonical-scan.ts';
import { CanonicalError, pointer, scan } from './canonical-scan.ts';

export type { CanonicalFault, CanonicalFaultCode, CanonicalLimits } from './canonical-scan.ts';
export { CanonicalError } from './canonical-scan.ts';

export type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [name: string]: JsonValue };

export type Strict =
  | { readonly ok: true; readonly value: JsonValue; readonly canonical: string }
  | { readonly ok: false; readonly error: CanonicalFault };

export const CANONICAL_LIMITS: CanonicalLimits = Object.freeze({ maxBytes: 1024 * 1024, maxDepth: 64 });

/** Recursion stays far from the end of the stack whatever limit a caller asks for. */
const MAX_DEPTH_EVER = 1000;

/** Canonical text can hide a NUL or a lone surrogate only behind `\u`, a forbidden name only here. The scanner decides. */
function isSuspect(text: string): boolean {
  return text.includes('\\u') || text.includes('__proto__');
}

/**
 * Reads one JSON value from outside. Never throws. Text that is canonical already takes a fast path: parsed,
 * its order walked, and written again to the same characters; anything else is read by the strict scanner.
 */
export function parseStrict(text: string, limits: Partial<CanonicalLimits> = {}): Strict {
  const maxBytes = limits.maxBytes ?? CANONICAL_LIMITS.maxBytes;
  const depth = Math.min(limits.maxDepth ?? CANONICAL_LIMITS.maxDepth, MAX_DEPTH_EVER);
  if (exceeds(text, maxBytes)) return refused(tooLarge(maxBytes));
  const value = parseIfCanonical(text, depth);
  if (value !== undefined) return { ok: true, value, canonical: text };
  try {
    const canonical = scan(text, depth);
    // 1e15 is four bytes in and sixteen out; what is accepted must be acceptable again.
    if (exceeds(canonical, maxBytes)) return refused(tooLarge(maxBytes));
    return { ok: true, value: JSON.parse(canonical) as JsonValue, canonical };
  } catch (error) {
    if (error instanceof CanonicalError) return refused(error.fault);
    throw error;
  }
}

/** As `parseStrict`, from the bytes of a body or a line. Invalid UTF-8 is refused, never replaced. */
export function parseStrictBytes(bytes: Uint8Array, limits: Partial<CanonicalLimits> = {}): Strict {
  const maxBytes = limits.maxBytes ?? CANONICAL_LIMITS.maxBytes;
  if (bytes.byteLength > maxBytes) return refused(tooLarge(maxBytes));
  if (!isUtf8(bytes))
    return refused({ code: 'invalid-utf8', message: 'these bytes are not UTF-8: send UTF-8' });
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  return parseStrict(text, limits);
}

/** True when `text` is the one text of its value, within the limits. */
export function isCanonical(text: string, limits: Partial<CanonicalLimits> = {}): boolean {
  const strict = parseStrict(text, limits);
  return strict.ok && strict.canonical === text;
}

/**
 * The canonical text of a value built in code. Throws `CanonicalError` on whatever `parseStrict` would refuse to
 * read back, and on what JSON cannot say: undefined, NaN, Infinity, bigint, functions, class instances, cycles.
 * Symbol-keyed and inherited members are no data. No size limit.
 */
export function canonicalize(value: JsonValue): string {
  const ordered = isLawful(value, CANONICAL_LIMITS.maxDepth, []);
  const text = ordered ? JSON.stringify(value) : writeCanonical(value);
  if (isSuspect(text)) scan(text, CANONICAL_LIMITS.maxDepth);
  return text;
}

/** RFC 8785 and nothing else: the writer for a value already known to be JSON. Any finite number is written. */
export function writeCanonical(value: JsonValue): string {
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(writeCanonical).join(',')}]`;
  const object = value as { readonly [name: string]: JsonValue };
  // The default sort compares UTF-16 code units, as section 3.2.3 asks.
  const members = Object.keys(object)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${writeCanonical(object[key] as JsonValue)}`);
  return `{${members.join(',')}}`;
}

function parseIfCanonical(text: string, maxDepth: number): JsonValue | undefined {
  if (isSuspect(text)) return undefined;
  try {
    const value = JSON.parse(text) as JsonValue;
    return isOrdered(value, maxDepth) && JSON.stringify(value) === text ? value : undefined;
  } catch {
    return undefined;
  }
}

/** For parsed values only: names ascending, numbers safe, not too deep. False means "let the scanner say". */
function isOrdered(value: JsonValue, depthLeft: number): boolean {
  if (typeof value === 'number') return Math.abs(value) <= Number.MAX_SAFE_INTEGER;
  if (value === null || typeof value !== 'object') return true;
  if (depthLeft <= 0) return false;
  if (Array.isArray(value)) return value.every((item: JsonValue) => isOrdered(item, depthLeft - 1));
  const object = value as { readonly [name: string]: JsonValue };
  let previous: string | undefined;
  for (const key of Object.keys(object)) {
    if (previous !== undefined && key < previous) return false;
    if (!isOrdered(object[key] as JsonValue, depthLeft - 1)) return false;
    previous = key;
  }
  return true;
}

/** Throws on what is not lawful JSON; true when every object has its names in canonical order. */
function isLawful(value: unknown, depthLeft: number, path: (string | number)[]): boolean {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return true;
  if (typeof value === 'number') return isLawfulNumber(value, path);
  if (typeof value !== 'object')
    throw unlawful('not-a-json-value', `JSON has no ${typeof value}: leave it out`, path);
  if (depthLeft <= 0)
    throw unlawful('too-deep', 'nested too deep, or inside itself: flatten the value', path);
  if (typeof (value as { toJSON?: unknown }).toJSON === 'function') {
    throw unlawful('not-a-json-value', 'has a toJSON function: convert it to plain data first', path);
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (
    Array.isArray(value)
      ? prototype !== Array.prototype
      : prototype !== Object.prototype && prototype !== null
  ) {
    throw unlawful('not-a-json-value', 'a class instance is not JSON: convert it to plain data first', path);
  }
  return Array.isArray(value)
    ? isLawfulArray(value, depthLeft, path)
    : isLawfulObject(value, depthLeft, path);
}

function isLawfulNumber(value: number, path: (string | number)[]): boolean {
  if (!Number.isFinite(value))
    throw unlawful('number-out-of-range', `JSON has no ${value}: leave it out`, path);
  if (Math.abs(value) <= Number.MAX_SAFE_INTEGER) return true;
  throw unlawful('unsafe-integer', 'beyond 2^53-1 a number is not exact: write it as a string', path);
}

function isLawfulArray(items: readonly unknown[], depthLeft: number, path: (string | number)[]): boolean {
  let ordered = true;
  for (let index = 0; index < items.length; index += 1) {
    path.push(index);
    ordered = isLawful(items[index], depthLeft - 1, path) && ordered;
    path.pop();
  }
  return ordered;
}

function isLawfulObject(object: object, depthLeft: number, path: (string | number)[]): boolean {
  let ordered = true;
  let previous: string | undefined;
  for (const key of Object.keys(object)) {
    path.push(key);
    ordered = isLawful((object as Record<string, unknown>)[key], depthLeft - 1, path) && ordered;
    path.pop();
    if (previous !== undefined && key < previous) ordered = false;
    previous = key;
  }
  return ordered;
}

function exceeds(text: string, maxBytes: number): boolean {
  if (text.length > maxBytes) return true;
  return text.length * 3 > maxBytes && Buffer.byteLength(text) > maxBytes;
}

function tooLarge(maxBytes: number): CanonicalFault {
  return {
    code: 'too-large',
    message: `longer than ${maxBytes} bytes: split it, or send a digest of the large part`,
  };
}

function refused(error: CanonicalFault): Strict {
  return { ok: false, error };
}

function unlawful(
  code: CanonicalFault['code'],
  message: string,
  path: readonly (string | number)[],
): CanonicalError {
  return new CanonicalError({ code, message, path: pointer(path) });
}
