import { connect as connectSocket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { Kafka, logLevel } from 'kafkajs';
import { boundedDriver } from '#streams/kafka/driver.ts';
import { KafkaError, kafkaError } from '#streams/kafka/errors.ts';
import { type TcpProxy, tcpProxy } from '#test/faults/tcp-proxy.ts';
import { type KafkaPair, kafkaPair } from '#test/support/kafka.ts';
import { type LedgerTopics, ledgerTopics } from '#test/support/ledger-topic.ts';

const openSockets = (): number =>
  process.getActiveResourcesInfo().filter((what) => what === 'TCPSocketWrap').length;

describe('streams/kafka/driver', function () {
  this.timeout(60_000);
  let pair: KafkaPair;
  let topics: LedgerTopics;
  let topic: string;
  let proxy: TcpProxy;

  before(async function () {
    pair = await kafkaPair(this);
    topics = await ledgerTopics(pair);
    topic = topics.connection.topic('ledger.events.v1');
  });

  beforeEach(async () => {
    proxy = await tcpProxy({ port: Number(pair.broker.split(':')[1]) });
  });

  afterEach(async () => await proxy?.[Symbol.asyncDispose]());

  /** Whatever address the broker announces, its connections go through the proxy. */
  const driver = (): Kafka =>
    new Kafka({
      brokers: [pair.broker],
      logLevel: logLevel.NOTHING,
      retry: { retries: 0 },
      socketFactory: ({ onConnect }) => connectSocket(proxy.port, '127.0.0.1', onConnect),
    });

  it('is given up when nothing answers, sooner than the driver gives up by itself', async () => {
    const kafka = boundedDriver(driver(), { answerMs: 1_000 });
    const producer = kafka.producer({ allowAutoTopicCreation: false, maxInFlightRequests: 1 });
    const admin = kafka.admin();
    const send = () => producer.send({ topic, messages: [{ key: 'acme', value: 'one' }] });
    await Promise.all([producer.connect(), admin.connect()]);
    await send();
    proxy.turn('dark');
    const asked = [send(), admin.listTopics()];
    const failures = await Promise.all(
      asked.map((each: Promise<unknown>) => each.then(String, (error: unknown) => error)),
    );
    for (const failure of failures)
      expect(failure).to.be.instanceOf(KafkaError).and.include({ code: 'unavailable' });
    expect(failures.map((failure) => (failure as KafkaError).message)).to.deep.equal([
      'Kafka cannot be reached: no answer to send for 1 s',
      'Kafka cannot be reached: no answer to listTopics for 1 s',
    ]);
  });

  it('answers, refuses and tells as before where the broker does', async () => {
    const kafka = boundedDriver(driver());
    const producer = kafka.producer({ allowAutoTopicCreation: false });
    let connected = 0;
    producer.on(producer.events.CONNECT, () => {
      connected += 1;
    });
    await producer.connect();
    const [answer] = await producer.send({ topic, messages: [{ key: 'acme', value: 'two' }] });
    const refusal = await producer
      .send({ topic: `${topic}.none`, messages: [{ value: 'three' }] })
      .catch((error: unknown) => error);
    await producer.disconnect();
    expect(connected).to.equal(1);
    expect(answer).to.include({ topicName: topic, errorCode: 0 });
    expect(kafkaError(refusal)).to.include({ code: 'no-such-topic' });
  });

  it('begins again after a failure, and not once it was told to leave, also in the midst of one', async () => {
    const kafka = boundedDriver(new Kafka({ brokers: [pair.broker], logLevel: logLevel.NOTHING }));
    const admin = kafka.admin();
    const producer = kafka.producer({ allowAutoTopicCreation: false });
    const groupId = `${topic}.leaving`;
    const consumer = kafka.consumer({ groupId, retry: { retries: 0, initialRetryTime: 100 } });
    const joins: string[] = [];
    const crashes: boolean[] = [];
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => void joins.push(payload.memberId));
    consumer.on(consumer.events.CRASH, ({ payload }) => void crashes.push(payload.restart));
    await Promise.all([admin.connect(), producer.connect(), consumer.connect()]);
    await producer.send({ topic, messages: [{ key: 'acme', value: 'four' }] });
    await consumer.subscribe({ topics: [topic], fromBeginning: true });
    const left = Promise.withResolvers<void>();
    await consumer.run({
      eachBatch: async () => {
        // The second time: a failure is under way when somebody says that it is enough.
        if (crashes.length > 0) left.resolve(consumer.disconnect());
        throw new Error('cannot be taken');
      },
    });
    await left.promise;
    const joined = joins.length;
    await pause(1_500);
    const { groups } = await admin.describeGroups([groupId]);
    await Promise.all([admin.disconnect(), producer.disconnect(), consumer.disconnect()]);
    expect(crashes).to.deep.equal([true, false]);
    expect(joined).to.equal(2);
    expect(joins).to.have.length(joined);
    expect(groups[0]?.members).to.deep.equal([]);
  });

  it('leaves for good, also while it is still joining', async () => {
    const kafka = boundedDriver(new Kafka({ brokers: [pair.broker], logLevel: logLevel.NOTHING }));
    const before = openSockets();
    const moments = Array.from({ length: 60 }, (_, at) => at * 2);
    await Promise.all(
      moments.map(async (ms) => {
        const consumer = kafka.consumer({ groupId: `${topic}.joining-${ms}` });
        await consumer.connect();
        await consumer.subscribe({ topics: [topic] });
        const running = consumer.run({ eachBatch: async () => undefined }).catch(() => undefined);
        await pause(ms);
        await consumer.disconnect();
        await running;
      }),
    );
    // Whoever stayed would take a connection anew, and fetch.
    await pause(1_500);
    expect(openSockets()).to.be.at.most(before);
  });
});
