// The form of a backup: a folder with one file a table (PostgreSQL's binary COPY, gzip), the signed heads, and a
// manifest that names every file with its length and SHA-256. A backup exists when its manifest does.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { isUuid } from '#schemas/ids.ts';
import { BackupError } from './errors.ts';

export const BACKUP_FORMAT = 'prov-ledger/backup/1';
export const MANIFEST = 'manifest.json';
export const HEADS = 'heads.json';

export interface BackupFile {
  readonly file: string;
  readonly bytes: number;
  readonly sha256: string;
}

/**
 * The schemas that cannot be worked out again: the facts, and what a broker was told and had answered, and which
 * alarms were told to whom. Read models
 * (`projections`, `views`) and the states of sagas (`sagas`) are folds of the facts.
 */
export const BACKED_UP: readonly string[] = ['ledger', 'transport', 'alarms'];

export interface BackupTable extends BackupFile {
  readonly schema: string;
  readonly table: string;
  /** In the order of the rows' fields. */
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  readonly rows: number;
}

export interface BackupManifest {
  readonly format: typeof BACKUP_FORMAT;
  readonly ledger_id: string;
  readonly made_at: string;
  readonly program: string;
  readonly server: string;
  /** As they were applied: a restore brings an empty database to the same, loads, and goes on from there. */
  readonly migrations: readonly {
    readonly set: string;
    readonly number: number;
    readonly sha256: string;
  }[];
  /** One that refers to another comes after it. */
  readonly tables: readonly BackupTable[];
  readonly sequences: readonly {
    readonly schema: string;
    readonly sequence: string;
    readonly value: string;
    readonly called: boolean;
  }[];
  readonly heads: BackupFile;
}

/** Throws `BackupError`: `no-backup`, `malformed`. */
export const readManifest = async (folder: string): Promise<BackupManifest> => {
  let text: string;
  try {
    text = await readFile(join(folder, MANIFEST), 'utf8');
  } catch (cause) {
    throw new BackupError(
      'no-backup',
      `${folder} holds no finished backup (${(cause as Error).message}): name the folder that \`prov-ledger backup\` made`,
      { cause },
    );
  }
  const manifest = parsed(text);
  if (!isManifest(manifest))
    throw new BackupError(
      'malformed',
      `${join(folder, MANIFEST)} is no manifest of ${BACKUP_FORMAT}: restore it with the program that made it, or use another copy`,
    );
  return manifest;
};

/** Reads every file whole. Throws `BackupError` `damaged` at the first that is not as it was written. */
export const checkFiles = async (
  folder: string,
  { tables, heads }: BackupManifest,
  onBytes?: (bytes: number) => void,
): Promise<void> => {
  for (const { file, bytes, sha256 } of [heads, ...tables]) {
    const path = join(folder, file);
    const hash = createHash('sha256');
    try {
      const { size } = await stat(path);
      if (size !== bytes) throw new Error(`it has ${size} bytes, of ${bytes}`);
      await pipeline(createReadStream(path), async (chunks: AsyncIterable<Buffer>) => {
        for await (const chunk of chunks) {
          hash.update(chunk);
          onBytes?.(chunk.length);
        }
      });
      if (hash.digest('hex') !== sha256) throw new Error('its SHA-256 is another');
    } catch (cause) {
      throw new BackupError(
        'damaged',
        `${path} is not as it was written: ${(cause as Error).message}; use another copy of the backup`,
        { cause },
      );
    }
  }
};

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};

type Loose = { readonly [name: string]: unknown };

// Names go into SQL and paths: a manifest from outside may hold no others than those that a backup writes.
const NAME = /^[a-z_][a-z0-9_]{0,62}$/;
const TYPE = /^[a-z][a-z0-9_ ]{0,40}(?:\([0-9,]{1,9}\))?(?: with(?:out)? time zone)?(?:\[\])?$/;
const FILE = /^[a-z0-9_]{1,80}(?:\.[a-z]{1,8}){1,3}$/;

const isManifest = (value: unknown): value is BackupManifest => {
  const manifest = (value ?? {}) as Loose;
  return (
    manifest['format'] === BACKUP_FORMAT &&
    typeof manifest['ledger_id'] === 'string' &&
    isUuid(manifest['ledger_id']) &&
    ['made_at', 'program', 'server'].every((name) => typeof manifest[name] === 'string') &&
    isFile(manifest['heads']) &&
    isListOf(manifest['migrations'], isMigration) &&
    isListOf(manifest['tables'], isTable) &&
    isListOf(manifest['sequences'], isSequence)
  );
};

const isListOf = (value: unknown, is: (each: Loose) => boolean): boolean =>
  Array.isArray(value) && value.every((each: unknown) => is((each ?? {}) as Loose));

const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;

const matches = (value: unknown, form: RegExp): boolean => typeof value === 'string' && form.test(value);

const isFile = (value: unknown): boolean => {
  const { file, bytes, sha256 } = (value ?? {}) as Loose;
  return matches(file, FILE) && isCount(bytes) && matches(sha256, /^[0-9a-f]{64}$/);
};

const isMigration = ({ set, number, sha256 }: Loose): boolean =>
  matches(set, NAME) && isCount(number) && matches(sha256, /^[0-9a-f]{64}$/);

const isTable = (value: Loose): boolean =>
  isFile(value) &&
  isBackedUp(value['schema']) &&
  matches(value['table'], NAME) &&
  isCount(value['rows']) &&
  isListOf(value['columns'], ({ name, type }) => matches(name, NAME) && matches(type, TYPE));

const isBackedUp = (schema: unknown): boolean => BACKED_UP.some((each) => each === schema);

const isSequence = ({ schema, sequence, value, called }: Loose): boolean =>
  isBackedUp(schema) &&
  matches(sequence, NAME) &&
  matches(value, /^-?\d{1,19}$/) &&
  typeof called === 'boolean';
