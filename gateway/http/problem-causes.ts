// The problem that a cause is told as: a body that cannot be read, members that do not fit, an error that was thrown.
import { CanonicalError, type CanonicalFault, type CanonicalFaultCode } from '#proofs/canonical.ts';
import type { Fault } from '#schemas/event.ts';
import { StreamError, type StreamErrorCode } from '#streams/errors.ts';
import { WritePathClosed } from '../tenancy/write-gate.ts';
import { IssuerUnavailable } from './identity.ts';
import { type Problem, type ProblemCode, problem, problemEntry } from './problems.ts';

/** RFC 9457's own example lists faults as `errors`, each with a JSON Pointer in URI fragment form (RFC 6901 section 6). */
export const receiptMalformed = (faults: readonly Fault[]): Problem =>
  problem('receipt-malformed', `${members(faults)} not as a receipt has them`, { errors: errorsOf(faults) });

/** As `receiptMalformed`, of a body that is none. */
export const bodyMalformed = (faults: readonly Fault[]): Problem =>
  problem('body-malformed', `${members(faults)} not as this path takes them`, { errors: errorsOf(faults) });

const members = ({ length }: readonly Fault[]): string =>
  length === 1 ? 'one member is' : `${length} members are`;

const errorsOf = (faults: readonly Fault[]) =>
  faults.map(({ pointer, message }) => ({
    pointer: `#${encodeURI(pointer.toWellFormed())}`,
    detail: message,
  }));

const FAULT_CODES: { readonly [code in CanonicalFaultCode]: ProblemCode } = {
  'not-json': 'body-not-json',
  'not-a-json-value': 'body-not-json',
  'duplicate-key': 'body-duplicate-key',
  'unsafe-integer': 'body-unsafe-integer',
  'number-out-of-range': 'body-number-out-of-range',
  'lone-surrogate': 'body-lone-surrogate',
  'nul-character': 'body-nul-character',
  'too-deep': 'body-too-deep',
  'too-large': 'body-too-large',
  'invalid-utf8': 'body-invalid-utf8',
  'forbidden-key': 'body-forbidden-key',
};

/** Longer pointers are cut: names in a hostile body shall not buy a long answer. */
const POINTER_MAX = 200;

export const bodyProblem = ({ code, message, path, offset }: CanonicalFault): Problem =>
  problem(FAULT_CODES[code], message, {
    ...(path && path.length <= POINTER_MAX && { pointer: `#${encodeURI(path.toWellFormed())}` }),
    ...(offset !== undefined && { offset }),
  });

const STREAM_CODES: { readonly [code in StreamErrorCode]: ProblemCode } = {
  unavailable: 'store-unavailable',
  'in-doubt': 'outcome-unknown',
  'out-of-space': 'out-of-space',
  corrupt: 'store-corrupt',
  'schema-mismatch': 'store-mismatch',
  forbidden: 'store-mismatch',
  closed: 'shutting-down',
  overloaded: 'overloaded',
  moving: 'store-unavailable',
  unexpected: 'internal-error',
};

/** What a thrown error means to the caller. Messages of errors stay inside: they may quote SQL, paths and values. */
export const problemOf = (error: unknown): Problem => {
  if (error instanceof StreamError)
    return problem(STREAM_CODES[error.code], problemEntry(STREAM_CODES[error.code]).title);
  if (error instanceof IssuerUnavailable)
    return problem('issuer-unavailable', problemEntry('issuer-unavailable').title);
  if (error instanceof WritePathClosed)
    return problem('write-path-closed', `the write path of ${error.route} is closed`, {
      route: error.route,
      epoch: error.epoch,
    });
  if (error instanceof CanonicalError) return bodyProblem(error.fault);
  return problem('internal-error', problemEntry('internal-error').title);
};
