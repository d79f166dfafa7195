// A backup of a running ledger: every table of the schemas that hold what cannot be worked out again, as of one moment. It is one REPEATABLE READ
// transaction, so heads, facts and signatures belong together whatever is appended meanwhile, and nobody waits for it.
// Read models are not in it: they are folds, and are folded again.
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { to as copyTo } from 'pg-copy-streams';
import { signHeads } from '#proofs/heads.ts';
import type { Signer } from '#proofs/keys/signer.ts';
import { type Instant, instantText, type Seq, type Sha256, type TenantId } from '#schemas/ids.ts';
import { type Client, connect, sqlState, streamError, withClient } from '../connect.ts';
import { isReadable, type Standing } from '../reader.ts';
import {
  BACKED_UP,
  BACKUP_FORMAT,
  type BackupFile,
  type BackupManifest,
  type BackupTable,
  HEADS,
  MANIFEST,
} from './archive.ts';
import { BackupError } from './errors.ts';

export interface DumpOptions {
  /** Of a user who owns the schema, or who may pass over row-level security. */
  readonly url: string;
  /** Made, and must not exist; complete when it appears under its name. */
  readonly folder: string;
  readonly signer: Signer;
  /** Name and version of this program, for whoever looks at the backup later. */
  readonly program: string;
  readonly now: () => Instant;
  readonly onBytes?: (bytes: number) => void;
  readonly signal?: AbortSignal;
}

/** Throws `BackupError`, `StreamError`, or an error of the file system; then nothing is left behind. */
export const dumpLedger = async (options: DumpOptions): Promise<BackupManifest> => {
  const { folder } = options;
  const partial = `${folder}.part`;
  await refuseTaken(folder);
  await mkdir(dirname(folder), { recursive: true });
  await rm(partial, { recursive: true, force: true });
  await mkdir(partial, { mode: 0o700 });
  const pool = connect({ url: options.url, max: 1, name: 'prov-ledger backup' });
  try {
    const manifest = await withClient(pool, (client) => dumpInto(client, partial, options));
    await rename(partial, folder);
    await syncFolder(dirname(folder));
    return manifest;
  } catch (error) {
    await rm(partial, { recursive: true, force: true });
    if (error instanceof BackupError || (error as Error).name === 'AbortError') throw error;
    throw (error as NodeJS.ErrnoException).syscall === undefined ? streamError(error) : error;
  } finally {
    await pool.end();
  }
};

const refuseTaken = async (folder: string): Promise<void> => {
  const there = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    if (error.code === 'ENOTDIR') return ['a file'];
    throw error;
  });
  if (there !== undefined)
    throw new BackupError('exists', `${folder} exists: name a folder that does not, a backup replaces none`);
};

const dumpInto = async (client: Client, into: string, options: DumpOptions): Promise<BackupManifest> => {
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  try {
    // Off: a statement that a policy would leave rows out of fails. Pitfall of every dump by a lesser role.
    await client.query('SET LOCAL row_security = off; SET LOCAL statement_timeout = 0');
    const manifest = await writeAll(client, into, options);
    await client.query('COMMIT');
    return manifest;
  } catch (error) {
    await client.query('ROLLBACK').catch(() => undefined);
    if (sqlState(error) === '42501')
      throw new BackupError(
        'rows-hidden',
        `PostgreSQL refused (${(error as Error).message}): back up as the owner of the schema, or as a role with BYPASSRLS and SELECT on all of it`,
        { cause: error },
      );
    throw error;
  }
};

const writeAll = async (client: Client, into: string, options: DumpOptions): Promise<BackupManifest> => {
  const { signer, program, now } = options;
  const madeAt = now();
  const about = await describe(client);
  const heads = await readAllHeads(client);
  const tables: BackupTable[] = [];
  for (const shape of await listTables(client)) {
    options.signal?.throwIfAborted();
    tables.push({ ...shape, ...(await dumpTable(client, { ...shape, into }, options)) });
  }
  const facts = heads.reduce((sum, { seq }) => sum + seq, 0);
  const stored = tables.find(({ schema, table }) => schema === 'ledger' && table === 'facts')?.rows ?? 0;
  if (stored !== facts)
    throw new BackupError(
      'incomplete',
      `the heads stand for ${facts} facts, and ${stored} are stored: run \`prov-ledger verify all\`, it names the place`,
    );
  const kept = heads.filter(isReadable).map(({ tenant, seq, hash }) => ({ tenant, seq, hash }));
  const envelope = await signHeads(signer, { ledgerId: about.ledgerId, madeAt, heads: kept });
  const manifest: BackupManifest = {
    format: BACKUP_FORMAT,
    ledger_id: about.ledgerId,
    made_at: instantText(madeAt),
    program,
    server: about.server,
    migrations: about.migrations,
    tables,
    sequences: await readSequences(client),
    heads: await writeWhole(join(into, HEADS), `${JSON.stringify(envelope)}\n`, HEADS),
  };
  // Last: a backup exists when its manifest does.
  await writeWhole(join(into, MANIFEST), `${JSON.stringify(manifest, undefined, 2)}\n`, MANIFEST);
  await syncFolder(into);
  return manifest;
};

const describe = async (client: Client) => {
  const { rows } = await client.query<{ id: string; server: string }>(
    "SELECT id, current_setting('server_version') AS server FROM ledger.identity",
  );
  const { rows: migrations } = await client.query<BackupManifest['migrations'][number]>(
    'SELECT set_name AS set, number, sha256 FROM public.prov_ledger_migrations ORDER BY set_name, number',
  );
  const [identity] = rows;
  if (!identity) throw new BackupError('incomplete', 'the ledger has no identity: run `prov-ledger doctor`');
  return { ledgerId: identity.id, server: identity.server, migrations };
};

/** Also of tenants that moved to another server: their facts of before are here. */
const readAllHeads = async (client: Client) => {
  const { rows } = await client.query<{
    readonly tenant: TenantId;
    readonly seq: Seq;
    readonly hash: Buffer;
    readonly standing: Standing;
  }>('SELECT tenant, seq, hash, standing FROM ledger.heads WHERE seq > 0 ORDER BY tenant');
  return rows.map(({ hash, ...row }) => ({ ...row, hash: hash.toString('hex') as Sha256 }));
};

interface TableShape {
  readonly schema: string;
  readonly table: string;
  readonly columns: BackupTable['columns'];
}

/** Generated columns are left out: the restored table works them out again. */
const listTables = async (client: Client): Promise<readonly TableShape[]> => {
  const { rows } = await client.query<TableShape & { readonly refers_to: readonly string[] }>(
    `SELECT c.relnamespace::regnamespace::text AS schema, c.relname::text AS table,
            (SELECT json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod)) ORDER BY a.attnum)
             FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '') AS columns,
            coalesce((SELECT json_agg(r.relnamespace::regnamespace::text || '.' || r.relname) FROM pg_constraint k JOIN pg_class r ON r.oid = k.confrelid
                      WHERE k.conrelid = c.oid AND k.contype = 'f' AND r.oid <> c.oid), '[]') AS refers_to
     FROM pg_class c
     WHERE c.relnamespace::regnamespace::text = ANY ($1) AND c.relkind IN ('r', 'p') AND NOT c.relispartition
     ORDER BY 1, 2`,
    [BACKED_UP],
  );
  const placed: TableShape[] = [];
  const waiting = [...rows];
  while (waiting.length > 0) {
    const free = waiting.findIndex(({ refers_to }) =>
      refers_to.every((other) => placed.some(({ schema, table }) => `${schema}.${table}` === other)),
    );
    const [next] = waiting.splice(Math.max(free, 0), 1);
    if (next) placed.push({ schema: next.schema, table: next.table, columns: next.columns });
  }
  return placed;
};

const dumpTable = async (
  client: Client,
  { schema, table, columns, into }: TableShape & { readonly into: string },
  { onBytes, signal }: DumpOptions,
): Promise<BackupFile & { readonly rows: number }> => {
  const file = `${schema}_${table}.copy.gz`;
  const names = columns.map(({ name }) => `"${name}"`).join(', ');
  const rows = client.query(
    copyTo(`COPY (SELECT ${names} FROM "${schema}"."${table}") TO STDOUT (FORMAT binary)`, {
      highWaterMark: 1 << 20,
    }),
  );
  const hash = createHash('sha256');
  let bytes = 0;
  const measured = new Transform({
    transform(chunk: Buffer, _, done) {
      hash.update(chunk);
      bytes += chunk.length;
      onBytes?.(chunk.length);
      done(null, chunk);
    },
  });
  const path = join(into, file);
  const write = createWriteStream(path, { flags: 'wx', mode: 0o600, flush: true });
  await pipeline(rows, createGzip({ level: 1 }), measured, write, { ...(signal && { signal }) });
  return { file, bytes, sha256: hash.digest('hex'), rows: rows.rowCount };
};

/** Sequences live outside transactions: what is read after the rows is never behind them. */
const readSequences = async (client: Client): Promise<BackupManifest['sequences']> => {
  const { rows } = await client.query<{ schema: string; name: string }>(
    `SELECT relnamespace::regnamespace::text AS schema, relname::text AS name FROM pg_class
     WHERE relnamespace::regnamespace::text = ANY ($1) AND relkind = 'S' ORDER BY 1, 2`,
    [BACKED_UP],
  );
  const sequences: BackupManifest['sequences'][number][] = [];
  for (const { schema, name } of rows) {
    const { rows: at } = await client.query<{ value: string; called: boolean }>(
      `SELECT last_value::text AS value, is_called AS called FROM "${schema}"."${name}"`,
    );
    for (const { value, called } of at) sequences.push({ schema, sequence: name, value, called });
  }
  return sequences;
};

const writeWhole = async (path: string, text: string, file: string): Promise<BackupFile> => {
  const handle = await open(path, 'wx', 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  return {
    file,
    bytes: Buffer.byteLength(text),
    sha256: createHash('sha256').update(text).digest('hex'),
  };
};

/** Makes new names durable; a folder cannot be opened on Windows. */
const syncFolder = async (folder: string): Promise<void> => {
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
};
