// A PostgreSQL that is there and does not answer, or is there and cannot be reached: whoever asks is answered in time and
// truthfully, nothing hangs, and when it is back everything goes on by itself.
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { claimId } from '#commands/run.ts';
import { tenantId } from '#schemas/ids.ts';
import { connect } from '#streams/postgres/connect.ts';
import { type Answer, type HttpClient, httpClient, problemCode, sameOf } from './http-client.ts';
import { openSite, type Service, type Site } from './site.ts';
import { type TcpProxy, tcpProxy, through } from './tcp-proxy.ts';

const ACME = tenantId('acme');
const STORE_SECONDS = 1;
/** Of the deadline, on a machine that is busy with other tests; far from what TCP would wait. */
const SLACK_MS = 6_000;
const AWAY = ['store-unavailable', 'outcome-unknown'];

/** PostgreSQL and all that it has started. */
const processesOf = (postmaster: number): readonly number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => pid === postmaster || parentOf(pid) === postmaster);

const parentOf = (pid: number): number | undefined => {
  try {
    // Behind the name, which may hold anything: state, parent.
    return Number(readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1)?.split(' ')[1]);
  } catch {
    return undefined;
  }
};

describe('while PostgreSQL does not answer', function () {
  this.timeout(120_000);
  let site: Site;
  let proxy: TcpProxy;
  let client: HttpClient;
  let service: Service;
  let count = 0;
  const acknowledged = new Map<string, string>();
  const unknown: string[] = [];

  before(async () => {
    site = await openSite();
    proxy = await tcpProxy({ port: site.server.connection.port });
    client = httpClient();
    service = await site.service({
      databaseUrl: through(proxy, site.databaseUrl),
      storeSeconds: STORE_SECONDS,
    });
  });
  after(async () => {
    client?.[Symbol.dispose]();
    await site?.[Symbol.asyncDispose]();
    await proxy?.[Symbol.asyncDispose]();
  });

  const token = (): string => site.tokens.get(ACME) ?? '';
  const get = (path: string, of = service): Promise<Answer> =>
    client.ask(of.url, { method: 'GET', path, token: token(), withinMs: STORE_SECONDS * 1_000 + SLACK_MS });
  const send = (id: string, of = service, withinMs = STORE_SECONDS * 1_000 + SLACK_MS): Promise<Answer> =>
    client.ask(of.url, {
      path: '/v1/receipts',
      token: token(),
      headers: { 'idempotency-key': id },
      body: JSON.stringify({ action: 'db.export', actor: 'alice', decision: 'allow' }),
      withinMs,
    });
  const fresh = (): string => `outage-${(count += 1)}`;
  const acknowledge = (id: string, answer: Answer): void => {
    expect(answer.status, answer.body).to.equal(201);
    const before = acknowledged.get(id);
    if (before !== undefined) expect(sameOf(answer), id).to.equal(before);
    acknowledged.set(id, sameOf(answer));
  };

  /** Eight receipts at once, when the first second of the outage has begun, and each kind of reading. */
  const askEverything = async (known: string): Promise<void> => {
    const ids = Array.from({ length: 8 }, fresh);
    const reads = [
      `/v1/provenance/receipts/${known}`,
      `/v1/provenance/receipts/${known}/proof`,
      '/v1/receipts',
      '/v1/ledger/acme/head',
      '/v1/ledger/acme/events',
    ];
    const [writes, read, alive, ready] = await Promise.all([
      Promise.all(ids.map((id) => send(id))),
      Promise.all(reads.map((path) => get(path))),
      get('/healthz'),
      get('/readyz'),
    ]);
    for (const answer of [...writes, ...read]) {
      expect(answer.status, answer.body).to.equal(503);
      expect(problemCode(answer)).to.be.oneOf(AWAY);
      expect(Number(answer.headers['retry-after'])).to.be.at.least(1);
    }
    for (const [index, id] of ids.entries())
      if (problemCode(writes[index] as Answer) === 'outcome-unknown') {
        expect(JSON.parse((writes[index] as Answer).body)).to.have.property('key', id);
        unknown.push(id);
      }
    for (const answer of read) expect(problemCode(answer)).to.equal('store-unavailable');
    expect([alive.status, ready.status, problemCode(ready)]).to.deep.equal([200, 503, 'not-ready']);
  };

  /** By itself; then everything whose outcome was unknown is sent again, and found or recorded. */
  const recovers = async (): Promise<void> => {
    const end = performance.now() + 60_000;
    for (let id = fresh(), answer = await send(id); ; answer = await send(id)) {
      expect(service.alive(), 'the same process').to.equal(true);
      if (answer.status === 201) {
        acknowledge(id, answer);
        break;
      }
      expect(problemCode(answer)).to.be.oneOf(AWAY);
      if (performance.now() > end) throw new Error('nothing was recorded within a minute');
      await pause(100);
    }
    expect((await get('/readyz')).status).to.equal(200);
    expect((await get('/v1/receipts')).status).to.equal(200);
    for (const id of unknown) acknowledge(id, await send(id));
    for (const id of acknowledged.keys()) acknowledge(id, await send(id));
  };

  interface Outage {
    readonly name: string;
    /** Nothing says that a connection is lost. */
    readonly silent: boolean;
    readonly begin: () => void;
    readonly end: () => void;
  }
  const open = (): void => proxy.turn('open');
  const outages: readonly Outage[] = [
    {
      name: 'paused (SIGSTOP)',
      silent: true,
      begin: () => signalAll('SIGSTOP'),
      end: () => signalAll('SIGCONT'),
    },
    {
      name: 'behind a network that drops every packet',
      silent: true,
      begin: () => proxy.turn('dark'),
      end: open,
    },
    { name: 'not listening', silent: false, begin: () => proxy.turn('refusing'), end: open },
  ];
  const signalAll = (signal: 'SIGSTOP' | 'SIGCONT'): void => {
    for (const pid of processesOf(site.server.pid)) process.kill(pid, signal);
  };

  for (const { name, silent, begin, end } of outages)
    it(`${name}: 503 in time, saying whether something may be stored; afterwards nothing is lost or doubled`, async function () {
      if (process.platform !== 'linux') return this.skip();
      // On a crowded machine a connection may be given up before anything is on its way.
      this.retries(2);
      const known = fresh();
      acknowledge(known, await send(known));
      const before = unknown.length;
      begin();
      try {
        await askEverything(known);
        if (silent) expect(unknown.length, 'some were on their way').to.be.greaterThan(before);
        await askEverything(known);
      } finally {
        end();
        await recovers();
      }
    });

  it('its sessions ended over and over while receipts come in: each is recorded once', async () => {
    const owner = connect({ url: site.server.url, max: 1, name: 'executioner' });
    const over = new AbortController();
    let ended = 0;
    const ending = (async () => {
      while (!over.signal.aborted) {
        const { rows } = await owner.query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'prov-ledger'`,
        );
        ended += rows.length;
        await pause(60);
      }
    })();
    const ids = Array.from({ length: 200 }, fresh);
    await Promise.all(
      ids.map(async (id, index) => {
        await pause(index * 10);
        for (let answer = await send(id); ; answer = await send(id)) {
          if (answer.status === 201) return acknowledge(id, answer);
          expect(problemCode(answer)).to.be.oneOf(AWAY);
        }
      }),
    );
    over.abort();
    await ending;
    await owner.end();
    expect(ended).to.be.greaterThan(5);
    await recovers();
  });

  it('a head that somebody holds locked: 503 in time, and recorded once it is free', async () => {
    const owner = connect({ url: site.server.url, max: 1 });
    await using _closing = { [Symbol.asyncDispose]: () => owner.end() };
    await owner.query('BEGIN');
    await owner.query(`SELECT FROM ledger.heads WHERE tenant = 'acme' FOR UPDATE`);
    const id = fresh();
    expect(problemCode(await send(id))).to.equal('outcome-unknown');
    await owner.query('ROLLBACK');
    unknown.push(id);
    await recovers();
  });

  it('leaves a sound ledger: each acknowledged receipt once, and no other but those in doubt', async () => {
    const ids = [...acknowledged.keys()].map((id) => ({ tenant: ACME, id: claimId(ACME, id) }));
    const { facts } = await site.sound({ acknowledged: ids });
    // Three tenants with a token each. All that was in doubt has been acknowledged by now.
    expect(facts).to.equal(6 + acknowledged.size);
  });

  it('the watch can tell: a service that waits as long as it takes is caught', async function () {
    if (process.platform !== 'linux') return this.skip();
    const patient = await site.service({ storeSeconds: 600 });
    const id = fresh();
    acknowledge(id, await send(id, patient));
    signalAll('SIGSTOP');
    try {
      const failure = await send(fresh(), patient, STORE_SECONDS * 1_000 + 2_000).catch(
        (error: Error) => error,
      );
      expect(failure).to.be.an('error').with.property('message').that.includes('no answer within');
    } finally {
      signalAll('SIGCONT');
    }
  });
});
