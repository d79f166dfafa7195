// Backup and restore of the configured databases.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { BackupRequest, SavedDatabase } from '#gateway/cli/world.ts';
import { projectors } from '#projectors/index.ts';
import { ensureReadModels } from '#projectors/postgres/read-models.ts';
import type { Instant } from '#schemas/ids.ts';
import { HOME } from '#schemas/placements.ts';
import { readManifest } from '#streams/postgres/backup/archive.ts';
import { dumpLedger } from '#streams/postgres/backup/dump.ts';
import { loadLedger } from '#streams/postgres/backup/load.ts';
import { connect } from '#streams/postgres/connect.ts';
import type { Configuration } from '../../configuration.ts';
import { MIGRATIONS, openDatabase } from '../ledger/database.ts';
import { commandError, openKeys } from '../ledger/wire.ts';
import { version } from '../version.ts';

interface Kept {
  readonly url: string;
  readonly folder: string;
}

/** Of a ledger on several servers each has a folder by its name in the one that was asked for; the home first. */
const keptIn = ({ shards }: Configuration, home: string, folder: string): readonly Kept[] =>
  shards.length === 0
    ? [{ url: home, folder }]
    : [{ name: HOME, url: home }, ...shards].map(({ name, url }) => ({ url, folder: join(folder, name) }));

/** Throws what a command line can end with, as does `restore`. */
export const backUp = async (
  configuration: Configuration,
  { folder, onBytes }: BackupRequest,
): Promise<readonly SavedDatabase[]> => {
  try {
    await using database = await openDatabase(configuration);
    const { signer } = await openKeys(configuration);
    const saved: SavedDatabase[] = [];
    if (configuration.shards.length > 0) await mkdir(folder, { recursive: true });
    for (const { url, folder: own } of keptIn(configuration, database.url, folder)) {
      const program = `prov-ledger ${version}`;
      const now = Date.now as () => Instant;
      saved.push({
        folder: own,
        manifest: await dumpLedger({ url, folder: own, signer, program, now, onBytes }),
      });
    }
    return saved;
  } catch (error) {
    throw commandError(error);
  }
};

export const restore = async (
  configuration: Configuration,
  { folder }: Pick<BackupRequest, 'folder'>,
): Promise<readonly SavedDatabase[]> => {
  try {
    await using database = await openDatabase(configuration);
    const saved: (SavedDatabase & Kept)[] = [];
    for (const kept of keptIn(configuration, database.url, folder))
      saved.push({ ...kept, manifest: await readManifest(kept.folder) });
    for (const each of saved) await load(each);
    return saved;
  } catch (error) {
    throw commandError(error);
  }
};

const load = async ({ url, folder, manifest }: SavedDatabase & Kept): Promise<void> => {
  await loadLedger({ url, folder, manifest, sets: MIGRATIONS });
  const pool = connect({ url, max: 2, name: 'prov-ledger restore' });
  try {
    await ensureReadModels(pool, projectors);
  } finally {
    await pool.end();
  }
};
