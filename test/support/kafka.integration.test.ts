import { expect } from 'chai';
import { Kafka, logLevel } from 'kafkajs';
import { kafkaPair } from './kafka.ts';

describe('the Kafka and the registry of tests', () => {
  it('answer', async function () {
    const { broker, registryUrl } = await kafkaPair(this);
    const admin = new Kafka({ brokers: [broker], logLevel: logLevel.NOTHING }).admin();
    await admin.connect();
    expect(await admin.listTopics()).to.be.an('array');
    await admin.disconnect();
    expect((await fetch(`${registryUrl}/subjects`)).status).to.equal(200);
  });
});
