// Alarms told outside: each once to each sink, whatever the receiver does and however many services tell them.
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { attestations } from '#commands/attestations.ts';
import { runCommand } from '#commands/run.ts';
import { tenants } from '#commands/tenants.ts';
import { type AlarmKeeper, type KeepAlarmsOptions, keepAlarms } from '#deploy/processes/alarm-keeper.ts';
import { MIGRATIONS } from '#deploy/processes/database.ts';
import { webhookHeaders } from '#gateway/alarms/webhook.ts';
import { alarms } from '#sagas/attestations.ts';
import { postgresSagaShelf } from '#sagas/postgres/shelf.ts';
import { runSagas } from '#sagas/run.ts';
import type { Instant } from '#schemas/ids.ts';
import { connect, type Pool, RUNTIME_ROLE } from '#streams/postgres/connect.ts';
import { oneDatabase } from '#streams/postgres/databases.ts';
import { postgresStreamFeed } from '#streams/postgres/feed.ts';
import { migrate } from '#streams/postgres/migrate.ts';
import { type PostgresStore, postgresStreamStore } from '#streams/postgres/store.ts';
import { ACME } from '#test/projectors/chains.ts';
import { freshDatabase } from '#test/support/postgres.ts';
import { testSigner } from '#test/support/test-signer.ts';

const SECRET = Buffer.alloc(32, 7);

interface Heard {
  readonly id: string;
  readonly body: string;
}

describe('alarms told outside', function () {
  this.timeout(120_000);
  const stack = new AsyncDisposableStack();
  let pool: Pool;
  let store: PostgresStore;
  let server: Server;
  let url: string;
  const heard: Heard[] = [];
  const logged: string[] = [];
  /** What the receiver does with the next ones; then it takes them. */
  const plan: ((response: ServerResponse) => void)[] = [];

  const receive = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    let body = '';
    for await (const chunk of request) body += String(chunk);
    const { 'webhook-id': id, 'webhook-timestamp': at, 'webhook-signature': signature } = request.headers;
    const wanted = webhookHeaders({ id: String(id), body }, [SECRET], Number(at))['webhook-signature'];
    if (signature !== wanted) return void response.writeHead(401).end();
    heard.push({ id: String(id), body });
    const next = plan.shift();
    if (next) next(response);
    else response.writeHead(204).end();
  };

  before(async () => {
    const database = stack.use(await freshDatabase());
    const owner = connect({ url: database.url, max: 2 });
    stack.defer(() => owner.end());
    await migrate(owner, MIGRATIONS);
    pool = connect({ url: database.url, max: 8, role: RUNTIME_ROLE });
    stack.defer(() => pool.end());
    store = stack.use(await postgresStreamStore({ pool, signer: testSigner().signer }));
    await runCommand(
      { store, decider: tenants },
      { type: 'CreateTenant', displayName: 'acme' },
      { tenant: ACME, actor: 'test', at: Date.now() as Instant, key: randomUUID() },
    );
    server = createServer((request, response) => void receive(request, response).catch(() => undefined));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    stack.defer(async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    });
    url = `http://127.0.0.1:${(server.address() as { port: number }).port}/hook`;
  });
  after(() => stack.disposeAsync());

  const say = async (command: Parameters<typeof attestations.decide>[0]): Promise<void> => {
    const context = { tenant: ACME, actor: 'test', at: Date.now() as Instant, key: randomUUID() };
    const { kind } = await runCommand({ store, decider: attestations }, command, context);
    expect(kind).to.equal('recorded');
  };
  const folded = async (): Promise<void> => {
    await using feed = postgresStreamFeed({ pool, pollMs: 50 });
    await runSagas({
      feed,
      shelf: postgresSagaShelf(oneDatabase(pool)),
      sagas: [alarms],
      dispatch: async () => expect.fail('nothing follows from an alarm'),
      signal: new AbortController().signal,
      untilCaughtUp: true,
    });
  };
  const raise = async (alarmId: string): Promise<void> => {
    const asOfSeq = (await store.head(ACME))?.seq ?? 0;
    const side = (name: string, digit: string) => ({ store: name, seq: asOfSeq, root: digit.repeat(64) });
    await say({
      type: 'RecordAttestation',
      route: 'receipts',
      left: side('postgres', 'a'),
      right: side('neo4j', 'b'),
      elements: 5,
      divergent: 1,
    });
    await say({ type: 'RaiseDriftAlarm', route: 'receipts', alarmId, asOfSeq, divergent: 1, inARow: 1 });
    await folded();
  };
  const keep = (over: Partial<KeepAlarmsOptions> = {}): AlarmKeeper =>
    keepAlarms({
      pool,
      log: (_level, text, fields) =>
        void logged.push(`${text} ${String((fields as { alarm?: string } | undefined)?.alarm)}`),
      webhook: { url, secrets: [SECRET] },
      deadlineMs: 60_000,
      pollMs: 20,
      backoffMs: 20,
      ...over,
    });
  const until = async (what: string, holds: () => boolean | Promise<boolean>): Promise<void> => {
    for (let look = 0; look < 600; look += 1) {
      if (await holds()) return;
      await pause(50);
    }
    expect.fail(`never: ${what}; heard ${JSON.stringify(heard)}, logged ${logged.join('; ')}`);
  };
  const settled = async (alarm: string): Promise<readonly string[]> =>
    (
      await pool.query<{ outcome: string }>(
        'SELECT outcome FROM alarms.deliveries WHERE alarm = $1 AND outcome IS NOT NULL ORDER BY outcome',
        [alarm],
      )
    ).rows.map(({ outcome }) => outcome);
  const times = (alarm: string): number => heard.filter(({ id }) => id === alarm).length;

  it('what is history when the saga comes is told to nobody', async () => {
    await raise('before-the-saga');
    await using _keeper = keep();
    await raise('a-1');
    await until('the first alarm is told to both', async () => (await settled('a-1')).length === 2);
    expect(heard.map(({ id }) => id)).to.deep.equal(['a-1']);
    expect(JSON.parse(heard[0]?.body ?? '')).to.deep.include({
      type: 'drift.alarm.raised',
      data: {
        tenant: 'acme',
        route: 'receipts',
        alarm_id: 'a-1',
        as_of_seq: 3,
        divergent: 1,
        in_a_row: 1,
        seq: 5,
      },
    });
  });

  it('a receiver that fails and hangs is told again, and once it has taken it never more', async () => {
    plan.push(
      (response) => void response.writeHead(500).end(),
      () => undefined,
      (response) => void response.destroy(),
    );
    await using _keeper = keep({ answerWithinMs: 300 });
    await raise('a-2');
    await until('it is taken', async () => (await settled('a-2')).length === 2);
    expect(times('a-2'), 'three failures, and the one that was taken').to.equal(4);
    expect(
      new Set(heard.filter(({ id }) => id === 'a-2').map(({ body }) => body)).size,
      'always the same',
    ).to.equal(1);
    expect(
      logged.filter((line) => line.startsWith('a drift alarm was raised') && line.endsWith('a-2')),
    ).to.have.length(1);
  });

  it('a receiver that asks to be left alone is left alone for so long, and no longer than the deadline', async () => {
    const asking = (seconds: string) => (response: ServerResponse) =>
      void response.writeHead(503, { 'retry-after': seconds }).end();
    const nextIn = async (): Promise<number> => {
      const { rows } = await pool.query<{ ms: number }>(
        `SELECT (extract(epoch FROM next_try_at - first_tried_at) * 1000)::float8 AS ms FROM alarms.deliveries
         WHERE alarm = 'a-5' AND sink <> 'log' AND last_fault IS NOT NULL`,
      );
      return rows[0]?.ms ?? 0;
    };
    {
      plan.push(asking('2'));
      await using _patient = keep({ deadlineMs: 600_000 });
      await raise('a-5');
      await until('it has failed', async () => (await nextIn()) > 0);
      expect(await nextIn(), 'and not in 20 ms').to.be.at.least(2_000);
      await until('it is taken', async () => (await settled('a-5')).length === 2);
      expect(times('a-5')).to.equal(2);
    }
    plan.push(asking('86400'));
    await using _hurried = keep({ deadlineMs: 1_000 });
    await raise('a-6');
    await until('it is told once more at its deadline', async () => (await settled('a-6')).length === 2);
    expect(await settled('a-6')).to.deep.equal(['delivered', 'delivered']);
  });

  it('of several services, started again and again, one tells it', async () => {
    for (let start = 0; start < 3; start += 1) {
      await using _one = keep();
      await using _two = keep();
      if (start === 0) await raise('a-3');
      await until('it is taken', async () => (await settled('a-3')).length === 2);
      await pause(60);
    }
    expect(times('a-3')).to.equal(1);
    expect(times('a-1')).to.equal(1);
    expect(
      logged.filter((line) => line.startsWith('a drift alarm was raised') && line.endsWith('a-3')),
    ).to.have.length(1);
  });

  it('after its deadline it is given up, loudly', async () => {
    const down = { url: 'http://127.0.0.1:1/', secrets: [SECRET] };
    await using keeper = keep({ webhook: down, deadlineMs: 100 });
    await until('the new sink is known', async () => {
      const { rowCount } = await pool.query("SELECT FROM alarms.deliveries WHERE outcome = 'muted'");
      return (rowCount ?? 0) > 0;
    });
    await raise('a-4');
    await until('it is given up', async () => (await settled('a-4')).includes('given up'));
    expect(logged.some((line) => line.startsWith('an alarm is given up') && line.endsWith('a-4'))).to.equal(
      true,
    );
    await until('the figure says so', () =>
      (keeper.figures[0]?.read() ?? []).some(
        ({ labels, value }) => labels?.['state'] === 'given_up' && value === 1,
      ),
    );
    expect(await settled('a-1'), 'a new sink is not told of what was before').to.deep.equal([
      'delivered',
      'delivered',
      'muted',
    ]);
  });
});
