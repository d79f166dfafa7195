// A broker and a registry of schemas of one's own, to do harm to: every topic and every schema is there.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { type DevKafka, startDevKafka } from '#deploy/dev/kafka.ts';
import type { Parts } from '#deploy/dev/parts.ts';
import { type DevRegistry, startDevRegistry } from '#deploy/dev/registry.ts';
import { subjects } from '#schemas/registry/subjects.ts';
import { topicsAdmin } from '#streams/kafka/admin.ts';
import { type KafkaConnection, kafkaConnection } from '#streams/kafka/connect.ts';
import { wireSchemas } from '#streams/kafka/registry.ts';
import { siteFolder } from './site.ts';

export interface Cluster extends AsyncDisposable {
  readonly kafka: DevKafka;
  readonly registry: DevRegistry;
  readonly connection: KafkaConnection;
  /** For a program that works with this pair. */
  readonly environment: Readonly<Record<string, string>>;
}

export const openCluster = async (parts: Parts): Promise<Cluster> => {
  await using opening = new AsyncDisposableStack();
  const folder = siteFolder();
  opening.defer(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  const kafka = await startDevKafka({ parts, dataDir: join(folder, 'kafka') });
  opening.defer(() => kafka.kill());
  const registry = await startDevRegistry({ parts, dataDir: join(folder, 'registry') });
  opening.defer(() => registry.kill());
  const connection = kafkaConnection({ brokers: [kafka.broker] });
  const schemas = wireSchemas({ url: registry.url });
  for (const subject of subjects()) await schemas.publish(subject);
  await using admin = await topicsAdmin(connection);
  await admin.apply();
  const open = opening.move();
  return {
    kafka,
    registry,
    connection,
    environment: {
      PROV_LEDGER_KAFKA_BROKERS: kafka.broker,
      PROV_LEDGER_REGISTRY_URL: registry.url,
    },
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
};
