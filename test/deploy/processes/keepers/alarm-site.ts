// A ledger with a tenant whose drift is raised and put right at will, a receiver of alarms that does as it is told, and
// keepers between the two.
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { attestations } from '#commands/attestations.ts';
import type { Decider, Refusal } from '#commands/decider.ts';
import { gates } from '#commands/gates.ts';
import { runCommand } from '#commands/run.ts';
import { tenants } from '#commands/tenants.ts';
import {
  type AlarmKeeper,
  type KeepAlarmsOptions,
  keepAlarms,
} from '#deploy/processes/keepers/alarm-keeper.ts';
import { MIGRATIONS } from '#deploy/processes/ledger/database.ts';
import { webhookHeaders } from '#gateway/alarms/webhook.ts';
import { alarms } from '#sagas/attestations.ts';
import { reopenings } from '#sagas/gates.ts';
import { postgresSagaShelf } from '#sagas/postgres/shelf.ts';
import { runSagas } from '#sagas/run.ts';
import type { DomainEvent } from '#schemas/event.ts';
import type { Instant } from '#schemas/ids.ts';
import { connect, type Pool, RUNTIME_ROLE } from '#streams/postgres/connect.ts';
import { oneDatabase } from '#streams/postgres/databases.ts';
import { postgresStreamFeed } from '#streams/postgres/feed.ts';
import { migrate } from '#streams/postgres/migrate.ts';
import { postgresStreamStore } from '#streams/postgres/store.ts';
import { ACME } from '#test/projectors/chains.ts';
import { freshDatabase } from '#test/support/postgres.ts';
import { testSigner } from '#test/support/test-signer.ts';

const SECRET = Buffer.alloc(32, 7);

export interface Heard {
  readonly id: string;
  readonly body: string;
}

/** An address where what comes signed is heard; the rest is refused. */
export interface Receiver extends AsyncDisposable {
  readonly url: string;
  readonly heard: readonly Heard[];
  /** How often a message under this id has come. */
  readonly times: (id: string) => number;
  /** What the receiver does with the next ones; then it takes them. */
  readonly plan: ((response: ServerResponse) => void)[];
}

export const openReceiver = async (secret: Uint8Array = SECRET): Promise<Receiver> => {
  const heard: Heard[] = [];
  const plan: Receiver['plan'] = [];
  const receive = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    let body = '';
    for await (const chunk of request) body += String(chunk);
    const { 'webhook-id': id, 'webhook-timestamp': at, 'webhook-signature': signature } = request.headers;
    const wanted = webhookHeaders({ id: String(id), body }, [secret], Number(at))['webhook-signature'];
    if (signature !== wanted) return void response.writeHead(401).end();
    heard.push({ id: String(id), body });
    const next = plan.shift();
    if (next) next(response);
    else response.writeHead(204).end();
  };
  const server = createServer((request, response) => void receive(request, response).catch(() => undefined));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as { port: number }).port}/hook`,
    heard,
    times: (id) => heard.filter((each) => each.id === id).length,
    plan,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
};

export interface AlarmSite extends AsyncDisposable {
  readonly pool: Pool;
  readonly receiver: Receiver;
  /** `text alarm`, a line each. */
  readonly logged: readonly string[];
  /** A divergence and its alarm on record, and folded; the path is closed on its word unless it is closed already. */
  readonly raise: (alarmId: string) => Promise<void>;
  /** The path opened again, on record and folded; on proof unless somebody has ordered it. */
  readonly restore: (orderedBy?: string) => Promise<void>;
  readonly keep: (over?: Partial<KeepAlarmsOptions>) => AlarmKeeper;
  /** Returns when it holds; polls, and fails after a while. */
  readonly until: (what: string, holds: () => boolean | Promise<boolean>) => Promise<void>;
  /** What became of an alarm, or of its end, with each sink; sorted. */
  readonly settled: (alarm: string, of?: 'deliveries' | 'resolutions') => Promise<readonly string[]>;
}

export const openAlarmSite = async (): Promise<AlarmSite> => {
  await using opening = new AsyncDisposableStack();
  const database = opening.use(await freshDatabase());
  const owner = connect({ url: database.url, max: 2 });
  opening.defer(() => owner.end());
  await migrate(owner, MIGRATIONS);
  const pool = connect({ url: database.url, max: 8, role: RUNTIME_ROLE });
  opening.defer(() => pool.end());
  const store = opening.use(await postgresStreamStore({ pool, signer: testSigner().signer }));
  const receiver = opening.use(await openReceiver());
  const logged: string[] = [];
  const send = async <Command, State, E extends DomainEvent, R extends Refusal>(
    decider: Decider<Command, State, E, R>,
    command: Command,
    actor = 'test',
  ): Promise<string> => {
    const context = { tenant: ACME, actor, at: Date.now() as Instant, key: randomUUID() };
    return (await runCommand({ store, decider }, command, context)).kind;
  };
  const folded = async (): Promise<void> => {
    await using feed = postgresStreamFeed({ pool, pollMs: 50 });
    await runSagas({
      feed,
      shelf: postgresSagaShelf(oneDatabase(pool)),
      sagas: [alarms, reopenings],
      dispatch: async () => expect.fail('nothing follows from what is only told'),
      signal: new AbortController().signal,
      untilCaughtUp: true,
    });
  };
  await send(tenants, { type: 'CreateTenant', displayName: 'acme' });
  const open = opening.move();
  return {
    pool,
    receiver,
    logged,
    raise: async (alarmId) => {
      const asOfSeq = (await store.head(ACME))?.seq ?? 0;
      const side = (name: string, digit: string) => ({ store: name, seq: asOfSeq, root: digit.repeat(64) });
      const of = { route: 'receipts', asOfSeq, divergent: 1 };
      const found = { left: side('postgres', 'a'), right: side('neo4j', 'b'), elements: 5 };
      const said = [
        await send(attestations, { type: 'RecordAttestation', ...of, ...found }),
        await send(attestations, { type: 'RaiseDriftAlarm', ...of, alarmId, inARow: 1 }),
      ];
      expect(said).to.deep.equal(['recorded', 'recorded']);
      await send(gates, { type: 'RollBackWritePath', route: 'receipts', alarmId, reason: 'drift' });
      await folded();
    },
    restore: async (orderedBy) => {
      const grounds = orderedBy === undefined ? 'attested' : 'ordered';
      const reason = orderedBy === undefined ? 'the stores agree' : 'the second store is retired';
      const command = { type: 'RestoreWritePath', route: 'receipts', grounds, reason } as const;
      expect(await send(gates, command, orderedBy ?? 'saga:drift')).to.equal('recorded');
      await folded();
    },
    keep: (over = {}) =>
      keepAlarms({
        pool,
        log: (_level, text, fields) =>
          void logged.push(`${text} ${String((fields as { alarm?: string } | undefined)?.alarm)}`),
        webhook: { url: receiver.url, secrets: [SECRET] },
        deadlineMs: 60_000,
        pollMs: 20,
        backoffMs: 20,
        ...over,
      }),
    until: async (what, holds) => {
      for (let look = 0; look < 1_200; look += 1) {
        if (await holds()) return;
        await pause(50);
      }
      expect.fail(`never: ${what}; heard ${JSON.stringify(receiver.heard)}, logged ${logged.join('; ')}`);
    },
    settled: async (alarm, of = 'deliveries') =>
      (
        await pool.query<{ outcome: string }>(
          `SELECT outcome FROM alarms.${of} WHERE alarm = $1 AND outcome IS NOT NULL ORDER BY outcome`,
          [alarm],
        )
      ).rows.map(({ outcome }) => outcome),
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
};
