// Backup and restore of the configured database.
import type { BackupRequest } from '#gateway/cli/world.ts';
import { projectors } from '#projectors/index.ts';
import { ensureReadModels } from '#projectors/postgres/read-models.ts';
import type { Instant } from '#schemas/ids.ts';
import { type BackupManifest, readManifest } from '#streams/postgres/backup/archive.ts';
import { dumpLedger } from '#streams/postgres/backup/dump.ts';
import { loadLedger } from '#streams/postgres/backup/load.ts';
import { connect } from '#streams/postgres/connect.ts';
import type { Configuration } from '../configuration.ts';
import { MIGRATIONS, openDatabase } from './database.ts';
import { version } from './version.ts';
import { commandError, openKeys } from './wire.ts';

/** Throws what a command line can end with, as does `restore`. */
export const backUp = async (
  configuration: Configuration,
  { folder, onBytes }: BackupRequest,
): Promise<BackupManifest> => {
  try {
    await using database = await openDatabase(configuration);
    return await dumpLedger({
      url: database.url,
      folder,
      signer: (await openKeys(configuration)).signer,
      program: `prov-ledger ${version}`,
      now: Date.now as () => Instant,
      onBytes,
    });
  } catch (error) {
    throw commandError(error);
  }
};

export const restore = async (
  configuration: Configuration,
  { folder }: Pick<BackupRequest, 'folder'>,
): Promise<BackupManifest> => {
  try {
    const manifest = await readManifest(folder);
    await using database = await openDatabase(configuration);
    const { url } = database;
    await loadLedger({ url, folder, manifest, sets: MIGRATIONS });
    const pool = connect({ url, max: 2, name: 'prov-ledger restore' });
    try {
      await ensureReadModels(pool, projectors);
    } finally {
      await pool.end();
    }
    return manifest;
  } catch (error) {
    throw commandError(error);
  }
};
