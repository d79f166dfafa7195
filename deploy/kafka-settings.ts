// Settings of the way to Kafka and to the registry of schemas: docs/operations/kafka.md says how to choose them.
import { readFileSync } from 'node:fs';
import { CliError } from '#gateway/cli/exit.ts';
import { type KnownIds, knownIds } from '#schemas/registry/released.ts';
import type { KafkaSettings } from '#streams/kafka/connect.ts';
import type { RegistrySettings } from '#streams/kafka/registry.ts';
import { file, oneOf, optional, type Setting, text, type Unusable, type Values, whole } from './setting.ts';

const BROKER = /^(?:\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]{1,253}):([1-9]\d{0,4})$/;

const brokers = (raw: string): readonly string[] | Unusable => {
  const all = raw.split(/[\s,]+/).filter((each) => each !== '');
  const fits = (each: string): boolean => Number(BROKER.exec(each)?.[1] ?? 65_536) <= 65_535;
  return all.length > 0 && all.every(fits)
    ? all
    : { fault: 'give one or more host:port, with commas between' };
};

/** What may stand in a topic's name, with room for the name itself. */
const prefix = (raw: string): string | Unusable =>
  /^[A-Za-z0-9._-]{1,100}$/.test(raw)
    ? raw
    : { fault: 'give up to 100 letters, digits, dots, hyphens or underscores' };

const registryUrl = (raw: string): string | Unusable => {
  const wanted = {
    fault: 'give the http or https URL where its Confluent interface begins, without credentials in it',
  };
  if (!URL.canParse(raw)) return wanted;
  const { protocol, username, password } = new URL(raw);
  const web = protocol === 'https:' || protocol === 'http:';
  return web && username === '' && password === '' ? raw.replace(/\/+$/, '') : wanted;
};

/** Whatever a cluster lets its users choose. */
const password = (raw: string): string | Unusable =>
  /^\P{Cc}{1,512}$/u.test(raw) ? raw : { fault: 'give 1 to 512 characters, no control characters' };

const secret = (of: Omit<Setting<string>, 'fallback' | 'show'>): Setting<string | undefined> => ({
  ...of,
  fallback: undefined,
  show: (value) => (value === undefined ? 'none' : '***'),
});

const SASL = ['none', 'plain', 'scram-sha-256', 'scram-sha-512'] as const;

export const kafkaSettings = {
  kafkaBrokers: {
    name: 'PROV_LEDGER_KAFKA_BROKERS',
    description: 'the Kafka to take messages from: host:port,...',
    parse: brokers,
    fallback: undefined,
    show: (value) => value?.join(',') ?? 'none',
  } as Setting<readonly string[] | undefined>,
  kafkaTls: {
    name: 'PROV_LEDGER_KAFKA_TLS',
    description: 'on: brokers are spoken to by TLS, and must show a certificate',
    parse: oneOf(['on', 'off']),
    fallback: 'off',
  } as Setting<'on' | 'off'>,
  kafkaCaFile: optional({
    name: 'PROV_LEDGER_KAFKA_CA_FILE',
    description: "PEM: whose certificates brokers may show; the system's authorities without it",
    parse: file,
  }),
  kafkaCertFile: optional({
    name: 'PROV_LEDGER_KAFKA_CERT_FILE',
    description: 'PEM: a certificate to show to brokers that ask for one',
    parse: file,
  }),
  kafkaKeyFile: optional({
    name: 'PROV_LEDGER_KAFKA_KEY_FILE',
    description: 'PEM: its private key',
    parse: file,
  }),
  kafkaSasl: {
    name: 'PROV_LEDGER_KAFKA_SASL',
    description: `how it logs in to brokers: ${SASL.join(', ')}`,
    parse: oneOf(SASL),
    fallback: 'none',
  } as Setting<(typeof SASL)[number]>,
  kafkaUsername: optional({
    name: 'PROV_LEDGER_KAFKA_USERNAME',
    description: 'as whom',
    parse: text,
  }),
  kafkaPassword: secret({
    name: 'PROV_LEDGER_KAFKA_PASSWORD',
    description: 'the password for that',
    parse: password,
  }),
  kafkaPrefix: optional({
    name: 'PROV_LEDGER_KAFKA_PREFIX',
    description: 'in front of the name of every topic, where several ledgers share a cluster',
    parse: prefix,
  }),
  kafkaGroup: {
    name: 'PROV_LEDGER_KAFKA_GROUP',
    description: 'the consumer group that shares the partitions of what is taken',
    parse: text,
    fallback: 'prov-ledger',
  } as Setting<string>,
  workerFeed: {
    name: 'PROV_LEDGER_WORKER_FEED',
    description: 'what projector workers follow: the database, or ledger.events.v1 as a consumer group',
    parse: oneOf(['postgres', 'kafka']),
    fallback: 'postgres',
  } as Setting<'postgres' | 'kafka'>,
  kafkaReplicas: {
    name: 'PROV_LEDGER_KAFKA_REPLICAS',
    description:
      'copies of each partition of a topic that is made; what the cluster does by itself without it',
    parse: whole(1, 32),
    fallback: undefined,
    show: (value) => (value === undefined ? 'none' : String(value)),
  } as Setting<number | undefined>,
  registryUrl: optional({
    name: 'PROV_LEDGER_REGISTRY_URL',
    description: 'where the registry of schemas has its Confluent interface',
    parse: registryUrl,
  }),
  registryUsername: optional({
    name: 'PROV_LEDGER_REGISTRY_USERNAME',
    description: 'who asks there',
    parse: text,
  }),
  registryPassword: secret({
    name: 'PROV_LEDGER_REGISTRY_PASSWORD',
    description: 'the password for that',
    parse: password,
  }),
  registryIdsFile: optional({
    name: 'PROV_LEDGER_REGISTRY_IDS_FILE',
    description: 'what its ids stand for while it is away, as `schemas publish --record` writes it',
    parse: file,
  }),
};

export type KafkaConfiguration = Values<typeof kafkaSettings>;

/** What is missing where one of the settings needs another. */
export const kafkaFaults = (
  of: KafkaConfiguration,
): readonly { readonly name: string; readonly message: string }[] => {
  const { kafkaCaFile, kafkaCertFile, kafkaKeyFile, kafkaSasl, kafkaUsername, kafkaPassword } = kafkaSettings;
  const needed = (setting: { readonly name: string }, where: string) => ({
    name: setting.name,
    message: `is needed where ${where}`,
  });
  const faults: { readonly name: string; readonly message: string }[] = [];
  if (of.kafkaSasl !== 'none') {
    const where = `${kafkaSasl.name} is ${of.kafkaSasl}`;
    if (of.kafkaUsername === undefined) faults.push(needed(kafkaUsername, where));
    if (of.kafkaPassword === undefined) faults.push(needed(kafkaPassword, where));
  } else if (of.kafkaPassword !== undefined) faults.push(needed(kafkaSasl, `${kafkaPassword.name} is given`));
  const files = [
    [kafkaCaFile, of.kafkaCaFile],
    [kafkaCertFile, of.kafkaCertFile],
    [kafkaKeyFile, of.kafkaKeyFile],
  ] as const;
  const [given] = files.filter(([, path]) => path !== undefined);
  // Else the certificate would be thought to be in use while everything goes in clear.
  if (given && of.kafkaTls === 'off')
    faults.push({ name: kafkaSettings.kafkaTls.name, message: `must be on where ${given[0].name} is given` });
  if ((of.kafkaCertFile === undefined) !== (of.kafkaKeyFile === undefined))
    faults.push(
      of.kafkaCertFile === undefined
        ? needed(kafkaCertFile, `${kafkaKeyFile.name} is given`)
        : needed(kafkaKeyFile, `${kafkaCertFile.name} is given`),
    );
  if (of.registryPassword !== undefined && of.registryUsername === undefined)
    faults.push(needed(kafkaSettings.registryUsername, `${kafkaSettings.registryPassword.name} is given`));
  return faults;
};

/** How brokers are reached. Throws `CliError` when none is named, or a file of it cannot be read. */
export const brokersOf = (of: KafkaConfiguration): KafkaSettings => {
  const { kafkaBrokers, kafkaTls, kafkaSasl, kafkaUsername, kafkaPassword, kafkaPrefix } = of;
  if (!kafkaBrokers)
    throw new CliError(
      'usage',
      'no-brokers',
      `no Kafka is named: set ${kafkaSettings.kafkaBrokers.name} to host:port, or try \`prov-ledger dev kafka\``,
    );
  return {
    brokers: kafkaBrokers,
    ...(kafkaPrefix !== undefined && { topicPrefix: kafkaPrefix }),
    ...(kafkaTls === 'on' && {
      tls: {
        ...contents('ca', of.kafkaCaFile, kafkaSettings.kafkaCaFile.name),
        ...contents('cert', of.kafkaCertFile, kafkaSettings.kafkaCertFile.name),
        ...contents('key', of.kafkaKeyFile, kafkaSettings.kafkaKeyFile.name),
      },
    }),
    ...(kafkaSasl !== 'none' && {
      sasl: { mechanism: kafkaSasl, username: kafkaUsername ?? '', password: kafkaPassword ?? '' },
    }),
  };
};

const contents = <K extends string>(
  key: K,
  path: string | undefined,
  setting: string,
): { [name in K]?: string } =>
  path === undefined ? {} : ({ [key]: readGiven(path, setting) } as { [name in K]?: string });

const readGiven = (path: string, setting: string): string => {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    const message = `${path} (${setting}) cannot be read: ${(cause as Error).message}`;
    throw new CliError('unavailable', 'kafka-file', message, { cause });
  }
};

/** How the registry is reached. Throws `CliError` when none is named, or the file of its ids cannot be read. */
export const registryOf = (of: KafkaConfiguration): RegistrySettings => {
  const { registryUrl: url, registryUsername: username, registryPassword: password } = of;
  if (url === undefined)
    throw new CliError(
      'usage',
      'no-registry',
      `no registry of schemas is named: set ${kafkaSettings.registryUrl.name}, or try \`prov-ledger dev kafka\``,
    );
  return {
    url,
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(of.registryIdsFile !== undefined && { known: idsIn(of.registryIdsFile) }),
  };
};

const idsIn = (path: string): KnownIds => {
  try {
    return knownIds(path);
  } catch (cause) {
    const message = `${path} (${kafkaSettings.registryIdsFile.name}) cannot be used: ${(cause as Error).message}`;
    throw new CliError('unavailable', 'registry-ids', message, { cause });
  }
};
