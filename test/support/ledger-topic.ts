// A cluster's ledger topics for a test, and everything that is on them, as an outside reader sees it.
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { CHAIN_START, type ChainPosition, linkFault } from '#proofs/chain.ts';
import type { Recorded } from '#schemas/event.ts';
import type { TenantId } from '#schemas/ids.ts';
import { subjects } from '#schemas/registry/subjects.ts';
import { topicsAdmin } from '#streams/kafka/admin.ts';
import { type KafkaConnection, kafkaConnection } from '#streams/kafka/connect.ts';
import { factOf, type RawMessage } from '#streams/kafka/fact-message.ts';
import { type WireSchemas, wireSchemas } from '#streams/kafka/registry.ts';
import { EVENTS_TOPIC, HEADS_TOPIC } from '#streams/kafka/relay.ts';
import { declared } from '#streams/kafka/topics.ts';
import type { Head } from '#streams/stream.ts';
import type { KafkaPair } from './kafka.ts';
import { ownPrefix } from './topics.ts';

export interface LedgerTopics {
  readonly connection: KafkaConnection;
  readonly schemas: WireSchemas;
}

export const applyTopics = async (connection: KafkaConnection): Promise<void> => {
  await using admin = await topicsAdmin(connection, { topics: [EVENTS_TOPIC, HEADS_TOPIC].map(declared) });
  await admin.apply();
};

/** Topics of their own name, and every schema published. */
export const ledgerTopics = async ({ broker, registryUrl }: KafkaPair): Promise<LedgerTopics> => {
  const connection = kafkaConnection({ brokers: [broker], topicPrefix: ownPrefix() });
  await applyTopics(connection);
  const schemas = wireSchemas({ url: registryUrl });
  for (const subject of subjects()) await schemas.publish(subject);
  return { connection, schemas };
};

export interface TopicMessage extends RawMessage {
  readonly partition: number;
}

/** What stands on a topic now, each partition in its order. */
export const everythingOn = async (
  { kafka, topic: nameOf }: KafkaConnection,
  declaredName: string,
): Promise<readonly TopicMessage[]> => {
  const topic = nameOf(declaredName);
  const admin = kafka.admin();
  await admin.connect();
  const ends = (await admin.fetchTopicOffsets(topic)).filter(({ high, low }) => high !== low);
  await admin.disconnect();
  if (ends.length === 0) return [];
  const consumer = kafka.consumer({ groupId: `test-${randomUUID()}`, maxWaitTimeInMs: 100 });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  const found: TopicMessage[] = [];
  const next = new Map<number, number>();
  await consumer.run({
    autoCommit: false,
    eachMessage: async ({ partition, message }) => {
      found.push({ ...message, partition });
      next.set(partition, Number(message.offset) + 1);
    },
  });
  const whole = () => ends.every(({ partition, high }) => (next.get(partition) ?? 0) >= Number(high));
  for (const deadline = Date.now() + 30_000; !whole(); await pause(20))
    if (Date.now() > deadline) throw new Error(`only ${found.length} messages of ${topic} came`);
  await consumer.disconnect();
  return found;
};

/** Every message of `ledger.events.v1` as the fact it is. */
export const factsOnTopic = async ({ connection, schemas }: LedgerTopics): Promise<readonly Recorded[]> => {
  for (const subject of subjects()) await schemas.learn(await schemas.idOf(subject));
  const messages = await everythingOn(connection, EVENTS_TOPIC);
  return messages.map((message) => factOf(message, schemas.reader));
};

/**
 * What the relay promises of a topic: before a fact stand those before it in its chain, each follows from the one before,
 * and nothing of the heads is missing. Returns how many messages were repetitions.
 */
export const expectRelayed = (facts: readonly Recorded[], heads: readonly Head[]): number => {
  const last = new Map<TenantId, ChainPosition>();
  let repeated = 0;
  for (const fact of facts) {
    const before = last.get(fact.tenant) ?? CHAIN_START;
    if (fact.seq <= before.seq) {
      repeated += 1;
      continue;
    }
    expect(linkFault(fact, fact.tenant, before), `${fact.tenant}/${fact.seq}`).to.equal(undefined);
    last.set(fact.tenant, fact);
  }
  expect(heads.length).to.be.greaterThan(0);
  for (const { tenant, hash } of heads) expect(last.get(tenant)?.hash, tenant).to.equal(hash);
  return repeated;
};
