// The database of this process: the user's own (DATABASE_URL), or the embedded one on the data folder, which the first
// process to need it starts and the others share.
import { setTimeout as pause } from 'node:timers/promises';
import { projectors } from '#projectors/index.ts';
import {
  ensureReadModels,
  missingReadModels,
  PROJECTION_MIGRATIONS,
} from '#projectors/postgres/read-models.ts';
import { ALARM_MIGRATIONS } from '#sagas/postgres/alarms/deliveries.ts';
import { SAGA_MIGRATIONS } from '#sagas/postgres/shelf.ts';
import { StreamError } from '#streams/errors.ts';
import { connect, RUNTIME_ROLE, sqlState, streamError } from '#streams/postgres/connect.ts';
import { LEDGER_MIGRATIONS, type Migration, migrate, pendingMigrations } from '#streams/postgres/migrate.ts';
import { TRANSPORT_MIGRATIONS } from '#streams/postgres/transport/migrations.ts';
import type { Configuration } from '../../configuration.ts';
import { connectOrStart, type ServerEvent } from '../../embedded/server.ts';

export const MIGRATIONS = [
  LEDGER_MIGRATIONS,
  PROJECTION_MIGRATIONS,
  TRANSPORT_MIGRATIONS,
  SAGA_MIGRATIONS,
  ALARM_MIGRATIONS,
];

export interface Database extends AsyncDisposable {
  readonly url: string;
  readonly embedded: boolean;
}

export interface DatabaseOptions {
  /** Wait until no other process runs the embedded server, so that none can end it under us. */
  readonly mustOwn?: boolean;
  readonly onWait?: () => void;
  readonly onEvent?: (event: ServerEvent) => void;
  readonly signal?: AbortSignal;
}

const OWN_POLL_MS = 300;

export const openDatabase = async (
  { databaseUrl, dataDir }: Configuration,
  options: DatabaseOptions = {},
): Promise<Database> => {
  const { mustOwn = false, onWait, onEvent, signal } = options;
  if (databaseUrl !== undefined)
    return { url: databaseUrl, embedded: false, [Symbol.asyncDispose]: async () => undefined };
  for (let told = false; ; told = true) {
    const server = await connectOrStart({ dataDir, ...(onEvent && { onEvent }) });
    if (server.owned || !mustOwn)
      return { url: server.url, embedded: true, [Symbol.asyncDispose]: () => server.stop() };
    if (!told) onWait?.();
    await pause(OWN_POLL_MS, undefined, signal && { signal });
  }
};

/** Applies what is pending; the URL's user must own the schema. */
export const migrateDatabase = async (url: string): Promise<readonly Migration[]> => {
  const pool = connect({ url, max: 2, name: 'prov-ledger migrate' });
  try {
    const applied = await migrate(pool, MIGRATIONS);
    await ensureReadModels(pool, projectors);
    return applied;
  } finally {
    await pool.end();
  }
};

/** What is pending; nothing can be said (and `undefined` is) where the user may not read the register. */
export const pendingOf = async (url: string): Promise<readonly Migration[] | undefined> => {
  const pool = connect({ url, max: 1, name: 'prov-ledger' });
  try {
    return await pendingMigrations(pool, MIGRATIONS);
  } catch (error) {
    if (sqlState(error) === '42501') return undefined;
    throw streamError(error);
  } finally {
    await pool.end();
  }
};

/** Embedded: migrated without asking, as it belongs to this program. The user's own: theirs to migrate. */
export const prepareDatabase = async ({ url, embedded }: Database): Promise<void> => {
  const pending = await pendingOf(url);
  if (pending === undefined) return;
  const lacking = pending.length > 0 ? `${pending.length} migrations` : await missingTables(url);
  if (lacking === undefined) return;
  if (embedded) await migrateDatabase(url);
  else throw new StreamError('schema-mismatch', `the database lacks ${lacking}: run \`prov-ledger migrate\``);
};

/** A projector that came, or got a new version, needs no migration but a table. */
const missingTables = async (url: string): Promise<string | undefined> => {
  const pool = connect({ url, max: 1, role: RUNTIME_ROLE, name: 'prov-ledger' });
  try {
    const missing = await missingReadModels(pool, projectors);
    const names = missing.map(({ name, version }) => `${name} v${version}`);
    return names.length > 0 ? `the read models ${names.join(', ')}` : undefined;
  } finally {
    await pool.end();
  }
};
