export type SpoolErrorCode =
  /** Another process, or another spool in this one, has the folder: give each its own. */
  | 'locked'
  /** `bytesMax` is reached: the receipt was not taken. Wait for the service to come back, or give more room. */
  | 'full'
  /** The disk refused; the receipt was not taken. See the cause; after a failed sync, open the spool again. */
  | 'storage'
  /** Bytes before the end of the spool were changed. Move the file that is named aside, and look at it. */
  | 'corrupt'
  /** The receipt is no JSON value, or larger than the service takes (1 MiB). Mend it. */
  | 'not-taken'
  /** The spool was closed. */
  | 'closed';

/** Everything that the spool throws. */
export class SpoolError extends Error {
  override readonly name = 'SpoolError';
  readonly code: SpoolErrorCode;
  constructor(code: SpoolErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}
