// The process `prov-ledger kafka-relay`, killed while facts come in, and its successor.
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { kafkaConnection } from '#streams/kafka/connect.ts';
import { wireSchemas } from '#streams/kafka/registry.ts';
import { connect } from '#streams/postgres/connect.ts';
import type { Head } from '#streams/stream.ts';
import { expectRelayed, factsOnTopic } from '#test/support/ledger-topic.ts';
import { inProcess } from '../in-process.ts';
import { figureOf, type KafkaSite, kafkaSite } from './site.ts';

describe('prov-ledger kafka-relay', function () {
  this.timeout(240_000);
  let site: KafkaSite;

  before(async function () {
    site = await kafkaSite(this);
    await site.cli('tenant', 'create', 'acme');
    await site.cli('schemas', 'publish');
    await site.cli('topics', 'apply');
  });
  after(() => site?.[Symbol.asyncDispose]());

  it('killed while it sends, leaves nothing out; says how it is, and ends orderly', async () => {
    const file = join(dirname(site.dataDir), 'receipts.ndjson');
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
    const first = await site.begin('kafka-relay');
    const ingesting = inProcess(['ingest', file, '--tenant', 'acme'], { env: site.env });
    while (!((await figureOf(first.url, 'ledger_relay_facts_total')) > 500)) await pause(20);
    first.program.child.kill('SIGKILL');
    expect((await ingesting).code).to.equal(0);
    const second = await site.begin('kafka-relay');
    const level = async () => (await figureOf(second.url, 'ledger_relay_lag_facts')) === 0;
    for (const deadline = Date.now() + 60_000; !(await level()); await pause(200))
      expect(Date.now(), 'level in time').to.be.lessThan(deadline);
    expect((await fetch(`${second.url}/readyz`)).status).to.equal(200);
    expect(await figureOf(second.url, 'ledger_relay_leading')).to.equal(1);
    second.program.child.kill('SIGTERM');
    const { code, stderr } = await second.program.ended;
    expect(code).to.equal(0);
    expect(stderr).to.match(/"msg":"drained"/);
    const facts = await factsOnTopic({
      connection: kafkaConnection({ brokers: [site.pair.broker], topicPrefix: site.prefix }),
      schemas: wireSchemas({ url: site.pair.registryUrl }),
    });
    const pool = connect({ url: site.database.url, max: 1 });
    const { rows } = await pool.query<Head>(
      `SELECT tenant, seq, encode(hash, 'hex') AS hash FROM ledger.heads`,
    );
    await pool.end();
    expectRelayed(facts, rows);
    expect(facts.length).to.be.at.least(5_001);
  });

  it('says in a line what is missing', async () => {
    const { PROV_LEDGER_KAFKA_BROKERS: _, ...without } = site.env;
    const { code, stderr } = await inProcess(['kafka-relay'], { env: without });
    expect(code).to.equal(2);
    expect(stderr).to.contain('set PROV_LEDGER_KAFKA_BROKERS');
  });
});
