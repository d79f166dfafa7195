// Read models as Parquet files, all at one place of the ledger: those of a snapshot, or the ones in use, read in one
// transaction in which every one of them has come equally far with each tenant.
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as pause } from 'node:timers/promises';
import type { AnyProjector } from '#projectors/batch.ts';
import { columnsOf, keyColumnsOf } from '#projectors/postgres/columns.ts';
import { schemaOf } from '#projectors/postgres/snapshots/register.ts';
import { viewOf } from '#projectors/postgres/statements.ts';
import { RebuildError } from '#projectors/rebuild/errors.ts';
import { type Instant, instantText, type Seq, type TenantId } from '#schemas/ids.ts';
import { type Client, type Pool, streamError, withClient } from '#streams/postgres/connect.ts';
import { copyText } from '#streams/postgres/copy.ts';
import { CSV_OPTIONS, csvSelect, type ParquetColumn, parquetFromCsv } from './parquet.ts';

export interface ParquetExportOptions {
  readonly pool: Pool;
  readonly projectors: readonly AnyProjector[];
  /** Is made; when it is there it must be empty. */
  readonly folder: string;
  /** Name of a snapshot; the read models in use unless told. */
  readonly snapshot?: string | undefined;
  readonly tenant?: TenantId | undefined;
  /** How long to wait for a moment at which all read models in use have come equally far; 10,000 ms unless told. */
  readonly patienceMs?: number;
}

export interface ExportedPlace {
  readonly tenant: TenantId;
  readonly as_of_seq: Seq;
  readonly as_of: string;
}

export interface ExportedFile {
  readonly file: string;
  readonly projection: string;
  readonly rows: number;
  readonly bytes: number;
  readonly sha256: string;
}

/** What `manifest.json` says. */
export interface ParquetExport {
  readonly position: readonly ExportedPlace[];
  readonly files: readonly ExportedFile[];
}

/** Throws `RebuildError`: `exists`, `nothing-there`, `never-level`; `StreamError`. */
export const exportParquet = async (options: ParquetExportOptions): Promise<ParquetExport> => {
  const { pool, folder, projectors, patienceMs = 10_000 } = options;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  if ((await readdir(folder)).length > 0)
    throw new RebuildError(
      'exists',
      `${folder} is not empty: name a folder that is, or one that is not there`,
    );
  const until = performance.now() + patienceMs;
  for (;;) {
    const exported = await withClient(pool, (client) => atOnePlace(client, options));
    if (exported) {
      await writeFile(join(folder, 'manifest.json'), `${JSON.stringify(exported, undefined, 2)}\n`, {
        mode: 0o600,
      });
      return exported;
    }
    if (performance.now() > until)
      throw new RebuildError(
        'never-level',
        `${projectors.map(({ name }) => name).join(', ')} are not equally far at any moment; make a snapshot with \`prov-ledger views at\`, and export that with --snapshot`,
      );
    await pause(100);
  }
};

const atOnePlace = async (
  client: Client,
  options: ParquetExportOptions,
): Promise<ParquetExport | undefined> => {
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  try {
    const position = await placesOf(client, options);
    if (!position) return undefined;
    const files: ExportedFile[] = [];
    for (const projector of options.projectors) files.push(await exportOne(client, options, projector));
    return { position, files };
  } catch (error) {
    throw error instanceof RebuildError || !('code' in (error as object)) ? error : streamError(error);
  } finally {
    await client.query('ROLLBACK').catch(() => undefined);
  }
};

interface PlaceRow {
  readonly tenant: TenantId;
  readonly seq: Seq;
  readonly ms: Instant;
  readonly level: boolean;
}

const IN_USE = `SELECT tenant, min(as_of_seq) AS seq, (extract(epoch FROM min(as_of)) * 1000)::bigint AS ms, min(as_of_seq) = max(as_of_seq) AS level
  FROM views.projection_status WHERE shown AND projection = ANY ($1) AND ($2::text IS NULL OR tenant = $2) GROUP BY tenant ORDER BY tenant`;
const IN_SNAPSHOT = `SELECT tenant, as_of_seq AS seq, (extract(epoch FROM as_of) * 1000)::bigint AS ms, true AS level
  FROM views.snapshots WHERE name = $1 AND ($2::text IS NULL OR tenant = $2) ORDER BY tenant`;

const placesOf = async (
  client: Client,
  { projectors, snapshot, tenant }: ParquetExportOptions,
): Promise<readonly ExportedPlace[] | undefined> => {
  const { rows } = await client.query<PlaceRow>(snapshot === undefined ? IN_USE : IN_SNAPSHOT, [
    snapshot ?? projectors.map(({ name }) => name),
    tenant ?? null,
  ]);
  if (rows.length === 0)
    throw new RebuildError(
      'nothing-there',
      snapshot === undefined
        ? 'there is no tenant yet'
        : `there is no snapshot ${snapshot}${tenant === undefined ? '' : ` of ${tenant}`}; \`prov-ledger views list\` names them`,
    );
  if (rows.some(({ level }) => !level)) return undefined;
  return rows
    .filter(({ seq }) => seq > 0)
    .map(({ tenant: of, seq, ms }) => ({ tenant: of, as_of_seq: seq, as_of: instantText(ms) }));
};

const exportOne = async (
  client: Client,
  { folder, snapshot, tenant }: ParquetExportOptions,
  projector: AnyProjector,
): Promise<ExportedFile> => {
  const relation = snapshot === undefined ? viewOf(projector) : `${schemaOf(snapshot)}.${projector.name}`;
  const columns: readonly ParquetColumn[] = [{ name: 'tenant', type: 'text' }, ...columnsOf(projector)];
  const select = columns.map(({ name, type }) => csvSelect(name, type)).join(', ');
  const key = ['tenant', ...keyColumnsOf(projector).map(({ name }) => name)].join(', ');
  // A tenant's name holds no quote.
  const where = tenant === undefined ? '' : `WHERE tenant = '${tenant}'`;
  const csv = join(folder, `${projector.name}.csv.part`);
  const name = `${projector.name}.parquet`;
  const file = join(folder, name);
  try {
    await pipeline(
      copyText(client, `SELECT ${select} FROM ${relation} ${where} ORDER BY ${key}`, CSV_OPTIONS),
      createWriteStream(csv, { mode: 0o600 }),
    );
    const rows = await parquetFromCsv({ csv, file, columns });
    const sha = createHash('sha256');
    for await (const chunk of createReadStream(file)) sha.update(chunk as Buffer);
    const { size } = await stat(file);
    return { file: name, projection: projector.name, rows, bytes: size, sha256: sha.digest('hex') };
  } finally {
    await rm(csv, { force: true });
  }
};
