import { connect as connectSocket } from 'node:net';
import { expect } from 'chai';
import { Kafka, logLevel } from 'kafkajs';
import { boundedDriver } from '#streams/kafka/driver.ts';
import { KafkaError, kafkaError } from '#streams/kafka/errors.ts';
import { type TcpProxy, tcpProxy } from '#test/faults/tcp-proxy.ts';
import { type KafkaPair, kafkaPair } from '#test/support/kafka.ts';
import { type LedgerTopics, ledgerTopics } from '#test/support/ledger-topic.ts';

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
});
