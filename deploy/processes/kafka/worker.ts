// What a projector worker follows where it is told to: ledger.events.v1, as one member of a consumer group. The group
// gives out the tenants, by partitions; whatever the topic lacks comes from the store, and is told.
import type { Figure } from '#gateway/http/metrics.ts';
import { kafkaConnection } from '#streams/kafka/connect.ts';
import { type FeedEvent, kafkaStreamFeed } from '#streams/kafka/feed.ts';
import { wireSchemas } from '#streams/kafka/registry.ts';
import type { StreamFeed } from '#streams/stream.ts';
import type { Configuration } from '../../configuration.ts';
import { brokersOf, registryOf } from '../../kafka-settings.ts';
import { errorFields, type Log } from '../../telemetry/logs.ts';
import type { Standing, WiredLedger } from '../ledger/wire.ts';

export interface KafkaFollowing {
  readonly feedOf: (standing: Standing) => StreamFeed;
  /** What keeps it from following, in words for an operator. */
  readonly missing: () => readonly string[];
  readonly figures: readonly Figure[];
}

interface Parts {
  readonly configuration: Configuration;
  readonly ledger: Pick<WiredLedger, 'store'>;
  readonly log: Log;
}

/** Throws `CliError` when no cluster or no registry is named. */
export const followKafka = ({ configuration, ledger, log }: Parts): KafkaFollowing => {
  const connection = kafkaConnection({
    ...brokersOf(configuration),
    onLog: (level, message) => log(level === 'error' ? 'warn' : 'debug', `kafka: ${message}`),
  });
  const schemas = wireSchemas(registryOf(configuration));
  const state: State = { joined: false, away: false, partitions: 0, healed: 0, late: 0 };
  return {
    feedOf: (standing) =>
      kafkaStreamFeed({
        connection,
        schemas,
        store: ledger.store,
        group: { id: `${configuration.kafkaGroup}-projectors`, positions: standing },
        sessionTimeoutMs: configuration.workerLeaseSeconds * 1_000,
        onEvent: (event) => told(state, log, event),
      }),
    missing: () => {
      if (state.away) return ['Kafka or the database: one of them does not answer, and the log says which'];
      return state.joined ? [] : ['Kafka: the group of the projector workers is being joined'];
    },
    figures: figuresOf(state),
  };
};

interface State {
  joined: boolean;
  away: boolean;
  partitions: number;
  healed: number;
  late: number;
}

const told = (state: State, log: Log, event: FeedEvent): void => {
  switch (event.type) {
    case 'assigned':
      Object.assign(state, { joined: true, away: false, partitions: event.partitions });
      return log('info', 'the worker keeps another part of the tenants', { partitions: event.partitions });
    case 'healed': {
      state.healed += 1;
      const { tenant, seq, message } = event;
      return log('error', 'a tenant does not go on over the topic: it goes on from the store', {
        tenant,
        seq,
        message,
      });
    }
    case 'late':
      state.late += 1;
      return log('warn', 'the topic lacks facts that the ledger has: they come from the store', {
        tenants: event.tenants,
      });
    case 'waiting':
      if (!state.away) log('warn', 'the worker waits', errorFields(event.error));
      state.away = true;
      return;
    default:
      event satisfies never;
  }
};

const figuresOf = (state: State): readonly Figure[] => [
  {
    name: 'ledger_worker_partitions',
    help: 'Partitions of ledger.events.v1 whose tenants this worker keeps.',
    read: () => [{ value: state.partitions }],
  },
  {
    name: 'ledger_worker_healed',
    help: 'Times that a tenant went on from the store, since the topic had a gap or what does not follow.',
    read: () => [{ value: state.healed }],
  },
  {
    name: 'ledger_worker_late',
    help: 'Times that the topic was found to lack facts that the ledger had for a while.',
    read: () => [{ value: state.late }],
  },
];
