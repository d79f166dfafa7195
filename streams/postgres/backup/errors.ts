// Why a backup was not made or not restored. Each code says what the caller does about it.

export type BackupErrorCode =
  /** Something is at the place where the backup should go. Name another folder. */
  | 'exists'
  /** There is no backup in the folder, or it was never finished. Name the right one. */
  | 'no-backup'
  /** Its manifest is not one that this program reads. Use the program that made it. */
  | 'malformed'
  /** A file is missing, or is not what was written. Use another copy of the backup. */
  | 'damaged'
  /** The user may not see every row. Back up as the owner of the schema, or as a role with BYPASSRLS. */
  | 'rows-hidden'
  /** Heads and facts disagree already in the database. Do not rely on it: verify it, restore an older backup. */
  | 'incomplete'
  /** The database to restore into has a ledger. Give an empty one. */
  | 'not-empty';

export class BackupError extends Error {
  override readonly name = 'BackupError';
  readonly code: BackupErrorCode;
  constructor(code: BackupErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
