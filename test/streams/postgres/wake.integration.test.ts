// How the Postgres feed wakes: one notification per commit, a listening connection that is made anew when it dies, and
// no statement while nothing happens.

import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { connect, type Pool, RUNTIME_ROLE } from '#streams/postgres/connect.ts';
import { postgresStreamFeed } from '#streams/postgres/feed.ts';
import type { StreamFeed } from '#streams/stream.ts';
import { acme, append, draft, drafts, openTenants } from '#test/contracts/ledger-adapter.ts';
import { tcpProxy, through } from '#test/faults/tcp-proxy.ts';
import { openPostgres } from './postgres-adapter.ts';

const NEVER_MS = 600_000;

interface Counted {
  facts: number;
  readonly end: () => Promise<void>;
}

const follow = (feed: StreamFeed): Counted => {
  const abort = new AbortController();
  const counted = { facts: 0 };
  const run = (async () => {
    for await (const { facts } of feed.subscribe({ from: new Map(), signal: abort.signal }))
      counted.facts += facts.length;
  })();
  return Object.assign(counted, {
    end: async () => {
      abort.abort();
      await run;
    },
  });
};

const until = async (counted: Counted, facts: number, withinMs: number): Promise<void> => {
  for (const end = performance.now() + withinMs; counted.facts < facts; await pause(5)) {
    if (performance.now() > end) throw new Error(`${counted.facts} of ${facts} facts came in ${withinMs} ms`);
  }
};

/** Statements that the pool's connections send from now on. */
const statements = (pool: Pool): { count: number } => {
  const counter = { count: 0 };
  pool.on('acquire', (client) => {
    if ('counted' in client) return;
    const query = client.query.bind(client) as (...args: readonly unknown[]) => unknown;
    Object.assign(client, {
      counted: true,
      query: (...args: readonly unknown[]) => {
        counter.count += 1;
        return query(...args);
      },
    });
  });
  return counter;
};

describe('how the Postgres feed wakes', () => {
  it('a subscriber with nothing to do sends nothing; a commit of a thousand facts wakes it once', async () => {
    await using ledger = await openPostgres();
    await openTenants(ledger.store, acme);
    const pool = ledger.pool();
    const sent = statements(pool);
    await using feed = postgresStreamFeed({ pool, pollMs: NEVER_MS });
    const following = follow(feed);
    await until(following, 1, 3_000);
    await pause(200);
    const before = sent.count;
    await pause(800);
    expect(sent.count - before, 'statements while idle').to.equal(0);
    await append(ledger.store, acme, ...drafts(1_000));
    await until(following, 1_001, 3_000);
    await pause(200);
    // The heads, the page, and the heads again to see that nothing more has come.
    expect(sent.count - before, 'statements for one commit').to.be.within(2, 5);
    await following.end();
  });

  it('a listening connection that is killed is made anew, and nothing is missed meanwhile', async () => {
    await using ledger = await openPostgres();
    await openTenants(ledger.store, acme);
    const pool = ledger.pool('listener');
    await using feed = postgresStreamFeed({ pool, pollMs: NEVER_MS });
    const following = follow(feed);
    await until(following, 1, 3_000);
    for (let facts = 2; facts < 6; facts += 1) {
      await ledger.owner.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'listener' AND datname = current_database()`,
      );
      await append(ledger.store, acme, draft());
      await until(following, facts, 5_000);
    }
    await following.end();
  });

  it('polling alone delivers within the interval', async () => {
    await using ledger = await openPostgres();
    await openTenants(ledger.store, acme);
    await using feed = postgresStreamFeed({ pool: ledger.pool(), pollMs: 300, pollOnly: true });
    const following = follow(feed);
    await until(following, 1, 3_000);
    for (let facts = 2; facts < 5; facts += 1) {
      await append(ledger.store, acme, draft());
      await until(following, facts, 1_500);
    }
    await following.end();
  });

  it('a listening connection that the network forgot is noticed, and made anew', async () => {
    await using ledger = await openPostgres();
    await openTenants(ledger.store, acme);
    const { port } = ledger.database.connection;
    await using proxy = await tcpProxy({ port });
    const tcp = new URL(ledger.database.url);
    tcp.search = '';
    const url = through(proxy, tcp.href);
    const pool = connect({ url, role: RUNTIME_ROLE, patienceMs: 1_000, name: 'forgotten' });
    {
      await using feed = postgresStreamFeed({ pool, pollMs: NEVER_MS, heartbeatMs: 100 });
      const following = follow(feed);
      await until(following, 1, 10_000);
      proxy.turn('dark');
      await pause(400);
      proxy.turn('open');
      await append(ledger.store, acme, draft());
      await until(following, 2, 15_000);
      await following.end();
    }
    await pool.end();
  });

  it('one notification per commit, which carries nothing', async () => {
    await using ledger = await openPostgres();
    const session = await ledger.owner.connect();
    const heard: (string | undefined)[] = [];
    session.on('notification', ({ payload }) => heard.push(payload));
    await session.query('LISTEN ledger_facts');
    await openTenants(ledger.store, acme);
    await pause(100);
    const atOpening = heard.length;
    expect(heard).to.deep.equal(Array(atOpening).fill(''));
    expect(atOpening).to.equal(1);
    await append(ledger.store, acme, ...drafts(2));
    await pause(100);
    expect(heard).to.have.length(2);
    session.release(true);
  });
});
