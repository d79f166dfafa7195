// A cluster's topics against their declarations: what differs, and making them agree. Nothing is ever deleted, and
// partitions only grow: a key would move to another partition and lose its order, so that is refused for the ledger's
// own topics and left to a person.
import { setTimeout as pause } from 'node:timers/promises';
import kafkajs, { type Admin } from 'kafkajs';
import { askedAdmin } from './asking.ts';
import type { KafkaConnection } from './connect.ts';
import { KafkaError } from './errors.ts';
import { topics as declaredTopics, type TopicDeclaration, topicSettings } from './topics.ts';

export type TopicDifference =
  | { readonly kind: 'missing'; readonly topic: string }
  | {
      readonly kind: 'setting';
      readonly topic: string;
      readonly name: string;
      readonly is: string;
      readonly wanted: string;
    }
  /** Not changed by `apply`: keys would move between partitions. */
  | { readonly kind: 'partitions'; readonly topic: string; readonly is: number; readonly wanted: number };

export interface TopicsAdmin extends AsyncDisposable {
  readonly diff: () => Promise<readonly TopicDifference[]>;
  /** Makes what is missing and sets what differs; returns what it did. What it cannot mend is left for `diff` to show. */
  readonly apply: () => Promise<readonly TopicDifference[]>;
}

export interface TopicsOptions {
  readonly topics?: readonly TopicDeclaration[];
  /** Copies of each partition; what the cluster does by itself unless told. */
  readonly replicas?: number;
}

/** Throws `KafkaError`. */
export const topicsAdmin = async (
  connection: KafkaConnection,
  options: TopicsOptions = {},
): Promise<TopicsAdmin> => {
  const { admin, asked } = await askedAdmin(connection);
  const diff = () => asked(() => differences(admin, connection, options));
  return {
    diff,
    apply: async () => {
      const found = await diff();
      await asked(() => mend(admin, connection, { ...options, found }));
      return found.filter(({ kind }) => kind !== 'partitions');
    },
    [Symbol.asyncDispose]: () => admin.disconnect(),
  };
};

const differences = async (
  admin: Admin,
  { topic: nameOf }: KafkaConnection,
  { topics = declaredTopics }: TopicsOptions,
): Promise<readonly TopicDifference[]> => {
  const there = new Set(await admin.listTopics());
  const missing = topics.filter(({ name }) => !there.has(nameOf(name)));
  const present = topics.filter(({ name }) => there.has(nameOf(name)));
  const found: TopicDifference[] = missing.map(({ name }) => ({ kind: 'missing', topic: nameOf(name) }));
  if (present.length === 0) return found;
  const names = present.map(({ name }) => nameOf(name));
  const { topics: metadata } = await admin.fetchTopicMetadata({ topics: names });
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: names.map((name) => ({ type: kafkajs.ConfigResourceTypes.TOPIC, name })),
  });
  for (const declaration of present) {
    const topic = nameOf(declaration.name);
    const is = metadata.find(({ name }) => name === topic)?.partitions.length ?? 0;
    if (is !== declaration.partitions)
      found.push({ kind: 'partitions', topic, is, wanted: declaration.partitions });
    const entries = resources.find(({ resourceName }) => resourceName === topic)?.configEntries ?? [];
    for (const [name, wanted] of Object.entries(topicSettings(declaration))) {
      const value = entries.find(({ configName }) => configName === name)?.configValue ?? '';
      if (value !== wanted) found.push({ kind: 'setting', topic, name, is: value, wanted });
    }
  }
  return found;
};

interface Mending extends TopicsOptions {
  readonly found: readonly TopicDifference[];
}

const mend = async (
  admin: Admin,
  { topic: nameOf }: KafkaConnection,
  { topics = declaredTopics, replicas = -1, found }: Mending,
): Promise<void> => {
  const missing = new Set(found.filter(({ kind }) => kind === 'missing').map(({ topic }) => topic));
  const making = topics.filter(({ name }) => missing.has(nameOf(name)));
  if (making.length > 0) {
    await admin.createTopics({
      // kafkajs would ask for leaders before KRaft has them, and take the first answer for an error.
      waitForLeaders: false,
      topics: making.map((declaration) => ({
        topic: nameOf(declaration.name),
        numPartitions: declaration.partitions,
        replicationFactor: replicas,
        configEntries: Object.entries(topicSettings(declaration)).map(([name, value]) => ({ name, value })),
      })),
    });
    for (const { name, partitions } of making) await untilHosted(admin, nameOf(name), partitions);
  }
  for (const topic of new Set(found.flatMap((each) => (each.kind === 'setting' ? [each.topic] : [])))) {
    const declaration = topics.find(({ name }) => nameOf(name) === topic) as TopicDeclaration;
    const configEntries = Object.entries(topicSettings(declaration)).map(([name, value]) => ({
      name,
      value,
    }));
    const resources = [{ type: kafkajs.ConfigResourceTypes.TOPIC, name: topic, configEntries }];
    await admin.alterConfigs({ validateOnly: false, resources });
  }
};

const HOSTED_WITHIN_MS = 30_000;

/** KRaft announces a topic before its partitions are hosted: a send in between fails, an idempotent one for good. */
const untilHosted = async (admin: Admin, topic: string, partitions: number): Promise<void> => {
  for (const deadline = Date.now() + HOSTED_WITHIN_MS; Date.now() < deadline; await pause(50)) {
    const offsets = await admin.fetchTopicOffsets(topic).catch(() => []);
    if (offsets.length === partitions) return;
  }
  throw new KafkaError('unavailable', `${topic} was made, and its partitions have no leader yet`);
};
