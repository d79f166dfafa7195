// `prov-ledger doctor` where a cluster and a registry are named: against the real pair, well and not well.
import { expect } from 'chai';
import { readConfiguration } from '#deploy/configuration.ts';
import { examineMessages, examineServers } from '#deploy/processes/doctor/examine-kafka.ts';
import type { Finding } from '#gateway/cli/world.ts';
import { type KafkaConnection, kafkaConnection } from '#streams/kafka/connect.ts';
import { viewRegistry } from '#streams/kafka/registry-view.ts';
import { EVENTS_TOPIC } from '#streams/kafka/relay.ts';
import { connect, type Pool } from '#streams/postgres/connect.ts';
import { oneDatabase } from '#streams/postgres/databases.ts';
import { makeAnew, withAdmin } from '#test/support/topics.ts';
import { inProcess } from '../in-process.ts';
import { type KafkaSite, kafkaSite } from '../kafka/site.ts';
import { endAll, start } from '../program.ts';

const RECEIPTS = 'provenance.receipts.v1';

describe('prov-ledger doctor, of Kafka and the registry', function () {
  this.timeout(240_000);
  let site: KafkaSite;
  let connection: KafkaConnection;
  let pool: Pool;

  before(async function () {
    site = await kafkaSite(this, { PROV_LEDGER_WORKER_FEED: 'kafka' });
    connection = kafkaConnection({ brokers: [site.pair.broker], topicPrefix: site.prefix });
    pool = connect({ url: site.database.url, max: 2 });
  });
  after(async () => {
    await pool?.end();
    await site?.[Symbol.asyncDispose]();
  });

  const linesOf = (findings: readonly Finding[]): string =>
    findings
      .map(
        ({ check, state, detail, remedy = '' }) =>
          `${state} ${check}: ${detail.replaceAll(site.prefix, '')} -> ${remedy}`,
      )
      .join('\n');

  /** What is found of brokers, registry and messages. */
  const examined = async (): Promise<string> => {
    const read = readConfiguration(site.env, () => site.dataDir);
    if (!read.ok) throw new Error(JSON.stringify(read.faults));
    const { configuration } = read;
    const servers = await Array.fromAsync(examineServers(configuration));
    const messages = await Array.fromAsync(examineMessages(configuration, oneDatabase(pool)));
    return linesOf([...servers, ...messages]);
  };

  it('topics that are not there or are otherwise: each, with the command that makes them', async () => {
    const text = await examined();
    expect(text).to.match(/^ok kafka: answers, with brokers: 1/m);
    expect(text).to.match(
      /^failed topics: ledger\.events\.v1 is not there -> run `prov-ledger topics apply`$/m,
    );
    await site.cli('topics', 'apply');
    await site.cli('schemas', 'publish');
    await withAdmin(connection, (admin) =>
      admin.alterConfigs({
        validateOnly: false,
        resources: [
          {
            type: 2,
            name: connection.topic(RECEIPTS),
            configEntries: [{ name: 'retention.ms', value: '1000' }],
          },
        ],
      }),
    );
    expect(await examined()).to.match(/^warning topics: \S+ retention\.ms is 1000, declared is 1209600000/m);
    await site.cli('topics', 'apply');
  });

  it('all is well, and whoever is not there is named with what waits for it', async () => {
    const text = await examined();
    expect(text).not.to.match(/^failed/m);
    expect(text).to.match(/^ok topics: all 8 are there/m);
    expect(text).to.match(/^ok registry: has all \d+ subjects, with the declared compatibility/m);
    expect(text).to.match(/^ok relay: nothing was relayed/m);
    expect(text).to.match(/^warning workers: .* -> start `prov-ledger projector-worker`/m);
    const producer = connection.kafka.producer();
    await producer.connect();
    await producer.send({ topic: connection.topic(RECEIPTS), messages: [{ key: 'a', value: 'poison' }] });
    await producer.disconnect();
    expect(await examined()).to.match(
      /^warning intake: the group \S* is (?:Dead|Empty) with 0 members; 1 messages .* wait -> start/m,
    );
  });

  it('what was taken and sent is held against the topics: letters, and a topic that ends before it', async () => {
    await site.cli('tenant', 'create', 'acme');
    for (const command of ['kafka-ingest', 'kafka-relay']) start('cli.ts', [command], { env: site.env });
    const wanted =
      /^ok intake: .* is Stable with 1 members; 0 messages[^]*^warning letters: 1 are dead[^]*^ok relay: \S+ has every fact/m;
    let text = await examined();
    for (const deadline = Date.now() + 120_000; !wanted.test(text); text = await examined())
      if (Date.now() > deadline) throw new Error(text);
    await endAll();
    await makeAnew(connection, EVENTS_TOPIC);
    await site.cli('tenant', 'create', 'birch');
    expect(await examined()).to.match(
      /^warning relay: \S+ ends before what was sent .* -> start `prov-ledger kafka-relay`/m,
    );
  });

  it('a cluster or a registry that is away fails by itself, and hides nothing else', async () => {
    const away = {
      PROV_LEDGER_KAFKA_BROKERS: '127.0.0.1:1',
      PROV_LEDGER_REGISTRY_URL: 'http://127.0.0.1:1/apis/ccompat/v7',
    };
    const { code, stdout } = await inProcess(['doctor', '--json'], { env: { ...site.env, ...away } });
    expect(code).to.equal(1);
    const { ok, findings } = JSON.parse(stdout) as { ok: boolean; findings: readonly Finding[] };
    expect(ok).to.equal(false);
    expect(findings.map(({ check }) => check)).to.include.members(['keys', 'database', 'schema']);
    const text = linesOf(findings);
    expect(text).to.match(/^failed kafka: .*PROV_LEDGER_KAFKA_BROKERS/m);
    expect(text).to.match(
      /^failed registry: the registry does not answer: .* -> .*PROV_LEDGER_REGISTRY_URL/m,
    );
  });

  it('schemas that the registry lacks, and a compatibility that somebody has changed', async () => {
    const schema = '{"type":"record","name":"Nothing","namespace":"tests","fields":[]}';
    const { missing } = await viewRegistry({ url: site.pair.registryUrl }, [
      { name: 'tests.Nothing', schema },
    ]);
    expect(missing).to.deep.equal(['tests.Nothing']);
    const config = `${site.pair.registryUrl}/config/receipts.ReceiptRecorded`;
    const set = async (compatibility: string): Promise<void> => {
      const headers = { 'content-type': 'application/json' };
      const body = JSON.stringify({ compatibility });
      expect((await fetch(config, { method: 'PUT', headers, body })).ok).to.equal(true);
    };
    await set('NONE');
    const text = await examined();
    await set('FULL_TRANSITIVE');
    expect(text).to.match(/^warning registry: 1 subjects .*receipts\.ReceiptRecorded has NONE -> set it/m);
  });
});
