// The developer's pair in containers, where Docker answers and there is no Java. The images are the projects' own.
import { GenericContainer, Wait } from 'testcontainers';
import { freePort } from './java-process.ts';
import { CONFLUENT_PATH } from './registry.ts';

export interface ContainerPair extends AsyncDisposable {
  readonly broker: string;
  readonly registryUrl: string;
}

/** Throws when no container engine answers. */
export const startContainers = async (
  ports: { readonly kafka?: number | undefined; readonly registry?: number | undefined } = {},
): Promise<ContainerPair> => {
  await using opening = new AsyncDisposableStack();
  const kafkaPort = ports.kafka ?? (await freePort());
  const registryPort = ports.registry ?? (await freePort());
  const kafka = await new GenericContainer('apache/kafka:4.3.1')
    // A broker tells its clients where it is, so its port outside must be known before it starts.
    .withExposedPorts({ container: 9092, host: kafkaPort })
    .withEnvironment({
      KAFKA_NODE_ID: '1',
      KAFKA_PROCESS_ROLES: 'broker,controller',
      KAFKA_LISTENERS: 'PLAINTEXT://:9092,CONTROLLER://:9093',
      KAFKA_ADVERTISED_LISTENERS: `PLAINTEXT://127.0.0.1:${kafkaPort}`,
      KAFKA_CONTROLLER_LISTENER_NAMES: 'CONTROLLER',
      KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: 'CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT',
      KAFKA_CONTROLLER_QUORUM_VOTERS: '1@localhost:9093',
      KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR: '1',
      KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR: '1',
      KAFKA_TRANSACTION_STATE_LOG_MIN_ISR: '1',
      KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS: '0',
      KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS: '1000',
      KAFKA_AUTO_CREATE_TOPICS_ENABLE: 'false',
    })
    .withWaitStrategy(Wait.forListeningPorts())
    .start();
  opening.defer(async () => void (await kafka.stop()));
  const registry = await new GenericContainer('apicurio/apicurio-registry-mem:2.6.13.Final')
    .withExposedPorts({ container: 8080, host: registryPort })
    .withWaitStrategy(Wait.forHttp(`${CONFLUENT_PATH}/subjects`, 8080))
    .start();
  opening.defer(async () => void (await registry.stop()));
  const open = opening.move();
  return {
    broker: `127.0.0.1:${kafkaPort}`,
    registryUrl: `http://127.0.0.1:${registryPort}${CONFLUENT_PATH}`,
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
};

export interface GraphContainer extends AsyncDisposable {
  readonly url: string;
}

/** Neo4j without passwords. Throws when no container engine answers. */
export const startGraphContainer = async (): Promise<GraphContainer> => {
  const neo4j = await new GenericContainer('neo4j:5.26-community')
    .withExposedPorts(7687)
    .withEnvironment({ NEO4J_AUTH: 'none', NEO4J_server_memory_pagecache_size: '64M' })
    .withWaitStrategy(Wait.forListeningPorts())
    .start();
  return {
    url: `bolt://${neo4j.getHost()}:${neo4j.getMappedPort(7687)}`,
    [Symbol.asyncDispose]: async () => void (await neo4j.stop()),
  };
};
