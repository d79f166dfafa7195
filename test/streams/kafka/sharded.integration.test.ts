// Messages into a ledger on two servers and its facts out again, over a real broker, while a tenant moves to and fro.
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { startMessageIntake } from '#deploy/processes/kafka/message-intake.ts';
import { type TenantId, tenantId } from '#schemas/ids.ts';
import { type Subject, subjectOf } from '#schemas/registry/subjects.ts';
import { topicsAdmin } from '#streams/kafka/admin.ts';
import { relayLedger } from '#streams/kafka/relay.ts';
import { declared } from '#streams/kafka/topics.ts';
import { readPartitions } from '#streams/postgres/transport/flow.ts';
import { relayLag } from '#streams/postgres/transport/relayed.ts';
import { type KafkaPair, kafkaPair } from '#test/support/kafka.ts';
import { expectLedgerSound } from '#test/support/ledger-sound.ts';
import { expectRelayed, factsOnTopic, type LedgerTopics, ledgerTopics } from '#test/support/ledger-topic.ts';
import { type ShardedLedger, shardedLedger } from '#test/support/sharded-ledger.ts';
import { aReceipt, receiptValue } from '#test/support/transport.ts';

const acme = tenantId('acme');
const globex = tenantId('globex');
const RECEIPTS = 'provenance.receipts.v1';

describe('streams/kafka: a ledger on two servers', function () {
  this.timeout(180_000);
  let pair: KafkaPair;
  let topics: LedgerTopics;
  let sharded: ShardedLedger;
  before(async function () {
    pair = await kafkaPair(this);
    topics = await ledgerTopics(pair);
    await using admin = await topicsAdmin(topics.connection, { topics: [declared(RECEIPTS)] });
    await admin.apply();
    const prefix = topics.connection.topic('');
    sharded = await shardedLedger([acme, globex], [globex], {
      PROV_LEDGER_KAFKA_BROKERS: pair.broker,
      PROV_LEDGER_KAFKA_PREFIX: prefix,
      PROV_LEDGER_KAFKA_GROUP: prefix,
      PROV_LEDGER_REGISTRY_URL: pair.registryUrl,
    });
  });
  after(() => sharded?.[Symbol.asyncDispose]());

  const flow = async () => {
    const all = await readPartitions(sharded.ledger.pool);
    const sum = (of: 'received' | 'accepted' | 'duplicate' | 'missing' | 'held') =>
      all.reduce((total, each) => total + each[of], 0);
    return {
      received: sum('received'),
      accepted: sum('accepted'),
      missing: sum('missing'),
      held: sum('held'),
    };
  };
  const receiptIds = async (tenant: TenantId): Promise<readonly string[]> =>
    (await Array.fromAsync(sharded.ledger.store.read(tenant)))
      .flat()
      .filter(({ type }) => type === 'receipts.ReceiptRecorded')
      .map(({ payload }) => (JSON.parse(payload) as { id: string }).id);
  const until = async (what: string, done: () => Promise<boolean>): Promise<void> => {
    for (const deadline = Date.now() + 60_000; !(await done()); await pause(50))
      if (Date.now() > deadline) throw new Error(`never: ${what}`);
  };

  it('takes every message once and sends every fact in order, whoever moves meanwhile', async () => {
    const { ledger, configuration } = sharded;
    const { connection, schemas } = topics;
    const schemaId = await schemas.idOf(subjectOf('receipts.ReceiptRecorded') as Subject);
    const producer = connection.kafka.producer({ allowAutoTopicCreation: false });
    await producer.connect();
    let sent = 0;
    const send = async (count: number): Promise<void> => {
      const messages = Array.from({ length: count }, () => {
        const tenant = sent % 2 === 0 ? acme : globex;
        return { key: tenant, value: receiptValue(aReceipt({ id: `r-${sent++}`, tenant }), schemaId) };
      });
      await producer.send({ topic: connection.topic(RECEIPTS), messages });
    };
    const intake = startMessageIntake({ configuration, ledger, log: () => undefined });
    const ending = new AbortController();
    const { databases, store, feed } = ledger;
    const relaying = relayLedger({ connection, schemas, databases, store, feed, signal: ending.signal });
    for (const to of ['home', 'east', 'home', 'east']) {
      await send(60);
      await until('messages come in', async () => (await flow()).received > sent - 60);
      await Promise.all([sharded.move(globex, to), send(40)]);
    }
    await until('all are taken', async () => (await flow()).received === sent);
    const topic = connection.topic('ledger.events.v1');
    await until('all are sent', async () => (await relayLag(databases, topic)).facts === 0);
    ending.abort();
    await relaying;
    await intake[Symbol.asyncDispose]();
    await producer.disconnect();
    expect(await flow()).to.deep.equal({ received: sent, accepted: sent, missing: 0, held: 0 });
    for (const [tenant, from] of [
      [acme, 0],
      [globex, 1],
    ] as const)
      expect(await receiptIds(tenant)).to.deep.equal(
        Array.from({ length: sent / 2 }, (_, index) => `r-${from + 2 * index}`),
      );
    expectRelayed(await factsOnTopic(topics), await store.heads());
    await expectLedgerSound({ store, keys: sharded.keys });
  });
});
