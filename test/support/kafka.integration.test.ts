import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { type Admin, Kafka, logLevel } from 'kafkajs';
import { startDevKafka } from '#deploy/dev/kafka.ts';
import { kafkaPair, ownParts } from './kafka.ts';

const adminOf = (broker: string): Admin =>
  new Kafka({ brokers: [broker], logLevel: logLevel.NOTHING }).admin();

describe('the Kafka and the registry of tests', () => {
  it('answer', async function () {
    const { broker, registryUrl } = await kafkaPair(this);
    const admin = adminOf(broker);
    await admin.connect();
    expect(await admin.listTopics()).to.be.an('array');
    await admin.disconnect();
    expect((await fetch(`${registryUrl}/subjects`)).status).to.equal(200);
  });

  it('come back with what they held after a kill of the broker', async function () {
    this.timeout(240_000);
    const parts = await ownParts(this);
    const dataDir = mkdtempSync(join(tmpdir(), 'prov-ledger-kafka-'));
    const kafka = await startDevKafka({ parts, dataDir });
    const admin = adminOf(kafka.broker);
    await admin.connect();
    await admin.createTopics({ topics: [{ topic: 'support.kept' }], waitForLeaders: false });
    expect(await admin.listTopics()).to.include('support.kept');
    await kafka.kill();
    await kafka.restart();
    expect(await admin.listTopics()).to.include('support.kept');
    await admin.disconnect();
    await kafka.kill();
    rmSync(dataDir, { recursive: true, force: true, maxRetries: 5 });
  });
});
