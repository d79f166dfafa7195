// What a command ends with. The codes are a promise to scripts; docs/operations lists them.
import { RebuildError } from '#projectors/rebuild/errors.ts';
import { CanonicalError } from '#proofs/canonical.ts';
import { MalformedId } from '#schemas/ids.ts';
import { CarryError } from '#streams/carry.ts';
import { StreamError } from '#streams/errors.ts';
import { KafkaError } from '#streams/kafka/errors.ts';
import { BackupError } from '#streams/postgres/backup/errors.ts';
import { ExportError } from '../export/chain-text.ts';
import { NoSuchTenant } from '../ingest/appending.ts';
import { SourceError } from '../ingest/source.ts';
import { WritePathClosed } from '../tenancy/write-gate.ts';

export const EXIT = {
  ok: 0,
  /** The ledger refused, a verification failed, or some lines did not go in. */
  refused: 1,
  /** The command line or the configuration is wrong; nothing was done. */
  usage: 2,
  /** The store or a file cannot be reached, or rights are missing: the same command may succeed later. */
  unavailable: 3,
  /** A fault of the program, or of what is stored. */
  internal: 4,
  /** Ended by ctrl-C (128 + SIGINT). What was acknowledged stays. */
  interrupted: 130,
} as const;

export type Exit = keyof typeof EXIT;

/** Ends a command with one line that says what to do. */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly exit: Exit;
  /** For scripts: lower-case words joined by `-`. */
  readonly code: string;
  constructor(exit: Exit, code: string, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.exit = exit;
    this.code = code;
  }
}

const STREAM_EXITS: { readonly [Code in StreamError['code']]: Exit } = {
  unavailable: 'unavailable',
  'in-doubt': 'unavailable',
  'out-of-space': 'unavailable',
  overloaded: 'unavailable',
  moving: 'unavailable',
  forbidden: 'unavailable',
  'schema-mismatch': 'unavailable',
  closed: 'internal',
  corrupt: 'internal',
  unexpected: 'internal',
};

const BACKUP_EXITS: { readonly [Code in BackupError['code']]: Exit } = {
  exists: 'usage',
  'no-backup': 'usage',
  malformed: 'refused',
  damaged: 'refused',
  'not-empty': 'refused',
  'rows-hidden': 'unavailable',
  incomplete: 'internal',
};

const REBUILD_EXITS: { readonly [Code in RebuildError['code']]: Exit } = {
  'under-way': 'refused',
  'lost-lease': 'refused',
  'nothing-there': 'refused',
  exists: 'refused',
  'not-alike': 'usage',
  'not-equal': 'internal',
  halted: 'refused',
  'never-level': 'unavailable',
  'in-use': 'unavailable',
  elsewhere: 'refused',
  interrupted: 'interrupted',
};

const KAFKA_EXITS: { readonly [Code in KafkaError['code']]: Exit } = {
  unavailable: 'unavailable',
  forbidden: 'unavailable',
  tls: 'unavailable',
  'no-such-topic': 'unavailable',
  'registry-unavailable': 'unavailable',
  'no-such-schema': 'refused',
  incompatible: 'refused',
  gap: 'refused',
  corrupt: 'refused',
  unexpected: 'internal',
};

/** Any failure as the line and the code a command ends with. */
export const cliError = (error: unknown): CliError => {
  if (error instanceof CliError) return error;
  if (error instanceof StreamError)
    return new CliError(STREAM_EXITS[error.code], error.code, error.message, { cause: error });
  if (error instanceof KafkaError)
    return new CliError(KAFKA_EXITS[error.code], `kafka-${error.code}`, error.message, { cause: error });
  if (error instanceof WritePathClosed)
    return new CliError('refused', 'write-path-closed', error.message, { cause: error });
  if (error instanceof BackupError)
    return new CliError(BACKUP_EXITS[error.code], `backup-${error.code}`, error.message, { cause: error });
  if (error instanceof CarryError)
    return new CliError('refused', `carry-${error.code}`, error.message, { cause: error });
  if (error instanceof RebuildError)
    return new CliError(REBUILD_EXITS[error.code], error.code, error.message, { cause: error });
  if (error instanceof MalformedId)
    return new CliError('usage', 'malformed-id', error.message, { cause: error });
  if (error instanceof NoSuchTenant)
    return new CliError('refused', 'no-such-tenant', error.message, { cause: error });
  if (error instanceof SourceError)
    return new CliError('unavailable', `source-${error.code}`, error.message, { cause: error });
  if (error instanceof ExportError)
    return new CliError('internal', error.code, error.message, { cause: error });
  if (error instanceof CanonicalError)
    return new CliError('usage', error.fault.code, error.message, { cause: error });
  const message = error instanceof Error ? error.message : String(error);
  const { code } = (error ?? {}) as NodeJS.ErrnoException;
  const known = code !== undefined && /^E[A-Z]+$/.test(code);
  return new CliError(known ? 'unavailable' : 'internal', known ? code.toLowerCase() : 'internal', message, {
    cause: error,
  });
};
