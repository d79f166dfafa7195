// The Postgres adapter as its contract suites see it: a database of its own per ledger, a pool of its own per instance.
import pg from 'pg';
import type { Signer } from '#proofs/keys/signer.ts';
import { connect, type Pool, RUNTIME_ROLE } from '#streams/postgres/connect.ts';
import { postgresStreamFeed } from '#streams/postgres/feed.ts';
import { LEDGER_MIGRATIONS, migrate } from '#streams/postgres/migrate.ts';
import {
  type PostgresStore,
  type PostgresStoreOptions,
  postgresStreamStore,
} from '#streams/postgres/store.ts';
import type { StreamFeed } from '#streams/stream.ts';
import type {
  CommitFault,
  Instance,
  LedgerAdapter,
  LedgerUnderTest,
} from '#test/contracts/ledger-adapter.ts';
import { type DatabaseTemplate, type FreshDatabase, freshDatabase } from '#test/support/postgres.ts';
import { failingOnce, testSigner } from '#test/support/test-signer.ts';

export const ledgerTemplate: DatabaseTemplate = {
  name: 'ledger',
  prepare: async (connection) => {
    const owner = new pg.Pool({ ...connection, max: 1 });
    await migrate(owner, [LEDGER_MIGRATIONS]);
    await owner.end();
  },
};

/** Longer than any test: what arrives sooner was woken. */
const NEVER_MS = 600_000;

export interface PostgresUnderTest extends LedgerUnderTest {
  readonly database: FreshDatabase;
  /** A pool of the runtime role, as the program has it; closed with the ledger. */
  readonly pool: (name?: string) => Pool;
  /** The database's owner, whom rights do not bind. */
  readonly owner: Pool;
  /** An instance on a given pool, which waits so long for a server that has gone. */
  readonly on: (pool: Pool, retryForMs?: number) => Promise<Instance>;
  readonly storeWith: (options: Partial<PostgresStoreOptions>) => Promise<PostgresStore>;
}

export const openPostgres = async (template = ledgerTemplate): Promise<PostgresUnderTest> => {
  const database = await freshDatabase({ template });
  await giveIdentity(database);
  const { signer, keys } = testSigner();
  const clock = { now: 1_763_715_600_000 };
  const closing: (() => PromiseLike<unknown>)[] = [];
  const pool = (name = 'test'): Pool => {
    const made = connect({ url: database.url, role: RUNTIME_ROLE, max: 6, name });
    closing.push(() => made.end());
    return made;
  };
  const owner = connect({ url: database.url, max: 2, name: 'owner' });
  closing.push(() => owner.end());
  const feedOn = (
    its: Pool,
    options: { readonly pollMs: number; readonly pollOnly?: boolean },
  ): StreamFeed => {
    const feed = postgresStreamFeed({ pool: its, ...options });
    closing.push(() => feed[Symbol.asyncDispose]());
    return feed;
  };
  const storeWith = async (options: Partial<PostgresStoreOptions>): Promise<PostgresStore> => {
    const store = await postgresStreamStore({
      pool: options.pool ?? pool(),
      signer,
      clock: () => clock.now,
      ...options,
    });
    closing.push(() => store[Symbol.asyncDispose]());
    return store;
  };
  const on = async (its: Pool, retryForMs = 5_000, signs: Signer = signer): Promise<Instance> => {
    const store = await storeWith({ pool: its, signer: signs, retryForMs });
    return { store, feed: feedOn(its, { pollMs: NEVER_MS }) };
  };
  return {
    ...(await on(pool('test'))),
    keys,
    clock,
    database,
    pool,
    owner,
    on,
    storeWith,
    another: async () => await on(pool()),
    failing: async (fault) =>
      fault === 'unsigned' || fault === 'badly-signed'
        ? await on(pool(), 0, failingOnce(signer, fault))
        : await on(await faulty(pool('doomed'), owner, fault), 0),
    deafFeed: async () => feedOn(pool(), { pollMs: 200, pollOnly: true }),
    idleTransaction: async () => {
      const session = await owner.connect();
      await session.query('BEGIN');
      await session.query(
        `SELECT pg_current_xact_id(), nextval('ledger.batch_no'), (SELECT count(*) FROM ledger.facts)`,
      );
      return {
        [Symbol.asyncDispose]: async () => {
          await session.query('ROLLBACK');
          session.release();
        },
      };
    },
    [Symbol.asyncDispose]: async () => {
      for (const close of closing.reverse()) await close();
      await database[Symbol.asyncDispose]();
    },
  };
};

// A clone has the ledger id of its template; two ledgers never share one.
const giveIdentity = async (database: FreshDatabase): Promise<void> => {
  const session = new pg.Client(database.url);
  await session.connect();
  await session.query(`ALTER TABLE ledger.identity DISABLE TRIGGER immutable;
    UPDATE ledger.identity SET id = gen_random_uuid();
    ALTER TABLE ledger.identity ENABLE TRIGGER immutable`);
  await session.end();
};

const faulty = async (
  pool: Pool,
  owner: Pool,
  fault: Exclude<CommitFault, 'unsigned' | 'badly-signed'>,
): Promise<Pool> => {
  if (fault === 'cut-before-commit') await owner.query(CUT_ONCE);
  else interceptOnce(pool, fault);
  return pool;
};

// The sequence outlives the rollback, so the session is killed once, with claim and facts written and not committed.
const CUT_ONCE = `
  CREATE SEQUENCE public.cuts;
  CREATE FUNCTION public.cut() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
  BEGIN
    IF current_setting('application_name') = 'doomed' AND nextval('public.cuts') = 1 THEN
      PERFORM pg_terminate_backend(pg_backend_pid());
      PERFORM pg_sleep(5);
    END IF;
    RETURN NULL;
  END $$;
  CREATE TRIGGER cut AFTER INSERT ON ledger.facts FOR EACH STATEMENT EXECUTE FUNCTION public.cut();`;

/** The COPY with which the store appends, as it hands it to the driver. */
interface Append {
  readonly text: string;
  handleError(error: Error): void;
  handleReadyForQuery(): void;
}

const isAppend = (query: unknown): query is Append =>
  typeof query === 'object' &&
  query !== null &&
  'text' in query &&
  typeof query.text === 'string' &&
  query.text.startsWith('COPY ledger.facts');

/** The pool's next append fails: it is refused before it is sent, or its answer is lost after it was stored. */
export const interceptOnce = (pool: Pool, fault: 'refused' | 'cut-after-commit' | Error, times = 1): void => {
  let left = times;
  const refusal =
    fault instanceof Error
      ? fault
      : Object.assign(new Error('could not extend file: No space left on device'), { code: '53100' });
  pool.on('connect', (client) => {
    const original = client.query.bind(client) as (...args: readonly unknown[]) => unknown;
    const fail = (append: Append): void => {
      left -= 1;
      if (fault !== 'cut-after-commit') {
        queueMicrotask(() => append.handleError(refusal));
        return;
      }
      const handleReadyForQuery = (): void => {
        (
          client as unknown as { connection: { stream: { destroy: () => void } } }
        ).connection.stream.destroy();
        append.handleError(Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' }));
      };
      original({ ...append, handleReadyForQuery });
    };
    const query = (...args: readonly unknown[]): unknown =>
      left > 0 && isAppend(args[0]) ? fail(args[0]) : original(...args);
    Object.assign(client, { query });
  });
};

export const postgres: LedgerAdapter = {
  name: 'postgres',
  open: () => openPostgres(),
  supports: {
    another: true,
    failing: {
      unsigned: true,
      'badly-signed': true,
      refused: true,
      'cut-before-commit': true,
      'cut-after-commit': true,
    },
    deafFeed: true,
    idleTransaction: true,
  },
};
