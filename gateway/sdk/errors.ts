import type { ProblemDocument } from './types.ts';

/** What went wrong, and so what the caller does. The set is closed: a switch over it can be complete. */
export type ClientErrorCode =
  /** The service will never take this receipt as it is: `problem.errors` says why. Mend it. */
  | 'refused'
  /** The id stands for another receipt: `problem.first` names it. A different receipt needs an id of its own. */
  | 'conflict'
  /** The token is missing, wrong, expired or without the scope. Get another token. */
  | 'unauthorized'
  /** There is no such receipt or tenant for this token. */
  | 'not-found'
  /** The deadline passed. The receipt may have been recorded: record it again with the same id to find out. */
  | 'deadline'
  /** The queue is full and `whenFull` is `reject`. Nothing was sent: slow down, or give a larger queue. */
  | 'queue-full'
  /** The caller's signal fired. A receipt already on its way may have been recorded. */
  | 'aborted'
  /** The client was closed before the receipt was sent. */
  | 'closed'
  /** The receipt is no JSON value (a cycle, a bigint). Mend it. */
  | 'not-json'
  /** The write path of the route is closed, or nobody could be asked whether it is. Nothing was written: try again later. */
  | 'path-closed'
  /** What answered does not speak the ledger's protocol: check the URL. */
  | 'protocol';

export interface ClientErrorDetails {
  readonly cause?: unknown;
  readonly problem?: ProblemDocument | undefined;
  readonly receiptId?: string | undefined;
}

/** Everything that the client throws. */
export class ClientError extends Error {
  override readonly name = 'ClientError';
  readonly code: ClientErrorCode;
  /** What the service said, when it was the service that refused; on `deadline`, what it said last. */
  readonly problem: ProblemDocument | undefined;
  readonly receiptId: string | undefined;
  constructor(code: ClientErrorCode, message: string, details: ClientErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.problem = details.problem;
    this.receiptId = details.receiptId;
  }
}
