// `prov-ledger projector-worker` that follows ledger.events.v1: two of them as a consumer group behind a relay, one killed
// while facts come in, and the topic made anew under them.
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { kafkaConnection } from '#streams/kafka/connect.ts';
import { EVENTS_TOPIC } from '#streams/kafka/relay.ts';
import { connect, type Pool } from '#streams/postgres/connect.ts';
import { makeAnew } from '#test/support/topics.ts';
import { figureOf, type KafkaSite, kafkaSite } from './site.ts';

const TENANTS = ['acme', 'birch', 'cedar', 'dover'];
const PARTITIONS = 6;
const PATIENCE_MS = 120_000;

describe('prov-ledger projector-worker, following Kafka', function () {
  this.timeout(300_000);
  let site: KafkaSite;
  let pool: Pool;

  before(async function () {
    site = await kafkaSite(this, {
      PROV_LEDGER_WORKER_FEED: 'kafka',
      PROV_LEDGER_WORKER_LEASE_SECONDS: '6',
    });
    pool = connect({ url: site.database.url, max: 2 });
    await site.cli('schemas', 'publish');
    await site.cli('topics', 'apply');
    for (const tenant of TENANTS) await site.cli('tenant', 'create', tenant);
  });
  after(async () => {
    await pool?.end();
    await site?.[Symbol.asyncDispose]();
  });

  const until = async (what: string, done: () => Promise<boolean>): Promise<void> => {
    for (const deadline = Date.now() + PATIENCE_MS; !(await done()); await pause(100))
      if (Date.now() > deadline) throw new Error(`never: ${what}`);
  };

  const partitions = (url: string, wanted: number): Promise<void> =>
    until(`${wanted} partitions`, async () => (await figureOf(url, 'ledger_worker_partitions')) === wanted);

  let batches = 0;
  const ingest = async (tenant: string, count: number): Promise<void> => {
    batches += 1;
    const file = join(dirname(site.dataDir), `receipts-${batches}.ndjson`);
    const line = (n: number): string =>
      `{"id":"r-${batches}-${n}","action":"db.export","actor":"alice","decision":"allow","created_at":"2026-11-21T09:00:00Z"}\n`;
    writeFileSync(file, Array.from({ length: count }, (_, n) => line(n)).join(''));
    await site.cli('ingest', file, '--tenant', tenant);
  };

  /** Receipts in the read model; each is there once, as its key is that of the table. */
  const rows = async (): Promise<number> =>
    (await pool.query<{ n: number }>('SELECT count(*)::int AS n FROM views.receipts')).rows[0]?.n ?? 0;

  it('tenants move with the partitions, and a topic made anew costs no fact', async () => {
    await site.begin('kafka-relay');
    const first = await site.begin('projector-worker');
    await partitions(first.url, PARTITIONS);
    for (const tenant of TENANTS) await ingest(tenant, 40);
    await until('what came first is there', async () => (await rows()) === 160);
    const second = await site.begin('projector-worker');
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

    const connection = kafkaConnection({ brokers: [site.pair.broker], topicPrefix: site.prefix });
    await makeAnew(connection, EVENTS_TOPIC);
    for (const tenant of TENANTS) await ingest(tenant, 10);
    await until('what came over the new topic is there', async () => (await rows()) === 840);

    const { projections } = JSON.parse(await site.cli('projections', 'status', 'acme', '--json')) as {
      projections: readonly { readonly lagFacts: number; readonly haltedTenants?: number }[];
    };
    expect(Math.max(...projections.map(({ lagFacts }) => lagFacts))).to.equal(0);
    expect(await site.cli('projections', 'verify', 'receipts_daily')).to.match(/is what the history says/);
    first.program.child.kill('SIGTERM');
    const { code, stderr } = await first.program.ended;
    expect(code).to.equal(0);
    expect(stderr).to.match(/"msg":"drained"/);
  });
});
