// The one place where the program meets the PostgreSQL driver. Every connection speaks UTC, reads `bigint` as a
// number (positions and counts stay far below 2^53) and runs as the role that may append but never change facts.
import pg from 'pg';
import { StreamError } from '#streams/errors.ts';
import { cutWhenSilent } from './silence.ts';

export type Pool = pg.Pool;
export type Client = pg.PoolClient;
export type Queryable = Pick<pg.ClientBase, 'query'>;

/** Role that may read and append. Created by the first migration; the schema's owner is a member. */
export const RUNTIME_ROLE = 'prov_ledger_runtime';

export interface ConnectOptions {
  /** `postgresql://…` URL; a Unix socket is given as `?host=/dir`. */
  readonly url: string;
  /** Connections at most; 10 unless told. */
  readonly max?: number;
  /** Become this role on every connection; none for migrations. */
  readonly role?: string;
  /** Name shown in pg_stat_activity. */
  readonly name?: string;
  /**
   * For those who must answer somebody: how long a connection, a statement or a silent server is waited for, in
   * milliseconds. Unless told, a statement may take as long as it takes, and a connection ten seconds.
   */
  readonly patienceMs?: number;
}

const INT8 = 20;
const INT8_ARRAY = 1016;

const parsers: pg.CustomTypesConfig = {
  getTypeParser: ((oid: number, format: 'text' | 'binary') => {
    if (format === 'text' && oid === INT8) return Number;
    if (format === 'text' && oid === INT8_ARRAY) {
      return (raw: string) => raw.slice(1, -1).split(',').filter(Boolean).map(Number);
    }
    return pg.types.getTypeParser(oid, format as 'text');
  }) as pg.CustomTypesConfig['getTypeParser'],
};

/** Sessions of a process that was paused, or cut off, within a transaction hold its locks no longer than this. */
const ABANDONED_AFTER_MS = 60_000;

const sessionSettings = ({ role, patienceMs = 0 }: ConnectOptions): string =>
  [
    'TimeZone=UTC',
    // A statement that nobody waits for any more shall not go on working, or waiting for a lock.
    `statement_timeout=${patienceMs}`,
    ...(patienceMs > 0 ? [`idle_in_transaction_session_timeout=${ABANDONED_AFTER_MS}`] : []),
    ...(role ? [`role=${role}`] : []),
  ]
    .map((setting) => `-c ${setting}`)
    .join(' ');

export const connect = (connection: ConnectOptions): Pool => {
  const { url, max = 10, name = 'prov-ledger', patienceMs } = connection;
  const pool = new pg.Pool({
    connectionString: url,
    max,
    application_name: name,
    types: parsers,
    options: sessionSettings(connection),
    connectionTimeoutMillis: patienceMs ?? 10_000,
    idleTimeoutMillis: 30_000,
    // The kernel notices a peer that is gone while nobody asks it anything.
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
  });
  // An idle connection that dies (server restart) must not end the process; the next query gets a new one.
  pool.on('error', () => undefined);
  // One that dies between two queries of its user neither: the next query fails, and says so to whoever asked.
  pool.on('connect', (client) => {
    client.on('error', () => undefined);
    if (patienceMs !== undefined) cutWhenSilent(client, patienceMs);
  });
  return pool;
};

/** Where a pool connects to, for a thread that connects for itself; `undefined` for one that is not of `connect`. */
export const urlOf = (pool: Partial<Pick<Pool, 'options'>>): string | undefined =>
  pool.options?.connectionString;

/** Runs `work` on one connection; the connection is thrown away when it failed in a way that may have left it unfit. */
export const withClient = async <T>(pool: Pool, work: (client: Client) => Promise<T>): Promise<T> => {
  const client = await pool.connect();
  let failure: Error | undefined;
  try {
    return await work(client);
  } catch (error) {
    failure = error as Error;
    throw error;
  } finally {
    client.release(failure !== undefined && isConnectionFailure(failure) ? failure : undefined);
  }
};

/** Runs `work` inside BEGIN and COMMIT; rolls back and rethrows when it throws. */
export const transaction = <T>(pool: Pool, work: (client: Client) => Promise<T>): Promise<T> =>
  withClient(pool, async (client) => {
    await client.query('BEGIN');
    try {
      const result = await work(client);
      await client.query('COMMIT');
      return result;
    } catch (error) {
      await client.query('ROLLBACK').catch(() => undefined);
      throw error;
    }
  });

const CONNECTION_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ENOENT',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ENOTCONN',
]);

/** SQLSTATEs that say that another writer was first; nothing is stored, and the same work is to be tried again. */
const RACE_CODES: ReadonlySet<string | undefined> = new Set([
  // `ledger.seal_batch`: a head is not where the batch begins.
  'PL001',
  // Another writer holds the head (its `lock_timeout`).
  '55P03',
  '40001',
  '40P01',
]);

export const isLostRace = (code: string | undefined): boolean => RACE_CODES.has(code);

/** SQLSTATE or errno of a driver error. */
export const sqlState = (error: unknown): string | undefined =>
  typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string'
    ? error.code
    : undefined;

// Class 08: connection exception. 57P01-57P05: the server is going down, crashed, or is not yet up. 53000, 53200, 53300:
// it lacks memory or connections. 57014: it gave a statement up, since it took too long. 25P03, 25P04: it ended the
// session or its transaction for the same reason. 25006: it is a standby now, and another server the primary.
const AWAY = /^(?:08...|57P0[1-5]|53[023]00|57014|25P0[34]|25006)$/;

/** What the driver says without a code; "timeout exceeded …" when no connection of the pool came free. */
const WITHOUT_CODE =
  /connection|timeout expired|timeout exceeded when trying to connect|client has encountered/i;

/** The server cannot be used, now or over this connection, whoever asks it for what: another try may find it well. */
export const isConnectionFailure = (error: unknown): boolean => {
  const code = sqlState(error);
  if (code !== undefined) return CONNECTION_CODES.has(code) || AWAY.test(code);
  return error instanceof Error && WITHOUT_CODE.test(error.message);
};

/** Gives a driver error its place in the closed union of `StreamError`. */
export const streamError = (error: unknown): StreamError => {
  if (error instanceof StreamError) return error;
  const cause = error instanceof Error ? error : new Error(String(error));
  const code = sqlState(error);
  if (isConnectionFailure(error)) {
    return new StreamError('unavailable', `PostgreSQL cannot be reached: ${cause.message}`, { cause });
  }
  if (code === 'PL002')
    return new StreamError('moving', `nothing is appended for now: ${cause.message}`, { cause });
  if (code === '53100' || code === '53400')
    return new StreamError('out-of-space', `PostgreSQL has no room: ${cause.message}`, { cause });
  if (code === '42501')
    return new StreamError('forbidden', `PostgreSQL refused: ${cause.message}`, { cause });
  if (code === '3F000' || code === '42P01' || code === '42883' || code === '42703') {
    return new StreamError('schema-mismatch', `run \`prov-ledger migrate\`: ${cause.message}`, { cause });
  }
  return new StreamError('unexpected', `PostgreSQL answered: ${cause.message}`, { cause });
};
