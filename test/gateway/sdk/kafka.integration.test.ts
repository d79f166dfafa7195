// Receipts over Kafka with a real broker and registry: the intake of the ledger takes what the SDK sends.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { messageReader } from '#gateway/kafka/read-message.ts';
import { ClientError } from '#gateway/sdk/errors.ts';
import { type KafkaReceipts, type KafkaReceiptsOptions, kafkaReceipts } from '#gateway/sdk/kafka.ts';
import { openSpool } from '#gateway/sdk/spool.ts';
import { type Instant, tenantId } from '#schemas/ids.ts';
import { type Subject, subjectOf } from '#schemas/registry/subjects.ts';
import { topicsAdmin } from '#streams/kafka/admin.ts';
import { type KafkaConnection, kafkaConnection } from '#streams/kafka/connect.ts';
import { consumeMessages } from '#streams/kafka/consume.ts';
import { spansOn } from '#streams/kafka/ends.ts';
import { wireSchemas } from '#streams/kafka/registry.ts';
import { declared } from '#streams/kafka/topics.ts';
import { readPartitions } from '#streams/postgres/transport/flow.ts';
import { type KafkaPair, kafkaPair } from '#test/support/kafka.ts';
import { ownPrefix } from '#test/support/topics.ts';
import { type TransportLedger, transportLedger } from '#test/support/transport.ts';
import { blocksOf, page } from '../../docs/pages.ts';
import { builtPackage, PROJECT } from './package.ts';

const CHILD = fileURLToPath(new URL('kafka-child.ts', import.meta.url));
const acme = tenantId('acme');
const said = (n: number) =>
  ({ id: `r-${n}`, action: 'row.delete', actor: 'bob', decision: 'allow', inputs: { n } }) as const;

describe('gateway/sdk/kafka', function () {
  this.timeout(240_000);
  let pair: KafkaPair;
  let connection: KafkaConnection;
  let topic: string;
  let folder: string;
  let ledger: TransportLedger;

  before(async function () {
    pair = await kafkaPair(this);
    await wireSchemas({ url: pair.registryUrl }).publish(subjectOf('receipts.ReceiptRecorded') as Subject);
  });
  beforeEach(async () => {
    connection = kafkaConnection({ brokers: [pair.broker], topicPrefix: ownPrefix() });
    topic = connection.topic('provenance.receipts.v1');
    await using admin = await topicsAdmin(connection, { topics: [declared('provenance.receipts.v1')] });
    await admin.apply();
    folder = mkdtempSync(join(tmpdir(), 'prov-ledger-spool-'));
    ledger = await transportLedger('acme');
  });
  afterEach(async () => {
    rmSync(folder, { recursive: true, force: true });
    await ledger?.[Symbol.asyncDispose]();
  });

  const receiptsVia = (options: Partial<KafkaReceiptsOptions> = {}): KafkaReceipts =>
    kafkaReceipts({
      kafka: { brokers: [pair.broker], logLevel: 0 },
      registry: { url: pair.registryUrl },
      topic,
      tenant: 'acme',
      ...options,
    });

  /** Takes everything that is on the topic, and gives the receipts of acme in the order of their chain. */
  const taken = async (): Promise<readonly { readonly id: string; readonly tenant: string }[]> => {
    const eventsOf = () => ['receipts.ReceiptRecorded'];
    const schemas = wireSchemas({ url: pair.registryUrl });
    const read = messageReader({ schemas, eventsOf, clock: Date.now as () => Instant });
    const { intake, pool, store } = ledger;
    const consumption = await consumeMessages({ connection, groupId: topic, topics: [topic], intake, read });
    const wanted = [...(await spansOn(connection, topic)).values()].reduce((sum, { end }) => sum + end, 0);
    const now = async () =>
      (await readPartitions(pool)).reduce((sum, { next_offset }) => sum + next_offset, 0);
    for (const deadline = Date.now() + 120_000; (await now()) < wanted; await pause(50))
      if (Date.now() > deadline) throw new Error(`${await now()} of ${wanted} were taken`);
    await consumption.stop();
    const facts = (await Array.fromAsync(store.read(acme))).flat();
    return facts
      .filter(({ type }) => type === 'receipts.ReceiptRecorded')
      .map(({ payload }) => JSON.parse(payload) as { readonly id: string; readonly tenant: string });
  };
  const numbers = async (): Promise<readonly number[]> =>
    (await taken()).map(({ id }) => Number(id.slice(2)));

  it('what is recorded is on the topic, as its contract says, and becomes a fact', async () => {
    await using via = receiptsVia();
    expect(await via.record(said(1))).to.deep.equal({ id: 'r-1', topic });
    await via.record(said(2));
    const refused = await via
      .record({ ...said(3), decision: 'maybe' as never })
      .catch((error: unknown) => error);
    expect(refused).to.be.instanceOf(ClientError).and.include({ code: 'refused', receiptId: 'r-3' });
    expect(await taken())
      .to.have.nested.property('[1].inputs')
      .that.deep.equals({ n: 2 });
    expect((await readPartitions(ledger.pool)).reduce((sum, row) => sum + row.accepted, 0)).to.equal(2);
  });

  it('a receipt that does not fit is kept aside with the reason, and holds up no other', async () => {
    await using via = receiptsVia();
    const refused: string[] = [];
    const spool = openSpool({ via, folder, onRefused: (_, { message }) => refused.push(message) });
    await Promise.all(
      [said(1), { ...said(2), actor: 7 as never }, said(3)].map((each) => spool.record(each)),
    );
    await spool.drained();
    await spool.close();
    expect(refused).to.deep.equal(['/actor must be a text']);
    expect(readFileSync(join(folder, 'refused.ndjson'), 'utf8')).to.include('"r-2"');
    expect(await numbers()).to.deep.equal([1, 3]);
  });

  it('keeps while registry or broker is away, says so, and sends in order when they are back', async () => {
    await using noRegistry = receiptsVia({ registry: { url: 'http://127.0.0.1:1' } });
    const first = openSpool({ via: noRegistry, folder, retry: { capMs: 20 } });
    for (let n = 0; n < 20; n += 1) await first.record(said(n));
    while (!first.status().trouble) await pause(10);
    expect(first.status().trouble?.message).to.match(/registry of schemas could not be reached/);
    await first.close();
    await using noBroker = receiptsVia({
      kafka: { brokers: ['127.0.0.1:1'], logLevel: 0, retry: { retries: 0 } },
    });
    const second = openSpool({ via: noBroker, folder, retry: { capMs: 20 } });
    for (let n = 20; n < 40; n += 1) await second.record(said(n));
    while (!second.status().trouble) await pause(10);
    expect(second.status().trouble?.message).to.match(/brokers did not take it/);
    await second.close();
    await using via = receiptsVia();
    const back = openSpool({ via, folder });
    await Promise.all(Array.from({ length: 600 }, (_, n) => back.record(said(40 + n))));
    await back.drained();
    await back.close();
    expect(await numbers()).to.deep.equal(Array.from({ length: 640 }, (_, n) => n));
  });

  it('every receipt that was kept becomes one fact, in order, though its process is killed 5 times', async () => {
    const kept: number[] = [];
    for (let round = 0; round < 5; round += 1) {
      const args = [CHILD, pair.broker, pair.registryUrl, topic, folder, String(round * 100_000)];
      const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
      let output = '';
      child.stdout.on('data', (chunk) => {
        output += String(chunk);
      });
      const ended = new Promise((resolve) => child.once('close', resolve));
      while (!output.includes('sent')) await pause(5);
      await pause(Math.random() * 100);
      child.kill('SIGKILL');
      await ended;
      kept.push(
        ...output
          .split('\n')
          .slice(0, -1)
          .filter((line) => line !== 'sent')
          .map(Number),
      );
    }
    await using via = receiptsVia();
    const spool = openSpool({ via, folder });
    await spool.drained();
    await spool.close();
    const found = await numbers();
    expect(kept.length).to.be.greaterThan(50);
    expect(new Set(found).size, 'none twice').to.equal(found.length);
    expect(
      kept.filter((n) => !new Set(found).has(n)),
      'none missing',
    ).to.deep.equal([]);
    expect(found, 'in order').to.deep.equal(found.toSorted((a, b) => a - b));
  });

  it('the example of the documentation runs as it stands, from the built package', async () => {
    const { home } = await builtPackage();
    const driver = join(home, 'node_modules/kafkajs');
    if (!existsSync(driver)) symlinkSync(join(PROJECT, 'node_modules/kafkajs'), driver, 'junction');
    const program = join(home, 'kafka.mjs');
    const example = readFileSync(join(PROJECT, 'gateway/sdk/examples/kafka.mjs'), 'utf8');
    expect(blocksOf(page('docs/sdk.md')).find(({ label }) => label === 'kafka.mjs')?.text).to.equal(example);
    writeFileSync(program, example);
    const child = spawn(process.execPath, [program, pair.broker, pair.registryUrl, topic, folder], {
      timeout: 90_000,
    });
    const [output, wrong] = await Promise.all([text(child.stdout), text(child.stderr)]);
    expect(output, wrong).to.match(/^(?:\S+ is kept\n){3}all sent\n$/);
    expect((await taken()).map(({ tenant }) => tenant)).to.deep.equal(['acme', 'acme', 'acme']);
  });
});
