// The process dies between any two statements, or the connection does, which to the database is the same: every fact
// is in the rows exactly once afterwards.
import { expect } from 'chai';
import { postgresRowSink } from '#projectors/postgres/sink.ts';
import { runProjectors } from '#projectors/run.ts';
import { StreamError } from '#streams/errors.ts';
import type { Client, Pool } from '#streams/postgres/connect.ts';
import {
  ACME,
  chain,
  chainsOf,
  dump,
  feedOf,
  GLOBEX,
  type ProjectionDatabase,
  projectionDatabase,
} from './chains.ts';
import { both, cleared, counted, decode, TABLES, unknown } from './tally.ts';

const chains = chainsOf(
  chain(ACME, [
    counted(['ada', 'bob']),
    counted(['ada'], 2),
    unknown,
    cleared('bob'),
    unknown,
    counted(['bob'], 3),
    counted(['cyd']),
  ]),
  chain(GLOBEX, [counted(['ada'], 5)]),
);
// Two facts a batch: the first step of a checkpoint and later ones, with and without rows to load, write and delete.
const BATCH = 2;

/** The pool, whose connection dies for good at the statement of the given number (from 1): before or after it ran. */
const dyingPool = (pool: Pool, dieAt: number, when: 'before' | 'after') => {
  const seen: string[] = [];
  const die = (client: Client): never => {
    (client as unknown as { connection: { stream: { destroy: () => void } } }).connection.stream.destroy();
    throw Object.assign(new Error('the connection was cut'), { code: 'ECONNRESET' });
  };
  const cut = (client: Client): Client =>
    new Proxy(client, {
      get: (target, name) => {
        if (name !== 'query') {
          const value: unknown = Reflect.get(target, name);
          return typeof value === 'function' ? value.bind(target) : value;
        }
        return async (...args: unknown[]) => {
          if (seen.length >= dieAt) throw Object.assign(new Error('already cut'), { code: 'ECONNRESET' });
          seen.push(textOf(args[0]));
          if (seen.length === dieAt && when === 'before') return die(target);
          const result: unknown = await (target.query as (...all: unknown[]) => Promise<unknown>)(...args);
          if (seen.length === dieAt) return die(target);
          return result;
        };
      },
    });
  const dying = {
    connect: async () => cut(await pool.connect()),
    query: pool.query.bind(pool),
  } as unknown as Pool;
  return { pool: dying, seen };
};

const textOf = (query: unknown): string =>
  (typeof query === 'string' ? query : (query as { text: string }).text).trim().slice(0, 40);

describe('a projector process that dies', () => {
  let db: ProjectionDatabase;
  before(async () => {
    db = await projectionDatabase(both, TABLES);
  });
  after(() => db[Symbol.asyncDispose]());

  /** Runs until the end, or until infrastructure fails for the first time. */
  const run = async (pool: Pool): Promise<StreamError | undefined> => {
    const stop = new AbortController();
    let failure: StreamError | undefined;
    const onRetry = (error: StreamError): void => {
      failure = error;
      stop.abort();
    };
    const sink = postgresRowSink({ pool });
    // One after the other, so that the number of a statement always names the same one.
    for (const projector of both) {
      if (stop.signal.aborted) break;
      await runProjectors({
        feed: feedOf(chains),
        sink,
        projectors: [projector],
        decode,
        signal: stop.signal,
        untilCaughtUp: true,
        batchSize: BATCH,
        onRetry,
      });
    }
    return failure;
  };

  const clear = (): Promise<unknown> =>
    db.owner.query('TRUNCATE projections.tally_v1, projections.log_v1, projections.checkpoints');

  it('leaves each fact applied once, whichever statement it dies before or after', async function () {
    this.timeout(120_000);
    const whole = dyingPool(db.pool, Number.POSITIVE_INFINITY, 'before');
    expect(await run(whole.pool)).to.equal(undefined);
    const wanted = await dump(db.pool, both);
    const statements = whole.seen.length;
    // In turn: both tenants together (their first facts), then acme alone, three times. tally: begin, checkpoints, load,
    // write, commit, and a second write where rows go too; log, which loads nothing, one statement less each.
    expect(statements).to.equal(39);
    for (const kind of [
      'BEGIN',
      'COMMIT',
      // The first step of a checkpoint, and the later ones.
      'WITH b AS MATERIALIZED (SELECT epoch FRO',
      'WITH g AS MATERIALIZED',
      'SELECT',
      'INSERT INTO projections.tally',
      'INSERT INTO projections.log',
      'DELETE',
    ]) {
      expect(
        whole.seen.some((text) => text.startsWith(kind)),
        kind,
      ).to.equal(true);
    }
    let deaths = 0;
    for (let at = 1; at <= statements; at += 1) {
      for (const when of ['before', 'after'] as const) {
        await clear();
        const failure = await run(dyingPool(db.pool, at, when).pool);
        expect(failure, `${when} statement ${at}`)
          .to.be.instanceOf(StreamError)
          .with.property('code', 'unavailable');
        deaths += 1;
        expect(await run(db.pool)).to.equal(undefined);
        expect(await dump(db.pool, both), `${when} statement ${at}: ${whole.seen[at - 1]}`).to.deep.equal(
          wanted,
        );
      }
    }
    expect(deaths).to.equal(2 * statements);
  });
});
