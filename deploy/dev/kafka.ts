// The developer's Kafka: one process that is broker and controller (KRaft), on the loopback address.
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort, type JavaServer, QUICK, startJavaServer } from './java-process.ts';
import { accepts } from './listening.ts';
import { type Parts, PartsFault } from './parts.ts';

const run = promisify(execFile);

export interface DevKafka extends JavaServer {
  /** `host:port`. */
  readonly broker: string;
}

export interface DevKafkaOptions {
  readonly parts: Parts;
  /** Topics are kept in here; an empty or missing folder is formatted. */
  readonly dataDir: string;
  /** A free one unless told. */
  readonly port?: number | undefined;
  /** Listeners beside the plain one, by security protocol, as a cluster of others has them. */
  readonly secured?: SecuredListeners;
}

export interface SecuredListeners {
  /** The port of each; `SSL`, `SASL_SSL`, `SASL_PLAINTEXT`. */
  readonly ports: Readonly<Record<string, number>>;
  /** Certificates, mechanisms and users, as the broker names them. */
  readonly settings: Readonly<Record<string, string>>;
  /** SCRAM users, as the tool that formats the folder takes them. */
  readonly scram: readonly string[];
}

// Any UUID in the base64 form that Kafka takes.
const CLUSTER_ID = 'cHJvdi1sZWRnZXItZGV2Xw';

/** One broker; short timeouts, so that one which was killed is back within seconds. */
const properties = (
  { dataDir, secured }: Pick<DevKafkaOptions, 'dataDir' | 'secured'>,
  port: number,
  controller: number,
): string => {
  const listeners = Object.entries({ PLAINTEXT: port, ...secured?.ports });
  const addresses = listeners.map(([name, its]) => `${name}://127.0.0.1:${its}`).join(',');
  const protocols = listeners.map(([name]) => `${name}:${name}`).join(',');
  return Object.entries({
    'process.roles': 'broker,controller',
    'node.id': 1,
    'controller.quorum.voters': `1@127.0.0.1:${controller}`,
    listeners: `${addresses},CONTROLLER://127.0.0.1:${controller}`,
    'advertised.listeners': addresses,
    'listener.security.protocol.map': `CONTROLLER:PLAINTEXT,${protocols}`,
    'controller.listener.names': 'CONTROLLER',
    'log.dirs': join(dataDir, 'logs'),
    'auto.create.topics.enable': false,
    'offsets.topic.replication.factor': 1,
    'offsets.topic.num.partitions': 4,
    'transaction.state.log.replication.factor': 1,
    'transaction.state.log.min.isr': 1,
    'transaction.state.log.num.partitions': 4,
    'share.coordinator.state.topic.replication.factor': 1,
    'share.coordinator.state.topic.min.isr': 1,
    'group.initial.rebalance.delay.ms': 0,
    'group.min.session.timeout.ms': 1_000,
    'broker.session.timeout.ms': 1_500,
    'broker.heartbeat.interval.ms': 300,
    ...secured?.settings,
  })
    .map(([name, value]) => `${name}=${value}\n`)
    .join('');
};

const SILENT = '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn';

/** Throws `PartsFault`. */
export const startDevKafka = async (options: DevKafkaOptions): Promise<DevKafka> => {
  const { parts, dataDir, port, secured } = options;
  const its = port ?? (await freePort());
  const settings = join(dataDir, 'server.properties');
  mkdirSync(dataDir, { recursive: true });
  writeFileSync(settings, properties(options, its, await freePort()));
  if (!existsSync(join(dataDir, 'logs', 'meta.properties'))) {
    const format = [...QUICK, '-cp', parts.kafka, SILENT, 'kafka.tools.StorageTool', 'format'];
    const users = (secured?.scram ?? []).flatMap((user) => ['--add-scram', user]);
    await run('java', [...format, '-t', CLUSTER_ID, '-c', settings, ...users]).catch((cause: Error) => {
      throw new PartsFault('not-started', `Kafka's folder could not be formatted: ${cause.message}`, {
        cause,
      });
    });
  }
  const server = await startJavaServer({
    name: 'Kafka',
    args: ['-cp', parts.kafka, SILENT, 'kafka.Kafka', settings],
    isReady: () => accepts(its),
  });
  return { broker: `127.0.0.1:${its}`, ...server };
};
