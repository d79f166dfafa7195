// The one place where the program meets the PostgreSQL driver. Every connection speaks UTC, reads `bigint` as a
// number (positions and counts stay far below 2^53) and runs as the role that may append but never change facts.
import pg from 'pg';
import { StreamError } from '#streams/errors.ts';

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

export const connect = ({ url, max = 10, role, name = 'prov-ledger' }: ConnectOptions): Pool => {
  const settings = ['-c TimeZone=UTC', '-c statement_timeout=0', ...(role ? [`-c role=${role}`] : [])];
  const pool = new pg.Pool({
    connectionString: url,
    max,
    application_name: name,
    types: parsers,
    options: settings.join(' '),
    connectionTimeoutMillis: 10_000,
    idleTimeoutMillis: 30_000,
  });
  // An idle connection that dies (server restart) must not end the process; the next query gets a new one.
  pool.on('error', () => undefined);
  // One that dies between two queries of its user neither: the next query fails, and says so to whoever asked.
  pool.on('connect', (client) => client.on('error', () => undefined));
  return pool;
};

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
  'ENOTFOUND',
  'ENOTCONN',
]);

/** SQLSTATE or errno of a driver error. */
export const sqlState = (error: unknown): string | undefined =>
  typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string'
    ? error.code
    : undefined;

export const isConnectionFailure = (error: unknown): boolean => {
  const code = sqlState(error);
  // Class 08: connection exception; 57P01-57P03: the server is going down, crashed, or is not yet up.
  if (code !== undefined)
    return CONNECTION_CODES.has(code) || code.startsWith('08') || /^57P0[1-5]$/.test(code);
  return error instanceof Error && /connection|timeout expired|client has encountered/i.test(error.message);
};

/** Gives a driver error its place in the closed union of `StreamError`. */
export const streamError = (error: unknown): StreamError => {
  if (error instanceof StreamError) return error;
  const cause = error instanceof Error ? error : new Error(String(error));
  const code = sqlState(error);
  if (isConnectionFailure(error)) {
    return new StreamError('unavailable', `PostgreSQL cannot be reached: ${cause.message}`, { cause });
  }
  if (code?.startsWith('53'))
    return new StreamError('out-of-space', `PostgreSQL has no room: ${cause.message}`, { cause });
  if (code === '42501')
    return new StreamError('forbidden', `PostgreSQL refused: ${cause.message}`, { cause });
  if (code === '3F000' || code === '42P01' || code === '42883' || code === '42703') {
    return new StreamError('schema-mismatch', `run \`prov-ledger migrate\`: ${cause.message}`, { cause });
  }
  return new StreamError('unexpected', `PostgreSQL answered: ${cause.message}`, { cause });
};
