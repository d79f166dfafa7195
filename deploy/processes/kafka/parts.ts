// Kafka and the registry of schemas as the configuration names them. Loaded only by who needs them: the driver is a third
// of what the program would read at its start.
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { DevKafka, DevKafkaRequest, Registry } from '#gateway/cli/world.ts';
import { KNOWN_IDS_FILE } from '#schemas/registry/released.ts';
import { type TopicsAdmin, topicsAdmin } from '#streams/kafka/admin.ts';
import { kafkaConnection } from '#streams/kafka/connect.ts';
import { wireSchemas } from '#streams/kafka/registry.ts';
import type { Configuration } from '../../configuration.ts';
import { startDevPair } from '../../dev/pair.ts';
import { brokersOf, registryOf } from '../../kafka-settings.ts';
import { commandError } from '../ledger/wire.ts';

/** Somebody waits for the answer: an address that is wrong shall be told within seconds. */
const RETRIES = 3;

/** Throws `CliError` when no cluster is named, and `KafkaError` when none answers. */
export const configuredTopics = async (configuration: Configuration): Promise<TopicsAdmin> => {
  const { kafkaReplicas: replicas } = configuration;
  const connection = kafkaConnection({ ...brokersOf(configuration), retries: RETRIES });
  return await topicsAdmin(connection, replicas === undefined ? {} : { replicas });
};

/** Throws `CliError` when no registry is named. */
export const configuredRegistry = (configuration: Configuration): Registry => {
  const settings = registryOf({ ...configuration, registryIdsFile: undefined });
  return {
    url: settings.url,
    // What it has is the question: what is known of it from a file must not answer.
    schemas: wireSchemas({ ...settings, known: {} }),
    idsFile: configuration.registryIdsFile ?? fileURLToPath(KNOWN_IDS_FILE),
  };
};

/** Throws `CliError`. */
export const developersKafka = async (
  { dataDir }: Configuration,
  { kafkaPort, registryPort, dir = join(dataDir, 'dev-kafka') }: DevKafkaRequest,
): Promise<DevKafka> => {
  try {
    return await startDevPair({ dataDir: dir, kafkaPort, registryPort });
  } catch (error) {
    throw commandError(error);
  }
};
