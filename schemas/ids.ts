// Identifiers are brands: a plain string becomes one only by passing its parser, so a tenant can never be
// handed in where a fact id is meant. Parsers throw `MalformedId`; callers at the edge turn it into a problem.

declare const brand: unique symbol;
export type Brand<T, Name extends string> = T & { readonly [brand]: Name };

/** Lower-case name of a tenant: 2 to 63 characters of `a-z 0-9 -`, starting with a letter. */
export type TenantId = Brand<string, 'TenantId'>;
/** Lower-case UUID of a fact; within its tenant also the claim on the caller's idempotency key. */
export type FactId = Brand<string, 'FactId'>;
/** `<domain>-<entity>`: the facts of one entity within its tenant. */
export type StreamName = Brand<string, 'StreamName'>;
/** Place of a fact in its tenant's chain: gapless, from 1. 0 is the place before the first fact. */
export type Seq = Brand<number, 'Seq'>;
/** The seq of the last fact of one stream as its reader saw it; 0 when the stream has none. */
export type StreamRevision = Brand<number, 'StreamRevision'>;
/** Milliseconds since the Unix epoch, UTC, an integer. */
export type Instant = Brand<number, 'Instant'>;
/** SHA-256 as 64 lower-case hexadecimal digits. */
export type Sha256 = Brand<string, 'Sha256'>;

export class MalformedId extends Error {
  override readonly name = 'MalformedId';
  readonly kind: string;
  constructor(kind: string, raw: unknown, rule: string) {
    super(`${JSON.stringify(raw)?.slice(0, 80)} is not a ${kind}: ${rule}`);
    this.kind = kind;
  }
}

const TENANT = /^[a-z][a-z0-9-]{1,62}$/;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const STREAM = /^[a-z][a-z0-9-]*-[^\s\u0000-\u001f\u007f]{1,200}$/u;
const SHA256 = /^[0-9a-f]{64}$/;

export const tenantId = (raw: string): TenantId => {
  if (!TENANT.test(raw)) {
    throw new MalformedId('tenant', raw, 'use 2 to 63 of a-z, 0-9 and -, starting with a letter');
  }
  return raw as TenantId;
};

export const isUuid = (raw: string): boolean => raw.length === 36 && UUID.test(raw);

export const factId = (raw: string): FactId => {
  if (!isUuid(raw)) throw new MalformedId('fact id', raw, 'use a lower-case UUID');
  return raw as FactId;
};

export const streamName = (domain: string, entity: string): StreamName => {
  const raw = `${domain}-${entity}`;
  if (!STREAM.test(raw)) throw new MalformedId('stream', raw, 'use <domain>-<entity> without white space');
  return raw as StreamName;
};

export const seq = (raw: number): Seq => {
  if (!Number.isSafeInteger(raw) || raw < 0) throw new MalformedId('seq', raw, 'use a whole number from 0');
  return raw as Seq;
};

export const sha256 = (raw: string): Sha256 => {
  if (!SHA256.test(raw)) throw new MalformedId('SHA-256', raw, 'use 64 lower-case hexadecimal digits');
  return raw as Sha256;
};

// RFC 3339 section 5.6, with the separators and the zone in upper case as the ABNF's canonical form has them.
const RFC3339 =
  /^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/;
const DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] as const;
const DAYS_BEFORE = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334] as const;
/** From 0000-01-01 to 1970-01-01. */
const DAYS_TO_EPOCH = 719_528;

/** 0001-01-01T00:00:00Z: RFC 3339 can write the year 0000, but the SQL standard and PostgreSQL's dates have none. */
const INSTANT_MIN = -62_135_596_800_000;
/** 9999-12-31T23:59:59.999Z: RFC 3339 has four digits for the year, also after an offset was taken off. */
const INSTANT_MAX = 253_402_300_799_999;

/**
 * Parses an RFC 3339 date-time; digits finer than a millisecond are cut off, not rounded. Throws `MalformedId`, also
 * for one that is in UTC before the year 0001 or after 9999.
 */
export const instant = (raw: string): Instant => {
  const ms = milliseconds(raw);
  if (Number.isNaN(ms))
    throw new MalformedId('RFC 3339 date-time', raw, 'use for example 2026-11-21T09:00:00Z');
  if (!isBetween(ms))
    throw new MalformedId(
      'date-time of the years 0001 to 9999 in UTC',
      raw,
      'use one from 0001-01-01T00:00:00Z to 9999-12-31T23:59:59.999Z',
    );
  return ms as Instant;
};

const isBetween = (ms: number): boolean => ms >= INSTANT_MIN && ms <= INSTANT_MAX;

/** Whether `instant` takes it. */
export const isInstant = (raw: string): boolean => isBetween(milliseconds(raw));

// Date.parse rolls 30 February over into March, accepts 24:00:00, and takes most of an import's validation time.
const milliseconds = (raw: string): number => {
  if (!RFC3339.test(raw)) return Number.NaN;
  const year = two(raw, 0) * 100 + two(raw, 2);
  const month = two(raw, 5) - 1;
  const day = two(raw, 8);
  const leap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  if (day > (DAYS[month] as number) + (leap && month === 1 ? 1 : 0)) return Number.NaN;
  const days =
    daysBefore(year) + (DAYS_BEFORE[month] as number) + (leap && month > 1 ? 1 : 0) + day - 1 - DAYS_TO_EPOCH;
  const minutes = days * 1440 + two(raw, 11) * 60 + two(raw, 14) - offsetMinutes(raw);
  return minutes * 60_000 + two(raw, 17) * 1000 + fraction(raw);
};

const two = (raw: string, at: number): number => raw.charCodeAt(at) * 10 + raw.charCodeAt(at + 1) - 528;

const daysBefore = (year: number): number =>
  year * 365 + Math.ceil(year / 4) - Math.ceil(year / 100) + Math.ceil(year / 400);

const offsetMinutes = (raw: string): number => {
  if (raw.endsWith('Z')) return 0;
  const at = raw.length - 6;
  const minutes = two(raw, at + 1) * 60 + two(raw, at + 4);
  return raw[at] === '-' ? -minutes : minutes;
};

/** Milliseconds of `.123...`: the first three digits after the seconds, a missing one being 0. */
const fraction = (raw: string): number => {
  if (raw[19] !== '.') return 0;
  let ms = 0;
  for (let at = 20; at < 23; at++) {
    const digit = raw.charCodeAt(at) - 48;
    if (!(digit >= 0 && digit <= 9)) return at === 21 ? ms * 100 : ms * 10;
    ms = ms * 10 + digit;
  }
  return ms;
};

const DAY_MS = 86_400_000;

/**
 * The UTC calendar day as `YYYY-MM-DD`, by arithmetic alone (H. Hinnant, "chrono-compatible low-level date
 * algorithms", civil_from_days): folds ask it of every fact. For every `Instant`: years 1 to 9999.
 */
export const dayText = (at: Instant): string => {
  const days = Math.floor(at / DAY_MS) + 719_468;
  const era = Math.floor(days / 146_097);
  const dayOfEra = days - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1_460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const shifted = Math.floor((5 * dayOfYear + 2) / 153);
  const day = dayOfYear - Math.floor((153 * shifted + 2) / 5) + 1;
  const month = shifted < 10 ? shifted + 3 : shifted - 9;
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0);
  return `${String(year).padStart(4, '0')}-${month < 10 ? '0' : ''}${month}-${day < 10 ? '0' : ''}${day}`;
};

const TWO_DIGITS: readonly string[] = Array.from({ length: 60 }, (_, count) =>
  String(count).padStart(2, '0'),
);

/** RFC 3339 in UTC with three digits of a second, as `Date.toISOString` writes it and six times as fast. */
export const instantText = (at: Instant): string => {
  // Stored before there were bounds, or forged: it has a spelling too.
  if (!isBetween(at)) return new Date(at).toISOString();
  const inDay = at - Math.floor(at / DAY_MS) * DAY_MS;
  const ms = inDay % 1_000;
  const seconds = (inDay - ms) / 1_000;
  const minutes = Math.floor(seconds / 60);
  const time = `${TWO_DIGITS[Math.floor(minutes / 60)]}:${TWO_DIGITS[minutes % 60]}:${TWO_DIGITS[seconds % 60]}`;
  return `${dayText(at)}T${time}.${ms < 10 ? '00' : ms < 100 ? '0' : ''}${ms}Z`;
};
