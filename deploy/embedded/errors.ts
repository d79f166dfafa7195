/** What went wrong with the embedded server; each code says what the caller can do about it. */
export type EmbeddedPostgresErrorCode =
  /** No binaries for this machine: set DATABASE_URL to a PostgreSQL of your own. */
  | 'binaries_missing'
  /** Root without a `postgres` user, and none could be made: start as an ordinary user, or make that user. */
  | 'account_unavailable'
  /** The server's user cannot enter the folder, or it belongs to somebody else: choose another data folder. */
  | 'folder_unreachable'
  /** The folder holds the data of another major version: dump it with the old release and load it with the new. */
  | 'other_version'
  /** `initdb` failed; nothing was left behind, trying again is safe. */
  | 'init_failed'
  /** The server ended, or was not ready in time; the message carries the end of its log. */
  | 'start_failed'
  /** Another live prov-ledger process runs this folder: use `connectOrStart`. */
  | 'in_use';

/** Every failure of the embedded server: one line that says what to do, the cause beneath. */
export class EmbeddedPostgresError extends Error {
  readonly code: EmbeddedPostgresErrorCode;

  constructor(code: EmbeddedPostgresErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'EmbeddedPostgresError';
    this.code = code;
  }
}
