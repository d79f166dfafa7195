// The connection to Neo4j. Its driver is imported in this folder and nowhere else.
import neo4j, { type Driver, type ManagedTransaction, Neo4jError } from 'neo4j-driver';
import { StreamError, type StreamErrorCode } from '#streams/errors.ts';
import { inTime, LATE } from '#streams/in-time.ts';

export interface GraphAddress {
  /** `bolt://`, `neo4j://` or with `+s` for TLS. */
  readonly url: string;
  /** Without one, the server asks for none. */
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  /** The server's default unless told. */
  readonly database?: string | undefined;
  /** How long a transaction may take in all before its server counts as away; 75,000 ms unless told. */
  readonly silenceMs?: number;
}

export type Parameters = { readonly [name: string]: unknown };
export type GraphRecord = { readonly [name: string]: unknown };

/** Runs one statement in a transaction that is open. Integers come as `Integer`, so that they differ from floats. */
export type Statement = (cypher: string, parameters?: Parameters) => Promise<readonly GraphRecord[]>;

export interface Graph extends AsyncDisposable {
  /**
   * All of the work or none of it; it is never repeated here. Throws `StreamError`, `unavailable` also where no answer
   * comes and nobody can say which of the two it was, and whatever else `work` throws.
   */
  readonly transaction: <T>(work: (run: Statement) => Promise<T>) => Promise<T>;
  /** One statement, in a transaction of its own. Throws `StreamError`. */
  readonly query: Statement;
}

const CONNECT_WITHIN_MS = 5_000;
const CLOSE_WITHIN_MS = 5_000;

/** Nothing is asked of the server before the first statement. */
export const connectGraph = ({
  url,
  user,
  password,
  database,
  silenceMs = SILENCE_MS,
}: GraphAddress): Graph => {
  const auth = user === undefined ? undefined : neo4j.auth.basic(user, password ?? '');
  const open = (): Driver =>
    neo4j.driver(url, auth, {
      userAgent: 'prov-ledger',
      maxConnectionPoolSize: 10,
      connectionTimeout: CONNECT_WITHIN_MS,
      connectionAcquisitionTimeout: CONNECT_WITHIN_MS,
      maxTransactionRetryTime: 0,
    });
  let driver = open();
  const session = () => driver.session(database === undefined ? {} : { database });
  const answered = async <T>(work: Promise<T>): Promise<T> => {
    const asked = driver;
    const first = await inTime(silenceMs, work);
    if (first !== LATE) return first;
    // The driver reads for ever from a connection that went dark, and would lend it again: all of it is given up.
    if (driver === asked) driver = open();
    void asked.close().catch(() => undefined);
    throw new StreamError('unavailable', `Neo4j: no answer for ${silenceMs / 1_000} s`);
  };
  const transaction: Graph['transaction'] = async (work) => {
    await using open = session();
    try {
      const begun = await open.beginTransaction({ timeout: TRANSACTION_MS });
      try {
        const result = await work(statementOn(begun as unknown as ManagedTransaction));
        await begun.commit();
        return result;
      } finally {
        if (begun.isOpen()) await begun.rollback().catch(() => undefined);
      }
    } catch (error) {
      throw error instanceof Neo4jError ? graphError(error) : error;
    }
  };
  return {
    transaction: (work) => answered(transaction(work)),
    query: (cypher, parameters) => answered(transaction((run) => run(cypher, parameters))),
    // Of a connection that broke the driver may not hear that it is closed.
    [Symbol.asyncDispose]: async () => {
      await inTime(CLOSE_WITHIN_MS, driver.close());
    },
  };
};

/** A server that stopped half-way holds its locks no longer than this. */
const TRANSACTION_MS = 60_000;
/** The server ends a transaction before that, if it lives. */
const SILENCE_MS = TRANSACTION_MS + 15_000;

const statementOn =
  (transaction: ManagedTransaction): Statement =>
  async (cypher, parameters) =>
    (await transaction.run(cypher, parameters)).records.map((record) => record.toObject() as GraphRecord);

/** As the runner of read models takes failures: whether waiting helps is in the code. */
export const graphError = (error: unknown): StreamError => {
  if (error instanceof StreamError) return error;
  const { message, code = '' } = error as Error & { code?: string };
  return new StreamError(codeOf(code), `Neo4j: ${message}`, { cause: error });
};

const codeOf = (code: string): StreamErrorCode => {
  // The server knows best when to try again; a transaction that lost a deadlock is among these.
  if (code.startsWith('Neo.TransientError.') || AWAY.has(code)) return 'unavailable';
  if (code.startsWith('Neo.ClientError.Security.')) return 'forbidden';
  // Killed by its own time limit, or by an operator.
  if (code.startsWith('Neo.ClientError.Transaction.')) return 'unavailable';
  return 'unexpected';
};

const AWAY: ReadonlySet<string> = new Set([
  'ServiceUnavailable',
  'SessionExpired',
  'N/A',
  'Neo.DatabaseError.General.UnknownError',
  'Neo.DatabaseError.Database.UnableToStartDatabase',
  'Neo.ClientError.Database.DatabaseNotFound',
]);
