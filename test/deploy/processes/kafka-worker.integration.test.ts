// `prov-ledger projector-worker` that follows ledger.events.v1: two of them as a consumer group behind a relay, one killed
// while facts come in, and the topic made anew under them.
import { randomUUID } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { kafkaConnection } from '#streams/kafka/connect.ts';
import { EVENTS_TOPIC } from '#streams/kafka/relay.ts';
import { connect, type Pool } from '#streams/postgres/connect.ts';
import { type KafkaPair, kafkaPair } from '#test/support/kafka.ts';
import { type FreshDatabase, freshDatabase } from '#test/support/postgres.ts';
import { makeAnew } from '#test/support/topics.ts';
import { dataFolder, endAll, type Program, run, start } from './program.ts';

const TENANTS = ['acme', 'birch', 'cedar', 'dover'];
const PARTITIONS = 6;
const PATIENCE_MS = 120_000;

describe('prov-ledger projector-worker, following Kafka', function () {
  this.timeout(300_000);
  const dataDir = dataFolder();
  const prefix = `${randomUUID().slice(0, 8)}.`;
  let pair: KafkaPair;
  let database: FreshDatabase;
  let pool: Pool;
  let env: { readonly [name: string]: string };

  before(async function () {
    pair = await kafkaPair(this);
    database = await freshDatabase();
    pool = connect({ url: database.url, max: 2 });
    env = {
      DATABASE_URL: database.url,
      PROV_LEDGER_DATA_DIR: dataDir,
      PROV_LEDGER_OPERATORS_PORT: '0',
      PROV_LEDGER_KAFKA_BROKERS: pair.broker,
      PROV_LEDGER_REGISTRY_URL: pair.registryUrl,
      PROV_LEDGER_KAFKA_PREFIX: prefix,
      PROV_LEDGER_KAFKA_GROUP: prefix,
      PROV_LEDGER_WORKER_FEED: 'kafka',
      PROV_LEDGER_WORKER_LEASE_SECONDS: '6',
    };
    for (const args of [['migrate'], ['schemas', 'publish'], ['topics', 'apply']]) await cli(...args);
    for (const tenant of TENANTS) await cli('tenant', 'create', tenant);
  });
  after(async () => {
    await endAll();
    await pool?.end();
    rmSync(dirname(dataDir), { recursive: true, force: true });
    await database?.[Symbol.asyncDispose]();
  });

  const cli = async (...args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await run('cli.ts', args, { env });
    expect(code, `${args.join(' ')}: ${stderr}`).to.equal(0);
    return stdout;
  };

  const begin = async (name: string): Promise<{ readonly program: Program; readonly url: string }> => {
    const program = start('cli.ts', [name], { env });
    const [, url = ''] = await program.says(/figures at (http:\S+)/);
    return { program, url };
  };

  const figure = async (url: string, name: string): Promise<number> => {
    const text = await (await fetch(`${url}/metrics`)).text();
    return Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'm').exec(text)?.[1] ?? Number.NaN);
  };

  const until = async (what: string, done: () => Promise<boolean>): Promise<void> => {
    for (const deadline = Date.now() + PATIENCE_MS; !(await done()); await pause(100))
      if (Date.now() > deadline) throw new Error(`never: ${what}`);
  };

  const partitions = (url: string, wanted: number): Promise<void> =>
    until(`${wanted} partitions`, async () => (await figure(url, 'ledger_worker_partitions')) === wanted);

  let batches = 0;
  const ingest = async (tenant: string, count: number): Promise<void> => {
    batches += 1;
    const file = join(dirname(dataDir), `receipts-${batches}.ndjson`);
    const line = (n: number): string =>
      `{"id":"r-${batches}-${n}","action":"db.export","actor":"alice","decision":"allow","created_at":"2026-11-21T09:00:00Z"}\n`;
    writeFileSync(file, Array.from({ length: count }, (_, n) => line(n)).join(''));
    await cli('ingest', file, '--tenant', tenant);
  };

  /** Receipts in the read model; each is there once, as its key is that of the table. */
  const rows = async (): Promise<number> =>
    (await pool.query<{ n: number }>('SELECT count(*)::int AS n FROM views.receipts')).rows[0]?.n ?? 0;

  it('tenants move with the partitions, and a topic made anew costs no fact', async () => {
    await begin('kafka-relay');
    const first = await begin('projector-worker');
    await partitions(first.url, PARTITIONS);
    for (const tenant of TENANTS) await ingest(tenant, 40);
    await until('what came first is there', async () => (await rows()) === 160);
    const second = await begin('projector-worker');
    await partitions(second.url, PARTITIONS / 2);
    await partitions(first.url, PARTITIONS / 2);
    expect((await fetch(`${first.url}/readyz`)).status).to.equal(200);
    await Promise.all(
      TENANTS.slice(0, 2).map(async (tenant, index) => {
        await pause(index * 300);
        await ingest(tenant, 300);
      }),
    );
    second.program.child.kill('SIGKILL');
    for (const tenant of TENANTS.slice(2)) await ingest(tenant, 20);
    await partitions(first.url, PARTITIONS);
    await until('what came meanwhile is there', async () => (await rows()) === 160 + 600 + 40);

    const connection = kafkaConnection({ brokers: [pair.broker], topicPrefix: prefix });
    await makeAnew(connection, EVENTS_TOPIC);
    for (const tenant of TENANTS) await ingest(tenant, 10);
    await until('what came over the new topic is there', async () => (await rows()) === 840);

    const { projections } = JSON.parse(await cli('projections', 'status', 'acme', '--json')) as {
      projections: readonly { readonly lagFacts: number; readonly haltedTenants?: number }[];
    };
    expect(Math.max(...projections.map(({ lagFacts }) => lagFacts))).to.equal(0);
    expect(await cli('projections', 'verify', 'receipts_daily')).to.match(/is what the history says/);
    first.program.child.kill('SIGTERM');
    const { code, stderr } = await first.program.ended;
    expect(code).to.equal(0);
    expect(stderr).to.match(/"msg":"drained"/);
  });
});
