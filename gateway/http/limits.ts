// What a request may cost before anybody knows who asks: bytes, headers, time, connections. Node enforces what it can
// by itself; the rest is looked at here, before the guard and before the body.
import type { IncomingMessage } from 'node:http';
import { type Problem, problem } from './problems.ts';

export interface Limits {
  /** Of the request line and all headers together; Node's parser stops there (431). */
  readonly headerBytesMax: number;
  readonly headersMax: number;
  readonly urlBytesMax: number;
  /** From the connection's first byte, or the one after the last answer, to the end of the headers. */
  readonly headersTimeoutMs: number;
  /** The same to the end of the body: a body that trickles in ends here. */
  readonly requestTimeoutMs: number;
  /** How long an idle connection is kept. */
  readonly keepAliveMs: number;
  /** Further connections are closed as they come. */
  readonly connectionsMax: number;
}

export const LIMITS: Limits = {
  headerBytesMax: 16_384,
  headersMax: 100,
  urlBytesMax: 8_192,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 120_000,
  keepAliveMs: 65_000,
  connectionsMax: 5_000,
};

/**
 * Headers that decide what a request means. Node keeps the first of some, the last of none, and joins others; a proxy in
 * front may do otherwise, and then two programs have read two requests (RFC 9110 section 5.3). CloudEvents' attributes
 * are of the same kind.
 */
const SINGLE = [
  'authorization',
  'content-encoding',
  'content-length',
  'content-type',
  'expect',
  'host',
  'idempotency-key',
  'last-event-id',
  'traceparent',
  'transfer-encoding',
  'x-request-id',
] as const;
const BIT = new Map<string, number>(SINGLE.map((name, index) => [name, 1 << index]));
const LENGTHS = new Set(SINGLE.map(({ length }) => length));

/** Why a request is not looked at any further; `undefined` when it may go on. */
export const requestFault = (request: IncomingMessage, limits: Limits): Problem | undefined => {
  const { rawHeaders, headers, httpVersion } = request;
  if ((request.url?.length ?? 0) > limits.urlBytesMax)
    return problem('url-too-long', `the path and its query have more than ${limits.urlBytesMax} bytes`);
  if (rawHeaders.length > 2 * limits.headersMax)
    return problem('headers-too-large', `there are more than ${limits.headersMax} headers`);
  const repeated = repeatedHeader(rawHeaders);
  if (repeated !== undefined) return problem('header-repeated', `the header ${repeated} is given twice`);
  // RFC 9112 section 3.2; Node would answer by itself, with nothing in the body.
  if (headers.host === undefined && httpVersion === '1.1')
    return problem('request-malformed', 'there is no Host header');
  const { expect, 'transfer-encoding': coding } = headers;
  if (coding !== undefined && coding.toLowerCase() !== 'chunked')
    return problem('request-malformed', 'the only Transfer-Encoding that is taken is chunked');
  if (expect !== undefined && expect.toLowerCase() !== '100-continue')
    return problem('expectation-unmet', 'the only expectation that is met is 100-continue');
  return undefined;
};

const repeatedHeader = (rawHeaders: readonly string[]): string | undefined => {
  let seen = 0;
  let attributes: Set<string> | undefined;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const raw = rawHeaders[index] as string;
    const isAttribute = raw[2] === '-' && raw.slice(0, 3).toLowerCase() === 'ce-';
    if (!isAttribute && !LENGTHS.has(raw.length as never)) continue;
    const name = raw.toLowerCase();
    if (isAttribute) {
      attributes ??= new Set();
      if (attributes.has(name)) return name;
      attributes.add(name);
      continue;
    }
    const bit = BIT.get(name) ?? 0;
    if ((seen & bit) !== 0) return name;
    seen |= bit;
  }
  return undefined;
};
