import { expect } from 'chai';
import type { World } from '#gateway/cli/world.ts';
import { topicsAdmin } from '#streams/kafka/admin.ts';
import { type KafkaConnection, kafkaConnection } from '#streams/kafka/connect.ts';
import { type TopicDeclaration, topics } from '#streams/kafka/topics.ts';
import { type KafkaPair, kafkaPair } from '#test/support/kafka.ts';
import { memoryLedger } from '#test/support/memory-ledger.ts';
import { ownPrefix } from '#test/support/topics.ts';
import { runIn } from './world.ts';

describe('prov-ledger topics', function () {
  this.timeout(60_000);
  let pair: KafkaPair;
  let connection: KafkaConnection;
  before(async function () {
    pair = await kafkaPair(this);
    connection = kafkaConnection({ brokers: [pair.broker], topicPrefix: ownPrefix() });
  });

  const run = async (argv: readonly string[], declared: readonly TopicDeclaration[] = topics) => {
    const world: Partial<World> = { topics: () => topicsAdmin(connection, { topics: declared }) };
    return await runIn(await memoryLedger(), ['topics', ...argv], world);
  };

  it('are made once, and then as they are declared', async () => {
    const before = await run(['diff']);
    expect(before.code).to.equal(1);
    expect(before.stdout.split('\n')).to.include(`${connection.topic('ledger.events.v1')} is not there`);
    const made = await run(['apply']);
    expect(made.code, made.stderr).to.equal(0);
    expect(made.stdout).to.include(`made ${connection.topic('provenance.receipts.v1.dlq')}`);
    expect(await run(['diff'])).to.include({ code: 0, stdout: 'every topic is as it is declared\n' });
    expect(await run(['apply'])).to.include({ code: 0, stdout: 'nothing to do: every topic is there\n' });
  });

  it('are set to what is declared; partitions are left to a person', async () => {
    const [receipts, ...rest] = topics as readonly [TopicDeclaration, ...TopicDeclaration[]];
    const changed = [{ ...receipts, partitions: 12, retention: { days: 3 } }, ...rest];
    const { code, stdout, stderr } = await run(['apply', '--json'], changed);
    expect(code).to.equal(1);
    const name = connection.topic(receipts.name);
    expect(JSON.parse(stdout)).to.deep.equal({
      applied: [
        { kind: 'setting', topic: name, name: 'retention.ms', is: '1209600000', wanted: '259200000' },
      ],
      left: [{ kind: 'partitions', topic: name, is: 6, wanted: 12 }],
    });
    expect(stderr).to.match(/partitions are not changed here/);
  });

  it('say that no broker answers', async () => {
    const away = kafkaConnection({ brokers: ['127.0.0.1:9'] });
    const world: Partial<World> = { topics: () => topicsAdmin(away) };
    const { code, stderr } = await runIn(await memoryLedger(), ['topics', 'diff'], world);
    expect(code).to.equal(3);
    expect(stderr).to.match(/^prov-ledger: Kafka cannot be reached/);
  });
});
