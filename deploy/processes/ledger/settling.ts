// How messages become facts, and letters after all: what an intake and the commands about letters share.
import { messageReader } from '#gateway/kafka/read-message.ts';
import { conflictRecord } from '#gateway/kafka/records.ts';
import { messageGates } from '#gateway/tenancy/write-gate.ts';
import type { Instant } from '#schemas/ids.ts';
import { wireSchemas } from '#streams/kafka/registry.ts';
import { ingested } from '#streams/kafka/topics.ts';
import type { Pool } from '#streams/postgres/connect.ts';
import type { Together } from '#streams/postgres/together.ts';
import type { Reader } from '#streams/postgres/transport/message.ts';
import type { SettleOptions } from '#streams/postgres/transport/settle.ts';
import type { StreamStore } from '#streams/stream.ts';
import type { Configuration } from '../../configuration.ts';
import { registryOf } from '../../kafka-settings.ts';

/** What an intake needs of its ledger. */
export interface IntakeLedger {
  /** Of the home, where places in topics and letters are kept. */
  readonly pool: Pool;
  readonly store: StreamStore;
  readonly together: () => Together;
}

/** Throws `CliError` when no registry is named. */
export const settling = (
  configuration: Configuration,
  { pool, store, together }: IntakeLedger,
): SettleOptions => ({
  pool,
  together: together(),
  read: readerOf(configuration),
  gates: messageGates(store),
  noteConflict: conflictRecord,
});

const readerOf = (configuration: Configuration): Reader => {
  const { kafkaPrefix = '' } = configuration;
  const events = new Map(ingested.map((topic) => [`${kafkaPrefix}${topic.name}`, topic.events]));
  return messageReader({
    schemas: wireSchemas(registryOf(configuration)),
    eventsOf: (topic) => events.get(topic) ?? [],
    clock: Date.now as () => Instant,
  });
};
