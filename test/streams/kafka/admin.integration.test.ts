import { expect } from 'chai';
import kafkajs from 'kafkajs';
import { topicsAdmin } from '#streams/kafka/admin.ts';
import { kafkaConnection } from '#streams/kafka/connect.ts';
import { type TopicDeclaration, topicSettings, topics } from '#streams/kafka/topics.ts';
import { type KafkaPair, kafkaPair } from '#test/support/kafka.ts';
import { ownPrefix } from '#test/support/topics.ts';

describe('streams/kafka/admin', () => {
  let pair: KafkaPair;
  before(async function () {
    pair = await kafkaPair(this);
  });

  it('makes what is missing, once, and sets what differs', async () => {
    const connection = kafkaConnection({ brokers: [pair.broker], topicPrefix: ownPrefix() });
    await using admin = await topicsAdmin(connection);
    expect((await admin.diff()).map(({ kind }) => kind)).to.deep.equal(topics.map(() => 'missing'));
    expect(await admin.apply()).to.have.length(topics.length);
    expect(await admin.diff()).to.deep.equal([]);
    expect(await admin.apply()).to.deep.equal([]);
    const raw = connection.kafka.admin();
    await raw.connect();
    // What is not among the entries goes back to the broker's own: one setting is changed, the others are said again.
    const declared = topics.find((topic) => topic.name === 'ledger.events.v1') as TopicDeclaration;
    const changed = { ...topicSettings(declared), 'retention.ms': '60000' };
    const configEntries = Object.entries(changed).map(([setting, value]) => ({ name: setting, value }));
    const name = connection.topic(declared.name);
    await raw.alterConfigs({
      validateOnly: false,
      resources: [{ type: kafkajs.ConfigResourceTypes.TOPIC, name, configEntries }],
    });
    const difference = { kind: 'setting', topic: name, name: 'retention.ms', is: '60000', wanted: '-1' };
    expect(await admin.diff()).to.deep.equal([difference]);
    await admin.apply();
    expect(await admin.diff()).to.deep.equal([]);
    await raw.disconnect();
  });

  it('shows another number of partitions, and leaves it: keys would move', async () => {
    const connection = kafkaConnection({ brokers: [pair.broker], topicPrefix: ownPrefix() });
    const fewer = topics.slice(0, 1).map((topic) => ({ ...topic, partitions: 2 }));
    await using made = await topicsAdmin(connection, { topics: fewer });
    await made.apply();
    await using admin = await topicsAdmin(connection, { topics: topics.slice(0, 1) });
    const topic = connection.topic('provenance.receipts.v1');
    const difference = { kind: 'partitions', topic, is: 2, wanted: 6 };
    expect(await admin.diff()).to.deep.equal([difference]);
    expect(await admin.apply()).to.deep.equal([]);
    expect(await admin.diff()).to.deep.equal([difference]);
  });

  it('says that no broker answers', async function () {
    this.timeout(60_000);
    const error = await topicsAdmin(kafkaConnection({ brokers: ['127.0.0.1:9'] })).catch(
      (failure: unknown) => failure,
    );
    expect(error).to.have.property('code', 'unavailable');
  });
});
