// The environment, read once and whole: a validated configuration, or everything that is wrong with it.
import { join, resolve } from 'node:path';
import { alarmSettings } from './alarm-settings.ts';
import { httpSettings } from './http-settings.ts';
import { kafkaFaults, kafkaSettings } from './kafka-settings.ts';
import { loadSettings } from './load-settings.ts';
import { neo4jSettings } from './neo4j-settings.ts';
import { oidcSettings } from './oidc-settings.ts';
import { prometheusSettings } from './prometheus-settings.ts';
import {
  file,
  folder,
  hostName,
  oneOf,
  optional,
  type Setting,
  together,
  type Values,
  whole,
} from './setting.ts';
import { shardSettings } from './shard-settings.ts';

export const LOG_LEVELS = ['error', 'warn', 'info', 'debug'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** `auto`: text at a terminal, JSON elsewhere. */
export const LOG_FORMATS = ['auto', 'json', 'text'] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];

/** Every setting of the table below, and which of the addresses were asked for. */
export interface Configuration extends Values<ReturnType<typeof settingsFor>> {
  /** True when the port was asked for: another one is then not taken in its place. */
  readonly httpPortGiven: boolean;
  readonly operatorsPortGiven: boolean;
}

/** One setting as `prov-ledger config` shows it. */
export interface SettingInEffect {
  readonly name: string;
  readonly value: string;
  readonly source: 'environment' | 'default';
  readonly description: string;
}

export interface ConfigurationFault {
  readonly name: string;
  readonly message: string;
}

export type ReadConfiguration =
  | {
      readonly ok: true;
      readonly configuration: Configuration;
      readonly settings: readonly SettingInEffect[];
    }
  | { readonly ok: false; readonly faults: readonly ConfigurationFault[] };

type Environment = { readonly [name: string]: string | undefined };

export const DEFAULT_PORT = 7077;

const databaseUrl = (raw: string) => {
  const wanted = 'give a URL like postgresql://user:password@host:5432/database';
  if (!URL.canParse(raw)) return { fault: wanted };
  return ['postgres:', 'postgresql:'].includes(new URL(raw).protocol) ? raw : { fault: wanted };
};

/** The password, and whatever else a URL may hide one in. */
const masked = (url: string | undefined): string => {
  if (url === undefined) return 'none: the embedded PostgreSQL';
  const parsed = new URL(url);
  if (parsed.password !== '') parsed.password = '***';
  for (const name of Array.from(parsed.searchParams.keys()))
    if (/password|passfile|key/i.test(name)) parsed.searchParams.set(name, '***');
  return parsed.href;
};

const operatingSettings = {
  headsFile: optional({
    name: 'PROV_LEDGER_HEADS_FILE',
    description:
      'the ends of all chains, signed, kept here by a service and compared: not where the database is',
    parse: file,
  }),
  logFormat: {
    name: 'PROV_LEDGER_LOG_FORMAT',
    description: `how: ${LOG_FORMATS.join(', ')}; auto is text at a terminal and JSON elsewhere`,
    parse: oneOf(LOG_FORMATS),
    fallback: 'auto',
  } as Setting<LogFormat>,
  storeSeconds: {
    name: 'PROV_LEDGER_STORE_SECONDS',
    description: 'how long a request waits for the database before it is answered with 503',
    parse: whole(1, 600),
    fallback: 10,
  } as Setting<number>,
  metricsTenants: {
    name: 'PROV_LEDGER_METRICS_TENANTS',
    description: 'tenants that /metrics names, the busiest; 0 names none',
    parse: whole(0, 1_000),
    fallback: 20,
  } as Setting<number>,
  lameDuckSeconds: {
    name: 'PROV_LEDGER_LAME_DUCK_SECONDS',
    description: 'how long a stopping service still serves while it says that it is not ready',
    parse: whole(0, 600),
    fallback: 0,
  } as Setting<number>,
  workerLeaseSeconds: {
    name: 'PROV_LEDGER_WORKER_LEASE_SECONDS',
    description: 'how long a projector worker may be silent before others keep its tenants',
    parse: whole(1, 600),
    fallback: 10,
  } as Setting<number>,
  drainSeconds: {
    name: 'PROV_LEDGER_DRAIN_SECONDS',
    description: 'how long requests under way may take to end when it stops',
    parse: whole(1, 3_600),
    fallback: 10,
  } as Setting<number>,
};

const settingsFor = (env: Environment, defaultDataDir: () => string) => {
  const givenDataDir = env['PROV_LEDGER_DATA_DIR'];
  const dataDir = givenDataDir ? resolve(givenDataDir) : defaultDataDir();
  return {
    databaseUrl: {
      name: 'DATABASE_URL',
      description: 'a PostgreSQL (14 or later) to use',
      parse: databaseUrl,
      fallback: undefined,
      show: masked,
    } as Setting<string | undefined>,
    dataDir: {
      name: 'PROV_LEDGER_DATA_DIR',
      description: 'where everything of this machine is kept',
      parse: folder,
      fallback: dataDir,
    } as Setting<string>,
    keysDir: {
      name: 'PROV_LEDGER_KEYS_DIR',
      description: 'the signing keys; back this folder up',
      parse: folder,
      fallback: join(dataDir, 'keys'),
    } as Setting<string>,
    httpHost: {
      name: 'PROV_LEDGER_HTTP_HOST',
      description: 'address to listen on',
      parse: hostName,
      fallback: '127.0.0.1',
    } as Setting<string>,
    httpPort: {
      name: 'PROV_LEDGER_HTTP_PORT',
      description: 'port to listen on; 0 takes a free one',
      parse: whole(0, 65_535),
      fallback: DEFAULT_PORT,
    } as Setting<number>,
    poolSize: {
      name: 'PROV_LEDGER_POOL_SIZE',
      description: 'connections to the database at most',
      parse: whole(4, 500),
      fallback: 10,
    } as Setting<number>,
    logLevel: {
      name: 'PROV_LEDGER_LOG_LEVEL',
      description: `what is reported: ${LOG_LEVELS.join(', ')}`,
      parse: oneOf(LOG_LEVELS),
      fallback: 'info',
    } as Setting<LogLevel>,
    ...operatingSettings,
    ...httpSettings,
    ...oidcSettings,
    ...loadSettings,
    ...kafkaSettings,
    ...neo4jSettings,
    ...shardSettings,
    ...alarmSettings,
    ...prometheusSettings,
  };
};

/** Empty texts count as absent, as a shell's `NAME=` means them. A misspelt PROV_LEDGER_ name is a fault. */
export const readConfiguration = (env: Environment, defaultDataDir: () => string): ReadConfiguration => {
  const settings = settingsFor(env, defaultDataDir);
  const faults: ConfigurationFault[] = [];
  const inEffect: SettingInEffect[] = [];
  const take = ({ name, description, parse, fallback, show = String }: Setting<unknown>): unknown => {
    const raw = env[name];
    const given = raw !== undefined && raw !== '';
    const parsed = given ? parse(raw) : fallback;
    if (typeof parsed === 'object' && parsed !== null && 'fault' in parsed) {
      faults.push({ name, message: `is not usable: ${String(parsed.fault)}` });
      return fallback;
    }
    inEffect.push({ name, description, value: show(parsed), source: given ? 'environment' : 'default' });
    return parsed;
  };
  const values = Object.fromEntries(
    Object.entries(settings).map(([key, setting]) => [key, take(setting as Setting<unknown>)]),
  ) as Values<typeof settings>;
  const given = (name: string): boolean => Boolean(env[name]);
  const configuration: Configuration = {
    ...values,
    httpPortGiven: given(settings.httpPort.name),
    operatorsPortGiven: given(settings.operatorsPort.name),
  };
  const { tlsCertFile, tlsKeyFile, tlsClientCaFile, oidcIssuer, oidcAudience, oidcJwksUrl } = settings;
  faults.push(
    ...together([tlsCertFile, tlsKeyFile], given),
    ...together([oidcIssuer, oidcAudience, oidcJwksUrl], given),
    ...together([settings.neo4jUser, settings.neo4jPassword], given),
    ...together([settings.alarmWebhookUrl, settings.alarmWebhookSecret], given),
    ...kafkaFaults(configuration),
  );
  if (given(tlsClientCaFile.name) && !given(tlsCertFile.name))
    faults.push({ name: tlsCertFile.name, message: `is needed where ${tlsClientCaFile.name} is given` });
  const known = new Set(Object.values(settings).map(({ name }) => name));
  for (const name of Object.keys(env)) {
    if (name.startsWith('PROV_LEDGER_') && !known.has(name)) {
      faults.push({ name, message: `is not a setting; known are ${[...known].join(', ')}` });
    }
  }
  return faults.length > 0 ? { ok: false, faults } : { ok: true, configuration, settings: inEffect };
};
