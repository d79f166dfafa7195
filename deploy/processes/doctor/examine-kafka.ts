// What `prov-ledger doctor` looks at where a cluster or a registry of schemas is named: whether they answer and are as
// declared, and whether what is taken from topics and given to them goes on.
import { PARTITIONS_REMEDY, textOf } from '#gateway/cli/topics.ts';
import type { Finding } from '#gateway/cli/world.ts';
import { topicsAdmin } from '#streams/kafka/admin.ts';
import { type ClusterView, viewCluster } from '#streams/kafka/cluster.ts';
import { type KafkaConnection, kafkaConnection } from '#streams/kafka/connect.ts';
import { viewRegistry } from '#streams/kafka/registry-view.ts';
import { EVENTS_TOPIC } from '#streams/kafka/relay.ts';
import { ingested, topics } from '#streams/kafka/topics.ts';
import type { LedgerDatabases } from '#streams/postgres/databases.ts';
import { readPartitions } from '#streams/postgres/transport/flow.ts';
import { countOpenLetters } from '#streams/postgres/transport/letters.ts';
import { readRelayed, relayLag } from '#streams/postgres/transport/relayed.ts';
import type { Configuration } from '../../configuration.ts';
import { brokersOf, registryOf } from '../../kafka-settings.ts';
import { failed, ok, warning } from './finding.ts';

const AS_IT_SAYS = 'do as the message says';
const RETRIES = 2;

const connectionOf = (configuration: Configuration): KafkaConnection =>
  kafkaConnection({ ...brokersOf(configuration), retries: RETRIES });

/** What is asked of brokers and registry alone; nothing where none is named. */
export const examineServers = async function* (configuration: Configuration): AsyncGenerator<Finding> {
  if (configuration.kafkaBrokers) yield* examineBrokers(configuration);
  if (configuration.registryUrl !== undefined) yield await examineRegistry(configuration);
};

const examineBrokers = async function* (configuration: Configuration): AsyncGenerator<Finding> {
  try {
    const connection = connectionOf(configuration);
    {
      await using cluster = await viewCluster(connection);
      yield ok('kafka', `answers, with brokers: ${await cluster.brokers()}`);
    }
    await using admin = await topicsAdmin(connection);
    const differences = await admin.diff();
    if (differences.length === 0)
      yield ok('topics', `all ${topics.length} are there, and as they are declared`);
    for (const difference of differences) {
      const text = textOf(difference);
      if (difference.kind === 'partitions') yield warning('topics', text, PARTITIONS_REMEDY);
      else if (difference.kind === 'missing') yield failed('topics', text, 'run `prov-ledger topics apply`');
      else yield warning('topics', text, 'run `prov-ledger topics apply`, or leave it if it is meant so');
    }
  } catch (error) {
    yield failed('kafka', (error as Error).message, AS_IT_SAYS);
  }
};

const NAMED = 3;

const examineRegistry = async (configuration: Configuration): Promise<Finding> => {
  try {
    const { subjects, missing, otherwise } = await viewRegistry(registryOf(configuration));
    if (missing.length > 0)
      return failed(
        'registry',
        `lacks the schemas of ${missing.length} of ${subjects} subjects: ${missing.slice(0, NAMED).join(', ')}${missing.length > NAMED ? ', …' : ''}`,
        'run `prov-ledger schemas publish`',
      );
    const [first] = otherwise;
    if (first)
      return warning(
        'registry',
        `${otherwise.length} subjects have another compatibility than ${first.wanted}: ${first.subject} has ${first.is}`,
        `set it to ${first.wanted} in the registry: a schema that breaks readers would be taken`,
      );
    return ok('registry', `has all ${subjects} subjects, with the declared compatibility`);
  } catch (error) {
    const remedy = 'see whether it runs, and check PROV_LEDGER_REGISTRY_URL, its username and its password';
    return failed('registry', (error as Error).message, remedy);
  }
};

/** What is taken from topics and given to them, against what the database knows of it. */
export const examineMessages = async function* (
  configuration: Configuration,
  databases: LedgerDatabases,
): AsyncGenerator<Finding> {
  const connection = connectionOf(configuration);
  try {
    await using cluster = await viewCluster(connection);
    for (const { name } of ingested)
      yield* examineIntake({ configuration, databases, cluster, topic: connection.topic(name) });
    yield await examineLetters(databases);
    yield await examineRelay({ configuration, databases, cluster, topic: connection.topic(EVENTS_TOPIC) });
    if (configuration.workerFeed === 'kafka') yield await examineWorkers(configuration, cluster);
  } catch (error) {
    yield failed('messages', (error as Error).message, AS_IT_SAYS);
  }
};

interface Examined {
  readonly configuration: Configuration;
  readonly databases: LedgerDatabases;
  readonly cluster: ClusterView;
  /** As the cluster calls it. */
  readonly topic: string;
}

const examineIntake = async function* ({
  configuration: { kafkaGroup },
  databases,
  cluster,
  topic,
}: Examined): AsyncGenerator<Finding> {
  const rows = await readPartitions(databases.home.pool, topic);
  const missing = rows.reduce((sum, row) => sum + Math.abs(row.missing), 0);
  if (missing > 0)
    yield failed(
      'intake',
      `${missing} offsets of ${topic} were passed without a message that was counted`,
      'stop `kafka-ingest` and report it: this is a fault of the program',
    );
  const next = new Map(rows.map(({ partition, next_offset }) => [partition, next_offset]));
  const spans = await cluster.spans(topic);
  const waiting = spans.reduce(
    (sum, { partition, low, end }) => sum + Math.max(0, end - (next.get(partition) ?? low)),
    0,
  );
  const passed = spans.filter(({ partition, low }) => low > (next.get(partition) ?? low));
  const { state, members } = await cluster.group(kafkaGroup);
  const there = `the group ${kafkaGroup} is ${state} with ${members} members; ${waiting} messages of ${topic} wait`;
  if (passed.length > 0)
    yield warning(
      'intake',
      `retention has removed messages of ${topic} that were not taken, on partitions ${passed.map(({ partition }) => partition).join(', ')}`,
      'start `prov-ledger kafka-ingest`, which counts them as lost, and have them sent again',
    );
  if (members === 0 && waiting > 0)
    yield warning('intake', there, 'start `prov-ledger kafka-ingest`: nobody takes them');
  else yield ok('intake', there);
};

const examineLetters = async ({ home }: LedgerDatabases): Promise<Finding> => {
  const open = await countOpenLetters(home.pool);
  const count = (state: 'dead' | 'held'): number =>
    open.reduce((sum, each) => sum + (each.state === state ? each.letters : 0), 0);
  const text = `${count('dead')} are dead, ${count('held')} are held`;
  return count('dead') === 0
    ? ok('letters', text)
    : warning('letters', text, 'see `prov-ledger dlq list`: put right what is wrong, and replay or discard');
};

const examineRelay = async ({ databases, cluster, topic }: Examined): Promise<Finding> => {
  const sent = await readRelayed(databases.home.pool, topic);
  if (sent.length === 0) return ok('relay', `nothing was relayed to ${topic} yet`);
  const ends = new Map((await cluster.spans(topic)).map(({ partition, end }) => [partition, end]));
  const gone = sent.filter(({ partition = 0, offset = -1 }) => (ends.get(partition) ?? 0) <= offset);
  const { facts, tenants } = await relayLag(databases, topic);
  const text = `${topic} lacks ${facts} facts of ${tenants} tenants`;
  if (gone.length > 0)
    return warning(
      'relay',
      `${topic} ends before what was sent to it of ${gone.length} tenants: it was made anew, or has lost its end`,
      'start `prov-ledger kafka-relay`: it sends everything again',
    );
  return facts === 0
    ? ok('relay', `${topic} has every fact`)
    : warning('relay', text, 'see that `prov-ledger kafka-relay` runs, and what its log says');
};

const examineWorkers = async ({ kafkaGroup }: Configuration, cluster: ClusterView): Promise<Finding> => {
  const id = `${kafkaGroup}-projectors`;
  const { state, members } = await cluster.group(id);
  const text = `the group ${id} is ${state} with ${members} members`;
  return members > 0
    ? ok('workers', text)
    : warning('workers', text, 'start `prov-ledger projector-worker`: nobody keeps the read models');
};
