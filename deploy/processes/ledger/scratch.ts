// A ledger for one replay: a PostgreSQL of its own in a folder of its own, and keys of its own. All of it goes when it is
// disposed, whatever became of the replay.
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ScratchLedger } from '#gateway/cli/world.ts';
import type { Configuration } from '../../configuration.ts';
import { startEmbeddedPostgres } from '../../embedded/server.ts';
import { migrateDatabase } from './database.ts';
import { commandError, wireLedger } from './wire.ts';

export const scratchLedger = async (configuration: Configuration): Promise<ScratchLedger> => {
  await using opening = new AsyncDisposableStack();
  const dataDir = await mkdtemp(join(tmpdir(), 'prov-ledger-scratch-'));
  opening.defer(() => rm(dataDir, { recursive: true, force: true }));
  // Passable: the server's user lives in there. The keys folder below it is closed to others.
  await chmod(dataDir, 0o711);
  try {
    const server = opening.use(await startEmbeddedPostgres({ dataDir }));
    await migrateDatabase(server.url);
    const database = { url: server.url, embedded: true, [Symbol.asyncDispose]: async () => undefined };
    const own = {
      ...configuration,
      dataDir,
      keysDir: join(dataDir, 'keys'),
      databaseUrl: undefined,
      shards: [],
    };
    const ledger = opening.use(await wireLedger(own, database));
    const open = opening.move();
    return { ...ledger, signer: ledger.keys.signer, [Symbol.asyncDispose]: () => open.disposeAsync() };
  } catch (error) {
    throw commandError(error);
  }
};
