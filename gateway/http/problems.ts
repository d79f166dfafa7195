// Everything that can go wrong with a request, in one catalogue: RFC 9457 problem documents. A code is a promise to
// callers: it is never given another meaning. `todo` says what the caller does about it; what exactly happened
// in one case goes into `detail`. No document carries a stack, a payload or a secret.
import { projectionProblems } from './projection-problems.ts';

interface Entry {
  readonly status: number;
  readonly title: string;
  readonly todo: string;
  /** Seconds, for the Retry-After header: the same request may succeed after that. */
  readonly retryAfter?: number;
}

const BODY = { status: 400, title: 'The body is not a JSON text that can mean only one thing' } as const;
const TOKEN = { status: 401, title: 'The request carries no valid token' } as const;

export const catalogue = {
  // The request as such.
  'request-malformed': {
    status: 400,
    title: 'The request is not well-formed HTTP',
    todo: 'Send an HTTP/1.1 request with complete headers and a valid path.',
  },
  'query-malformed': {
    status: 400,
    title: 'The query is not as this path takes it',
    todo: 'Correct the parameters listed in "errors".',
  },
  'no-such-route': {
    status: 404,
    title: 'There is nothing at this path',
    todo: 'See /docs for the paths there are.',
  },
  'method-not-allowed': {
    status: 405,
    title: 'This path does not take this method',
    todo: 'Use one of the methods in the Allow header.',
  },
  'too-slow': {
    status: 408,
    title: 'The client did not take what was sent to it',
    todo: 'Come back with Last-Event-ID, and read faster than facts are recorded.',
  },
  'request-timeout': {
    status: 408,
    title: 'The request did not arrive in time',
    todo: 'Send it again, without pauses.',
  },
  'media-type-unsupported': {
    status: 415,
    title: 'The body is of a media type that is not taken here',
    todo: 'Send one of the media types that /docs names for this path, for example application/json, and the body uncompressed.',
  },
  'url-too-long': {
    status: 414,
    title: 'The path and its query are too long',
    todo: 'Keep them below 8 KiB.',
  },
  'expectation-unmet': {
    status: 417,
    title: 'The request expects something that is not done here',
    todo: 'Leave the Expect header out, or send Expect: 100-continue.',
  },
  'header-repeated': {
    status: 400,
    title: 'A header that may be given once is given twice',
    todo: 'Send the header named in "detail" once.',
  },
  'headers-too-large': {
    status: 431,
    title: 'The headers are too large, or too many',
    todo: 'Keep the path and all headers together below 16 KiB, and send at most 100 of them.',
  },
  // Who asks.
  'token-missing': { ...TOKEN, todo: 'Send Authorization: Bearer <token>.' },
  'token-refused': {
    ...TOKEN,
    todo: 'Check that the token is complete and was issued by this ledger; otherwise ask for a new one.',
  },
  'token-expired': { ...TOKEN, title: 'The token has expired', todo: 'Ask for a new token.' },
  'token-revoked': { ...TOKEN, title: 'The token has been revoked', todo: 'Ask for a new token.' },
  'tenant-suspended': {
    status: 403,
    title: 'The tenant is suspended',
    todo: 'Ask the operator to resume the tenant.',
  },
  'tenant-unnamed': {
    status: 403,
    title: 'The token names no tenant of this ledger',
    todo: 'Ask the provider for a token with the tenant in the claim named in "claim"; an operator makes tenants.',
  },
  'scope-missing': {
    status: 403,
    title: 'The token does not have the right to do this',
    todo: 'Use a token with the scope named in "scope".',
  },
  'other-tenant': {
    status: 403,
    title: 'The token belongs to another tenant',
    todo: "Use a token of the tenant that is asked for, or the token's own tenant.",
  },
  'rate-limited': {
    status: 429,
    title: 'The tenant sends more than it may',
    todo: 'Wait as many seconds as Retry-After says; RateLimit and RateLimit-Policy say how much there is.',
    retryAfter: 1,
  },
  // The body.
  'body-too-large': {
    status: 413,
    title: 'The body is too large',
    todo: 'Send receipts of at most 1 MiB, and batches of at most 64 MiB.',
  },
  'too-many-lines': {
    status: 413,
    title: 'The batch has too many lines',
    todo: 'Send at most 10,000 receipts in one batch; those of this line and after it were not read.',
  },
  'too-many-events': {
    status: 413,
    title: 'The batch has too many events',
    todo: 'Nothing was stored. Send at most 1,000 events, or 16 MiB, in one batch.',
  },
  'body-not-json': { ...BODY, todo: 'Send one JSON value (RFC 8259).' },
  'body-invalid-utf8': { ...BODY, todo: 'Encode the body as UTF-8.' },
  'body-duplicate-key': { ...BODY, todo: 'Give every member of an object once.' },
  'body-unsafe-integer': { ...BODY, todo: 'Send numbers beyond 2^53-1 as strings.' },
  'body-number-out-of-range': { ...BODY, todo: 'Send numbers that a double cannot hold as strings.' },
  'body-lone-surrogate': { ...BODY, todo: 'Send valid Unicode: surrogates only in pairs.' },
  'body-nul-character': { ...BODY, todo: 'Remove NUL characters from strings.' },
  'body-too-deep': { ...BODY, todo: 'Nest arrays and objects at most 64 deep.' },
  'body-forbidden-key': { ...BODY, todo: 'Rename members called __proto__.' },
  // What the receipt says.
  'receipt-malformed': {
    status: 422,
    title: 'The body is JSON, but not a receipt',
    todo: 'Correct the members listed in "errors".',
  },
  'event-malformed': {
    status: 422,
    title: 'This is no CloudEvent that carries a receipt',
    todo: 'Correct what is listed in "errors": a pointer leads into the body, a header is one of the request.',
  },
  'tenant-mismatch': {
    status: 403,
    title: 'The receipt names another tenant than the token',
    todo: "Send the receipt with that tenant's token, or leave its tenant out.",
  },
  'receipt-id-taken': {
    status: 409,
    title: 'This receipt id stands for another receipt',
    todo: 'Nothing was stored. Compare with the receipt in "first"; a different receipt needs an id of its own.',
  },
  'idempotency-key-malformed': {
    status: 400,
    title: 'The Idempotency-Key is no key',
    todo: 'Send 1 to 128 visible ASCII characters without quotes and backslashes inside.',
  },
  'idempotency-key-differs': {
    status: 422,
    title: 'The Idempotency-Key says another id than the body',
    todo: "Leave one of the two out: a receipt's id is its key. In a batch, give each receipt its id.",
  },
  // Administration.
  'body-malformed': {
    status: 422,
    title: 'The body is JSON, but not what this path takes',
    todo: 'Correct the members listed in "errors".',
  },
  'tenant-exists': {
    status: 409,
    title: 'There is a tenant of this name',
    todo: 'Nothing was stored. Use it as it is, or choose another name.',
  },
  'no-such-tenant': {
    status: 404,
    title: 'There is no tenant of this name',
    todo: 'Check the name; GET /v1/tenants lists those there are.',
  },
  'no-such-token': {
    status: 404,
    title: 'The tenant has no token with this id',
    todo: "Check the id; GET /v1/tenants/{tenant}/tokens lists the tenant's tokens.",
  },
  'state-forbids': {
    status: 409,
    title: 'The state of the tenant or token forbids this',
    todo: 'Nothing was stored. "detail" says what stands in the way.',
  },
  ...projectionProblems,
  'idempotency-key-taken': {
    status: 409,
    title: 'This Idempotency-Key stands for another request',
    todo: 'Nothing was stored. Look at what "first" names; another request needs a key of its own.',
  },
  'no-such-flag': {
    status: 404,
    title: 'The tenant has no flag of this name',
    todo: 'Check the name; GET /v1/flags lists those in force.',
  },
  'ramp-forbids': {
    status: 409,
    title: 'No ramp takes this observation',
    todo: 'Nothing was stored. "detail" says what stands in the way; report while a ramp is running, of the tenant and its canaries.',
  },
  'attestation-not-borne-out': {
    status: 409,
    title: 'The attestation is not borne out, or its operation is attested already',
    todo: 'Nothing was stored. "detail" says what does not fit: differences are counted where the digests differ and nowhere else, and each operation is attested once.',
  },
  'no-such-receipt': {
    status: 404,
    title: 'The tenant has no receipt with this id',
    todo: 'Check the id; a receipt is found only with a token of its own tenant.',
  },
  'no-such-problem': {
    status: 404,
    title: 'The catalogue has no problem with this code',
    todo: 'See /problems for the codes there are.',
  },
  // The service.
  'not-ready': {
    status: 503,
    title: 'The service is not ready',
    todo: 'Wait until nothing is listed in "missing".',
    retryAfter: 2,
  },
  'shutting-down': {
    status: 503,
    title: 'This process is shutting down',
    todo: 'Send the request again: another process, or the next one, answers.',
    retryAfter: 1,
  },
  'issuer-unavailable': {
    status: 503,
    title: 'The provider whose tokens are taken here cannot be reached',
    todo: 'Nothing was stored. Send the request again after the pause, or use a token of this ledger.',
    retryAfter: 5,
  },
  'store-unavailable': {
    status: 503,
    title: 'The store cannot be reached',
    todo: 'Nothing was stored. Send the request again after the pause.',
    retryAfter: 2,
  },
  'outcome-unknown': {
    status: 503,
    title: 'It is not known whether the receipt was stored',
    todo: 'Send the same body again with "key" as Idempotency-Key, or with its own id: it gets the first answer if it was stored, and is stored if not.',
    retryAfter: 2,
  },
  overloaded: {
    status: 503,
    title: 'More receipts are waiting than can be held',
    todo: 'Nothing was stored. Send it again after the pause.',
    retryAfter: 1,
  },
  'write-path-closed': {
    status: 503,
    title: 'The write path of this route was taken back',
    todo: 'Send it again later with the same receipt id: it goes in once the stores of the route agree again.',
    retryAfter: 60,
  },
  'store-mismatch': {
    status: 503,
    title: 'The store is not set up for this version of the service',
    todo: 'Tell the operator: the database needs `prov-ledger migrate`, or its rights granted.',
    retryAfter: 30,
  },
  'out-of-space': {
    status: 507,
    title: 'The store has no room left',
    todo: 'Tell the operator; send it again later with the same receipt id.',
    retryAfter: 60,
  },
  'store-corrupt': {
    status: 500,
    title: 'Stored facts do not follow from one another',
    todo: 'Tell the operator: `prov-ledger verify` names the place. Repeating does not help.',
  },
  'internal-error': {
    status: 500,
    title: 'The service failed',
    todo: 'Send it again with the same receipt id; if it fails again, give the operator the request id in "instance".',
  },
} as const satisfies { readonly [code: string]: Entry };

export type ProblemCode = keyof typeof catalogue;

/** One problem of one request. `detail` is what happened, readable by whoever sent it. */
export interface Problem {
  readonly code: ProblemCode;
  readonly detail: string;
  /** Further members of the document (RFC 9457 section 3.2). */
  readonly members?: { readonly [name: string]: unknown };
}

export const problem = (code: ProblemCode, detail: string, members?: Problem['members']): Problem =>
  members ? { code, detail, members } : { code, detail };

export const problemEntry = (code: ProblemCode): Entry => catalogue[code];
