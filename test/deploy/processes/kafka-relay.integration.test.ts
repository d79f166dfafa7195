// The process `prov-ledger kafka-relay`, killed while facts come in, and its successor.
import { randomUUID } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { kafkaConnection } from '#streams/kafka/connect.ts';
import { wireSchemas } from '#streams/kafka/registry.ts';
import { connect } from '#streams/postgres/connect.ts';
import type { Head } from '#streams/stream.ts';
import { type KafkaPair, kafkaPair } from '#test/support/kafka.ts';
import { expectRelayed, factsOnTopic } from '#test/support/ledger-topic.ts';
import { type FreshDatabase, freshDatabase } from '#test/support/postgres.ts';
import { dataFolder, endAll, type Program, run, start } from './program.ts';

describe('prov-ledger kafka-relay', function () {
  this.timeout(240_000);
  const dataDir = dataFolder();
  const prefix = `${randomUUID().slice(0, 8)}.`;
  let pair: KafkaPair;
  let database: FreshDatabase;
  let env: { readonly [name: string]: string };

  before(async function () {
    pair = await kafkaPair(this);
    database = await freshDatabase();
    env = {
      DATABASE_URL: database.url,
      PROV_LEDGER_DATA_DIR: dataDir,
      PROV_LEDGER_OPERATORS_PORT: '0',
      PROV_LEDGER_KAFKA_BROKERS: pair.broker,
      PROV_LEDGER_REGISTRY_URL: pair.registryUrl,
      PROV_LEDGER_KAFKA_PREFIX: prefix,
    };
    for (const args of [
      ['migrate'],
      ['tenant', 'create', 'acme'],
      ['schemas', 'publish'],
      ['topics', 'apply'],
    ]) {
      const { code, stderr } = await run('cli.ts', args, { env });
      expect(code, `${args.join(' ')}: ${stderr}`).to.equal(0);
    }
  });
  after(async () => {
    await endAll();
    rmSync(dirname(dataDir), { recursive: true });
    await database?.[Symbol.asyncDispose]();
  });

  const relay = async (): Promise<{ readonly program: Program; readonly url: string }> => {
    const program = start('cli.ts', ['kafka-relay'], { env });
    const [, url = ''] = await program.says(/figures at (http:\S+)/);
    return { program, url };
  };

  const figure = async (url: string, name: string): Promise<number> => {
    const text = await (await fetch(`${url}/metrics`)).text();
    return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1] ?? Number.NaN);
  };

  it('killed while it sends, leaves nothing out; says how it is, and ends orderly', async () => {
    const file = join(dirname(dataDir), 'receipts.ndjson');
    const receipt = {
      action: 'db.export',
      actor: 'alice',
      decision: 'allow',
      created_at: '2026-11-21T09:00:00Z',
    };
    const lines = Array.from(
      { length: 5_000 },
      (_, n) => `${JSON.stringify({ id: `r-${n}`, ...receipt })}\n`,
    );
    writeFileSync(file, lines.join(''));
    const first = await relay();
    const ingesting = run('cli.ts', ['ingest', file, '--tenant', 'acme'], { env });
    while (!((await figure(first.url, 'ledger_relay_facts_total')) > 500)) await pause(20);
    first.program.child.kill('SIGKILL');
    expect((await ingesting).code).to.equal(0);
    const second = await relay();
    const level = async () => (await figure(second.url, 'ledger_relay_lag_facts')) === 0;
    for (const deadline = Date.now() + 60_000; !(await level()); await pause(200))
      expect(Date.now(), 'level in time').to.be.lessThan(deadline);
    expect((await fetch(`${second.url}/readyz`)).status).to.equal(200);
    expect(await figure(second.url, 'ledger_relay_leading')).to.equal(1);
    second.program.child.kill('SIGTERM');
    const { code, stderr } = await second.program.ended;
    expect(code).to.equal(0);
    expect(stderr).to.match(/"msg":"drained"/);
    const facts = await factsOnTopic({
      connection: kafkaConnection({ brokers: [pair.broker], topicPrefix: prefix }),
      schemas: wireSchemas({ url: pair.registryUrl }),
    });
    const pool = connect({ url: database.url, max: 1 });
    const { rows } = await pool.query<Head>(
      `SELECT tenant, seq, encode(hash, 'hex') AS hash FROM ledger.heads`,
    );
    await pool.end();
    expectRelayed(facts, rows);
    expect(facts.length).to.be.at.least(5_001);
  });

  it('says in a line what is missing', async () => {
    const { PROV_LEDGER_KAFKA_BROKERS: _, ...without } = env;
    const { code, stderr } = await run('cli.ts', ['kafka-relay'], { env: without });
    expect(code).to.equal(2);
    expect(stderr).to.contain('set PROV_LEDGER_KAFKA_BROKERS');
  });
});
