// The one place where the program meets the Kafka driver: addresses, TLS, SASL, retries, and where its log goes.
import { Kafka, type KafkaConfig, logLevel, type SASLOptions } from 'kafkajs';
import { boundedDriver, type Driver } from './driver.ts';

export interface KafkaSettings {
  /** `host:port`, one at least. */
  readonly brokers: readonly string[];
  /** Shown in the broker's log. */
  readonly clientId?: string;
  /** TLS with the system's authorities (`{}`), or with files' contents. */
  readonly tls?: {
    readonly ca?: string;
    readonly cert?: string;
    readonly key?: string;
  };
  readonly sasl?: {
    readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512';
    readonly username: string;
    readonly password: string;
  };
  /** In front of every topic's name: several ledgers on one cluster. */
  readonly topicPrefix?: string;
  /** How often a broker that does not answer is tried again; 8, some ten seconds, unless told. */
  readonly retries?: number;
  /** Told what the driver reports from warnings on; never a message's content. */
  readonly onLog?: (level: 'warn' | 'error', message: string) => void;
}

export interface KafkaConnection {
  /** Every wait for one of its clients has an end. */
  readonly kafka: Driver;
  /** The declared name of a topic as it is called on this cluster. */
  readonly topic: (declared: string) => string;
}

/** Opens nothing yet: producers, consumers and admin clients connect by themselves. */
export const kafkaConnection = (settings: KafkaSettings): KafkaConnection => {
  const { topicPrefix = '' } = settings;
  return {
    kafka: boundedDriver(new Kafka(configOf(settings))),
    topic: (declared) => `${topicPrefix}${declared}`,
  };
};

const configOf = ({ brokers, clientId, tls, sasl, retries = 8, onLog }: KafkaSettings): KafkaConfig => ({
  brokers: [...brokers],
  clientId: clientId ?? 'prov-ledger',
  connectionTimeout: 5_000,
  requestTimeout: 30_000,
  // A broker that was killed is back within seconds; beyond that the caller decides.
  retry: { initialRetryTime: 100, maxRetryTime: 2_000, retries },
  logLevel: onLog ? logLevel.WARN : logLevel.NOTHING,
  logCreator:
    () =>
    ({ level, log }) =>
      onLog?.(level <= logLevel.ERROR ? 'error' : 'warn', log.message),
  ...(tls && {
    ssl: {
      ...(tls.ca !== undefined && { ca: [tls.ca] }),
      ...(tls.cert !== undefined && { cert: tls.cert }),
      ...(tls.key !== undefined && { key: tls.key }),
    },
  }),
  ...(sasl && { sasl: { ...sasl } as SASLOptions }),
});
