import { expect } from 'chai';
import { Kafka, logLevel } from 'kafkajs';
import { kafkaPair } from './kafka.ts';

describe('the Kafka and the registry of tests', () => {
  it('answer, and come back with what they held after a kill of the broker', async function () {
    const { broker, registryUrl, kafka } = await kafkaPair(this);
    const admin = new Kafka({ brokers: [broker], logLevel: logLevel.NOTHING }).admin();
    await admin.connect();
    await admin.createTopics({ topics: [{ topic: 'support.kept' }], waitForLeaders: false });
    expect(await admin.listTopics()).to.include('support.kept');
    expect((await fetch(`${registryUrl}/subjects`)).status).to.equal(200);
    if (kafka) {
      await kafka.kill();
      await kafka.restart();
      expect(await admin.listTopics()).to.include('support.kept');
    }
    await admin.disconnect();
  });
});
