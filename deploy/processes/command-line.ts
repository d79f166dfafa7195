// The command line in the world it works in: that of a process, or of whoever runs a command without one.
import { join } from 'node:path';
import { CliError } from '#gateway/cli/exit.ts';
import { runCli } from '#gateway/cli/main.ts';
import type { World } from '#gateway/cli/world.ts';
import { prometheus } from '#gateway/flags/prometheus.ts';
import type { Instant } from '#schemas/ids.ts';
import { type Configuration, readConfiguration, type SettingInEffect } from '../configuration.ts';
import { defaultDataDir } from '../embedded/server.ts';
import { prometheusOf } from '../prometheus-settings.ts';
import { givenModule } from './given-module.ts';
import { migrateDatabase, openDatabase } from './ledger/database.ts';
import { prepareShards } from './ledger/shards.ts';
import { commandError, openKeys, openLedger } from './ledger/wire.ts';
import { begun, type Serving, serve } from './serving.ts';
import { version } from './version.ts';

export interface Surroundings extends Pick<World, 'argv' | 'stdin' | 'stdout' | 'stderr' | 'signal'> {
  /** Holds the configuration. */
  readonly env: NodeJS.ProcessEnv;
}

/** Runs the command that `argv` names; the promise settles with the exit code and never rejects. */
export const commandLine = (surroundings: Surroundings): Promise<number> => runCli(worldOf(surroundings));

const worldOf = (surroundings: Surroundings): World => {
  const { argv, env, stdin, stdout, stderr, signal } = surroundings;
  const configured = (): Configuration => configurationOf(env).configuration;
  return {
    argv,
    stdin,
    stdout,
    stderr,
    signal,
    clock: Date.now as () => Instant,
    version,
    resumptionFolder: () => join(configured().dataDir, 'ingest'),
    settings: () => configurationOf(env).settings,
    open: async () => await openLedger(configured()),
    migrate: async () => await orCommandError(migrate(configured())),
    keys: async () => await orCommandError(openKeys(configured())),
    scratch: async () => {
      const { scratchLedger } = await import('./ledger/scratch.ts');
      return await scratchLedger(configured());
    },
    again: async (args, environment) => {
      const { runAgain } = await import('./again.ts');
      return await runAgain(args, { environment: { ...env, ...environment }, signal });
    },
    exportsOf: givenModule,
    series: () => {
      const source = prometheusOf(configured());
      if (source) return prometheus(source);
      throw new CliError('usage', 'no-prometheus', 'there is no Prometheus: set PROV_LEDGER_PROMETHEUS_URL');
    },
    examine: async function* () {
      const { examine } = await import('./doctor/examine.ts');
      yield* examine(readConfiguration(env, defaultDataDir));
    },
    ...roles(() => ({ configuration: configured(), env, stderr })),
    ...ofKafka(configured),
    ...carrying(configured, env),
  };
};

const configurationOf = (
  env: NodeJS.ProcessEnv,
): { readonly configuration: Configuration; readonly settings: readonly SettingInEffect[] } => {
  const read = readConfiguration(env, defaultDataDir);
  if (read.ok) return read;
  throw new CliError(
    'usage',
    'configuration',
    `the environment: ${read.faults.map(({ name, message }) => `${name} ${message}`).join('; ')}`,
  );
};

const orCommandError = <T>(doing: Promise<T>): Promise<T> =>
  doing.catch((error: unknown) => {
    throw commandError(error);
  });

const migrate = async (configuration: Configuration): ReturnType<World['migrate']> => {
  await using database = await openDatabase(configuration);
  const applied = await migrateDatabase(database.url);
  await prepareShards(configuration, database.url);
  return applied;
};

/** What each of these needs is loaded with it. */
const roles = (
  serving: () => Serving,
): Pick<World, 'serve' | 'projectorWorker' | 'kafkaIngest' | 'kafkaRelay'> => ({
  serve: async (options) => await serve(serving(), options),
  projectorWorker: async () => {
    const { startProjectorWorker } = await import('./projector-worker.ts');
    return await begun(serving(), startProjectorWorker);
  },
  kafkaIngest: async () => {
    const { startKafkaIngest } = await import('./kafka/ingest.ts');
    return await begun(serving(), startKafkaIngest);
  },
  kafkaRelay: async () => {
    const { startKafkaRelay } = await import('./kafka/relay.ts');
    return await startKafkaRelay(serving());
  },
});

const ofKafka = (configured: () => Configuration): Pick<World, 'topics' | 'registry' | 'devKafka'> => ({
  topics: async () => {
    const { configuredTopics } = await import('./kafka/parts.ts');
    return await configuredTopics(configured());
  },
  registry: async () => {
    const { configuredRegistry } = await import('./kafka/parts.ts');
    return configuredRegistry(configured());
  },
  devKafka: async (request) => {
    const { developersKafka } = await import('./kafka/parts.ts');
    return await developersKafka(configured(), request);
  },
});

/** Ledgers that go elsewhere and come back. */
const carrying = (
  configured: () => Configuration,
  env: NodeJS.ProcessEnv,
): Pick<World, 'backup' | 'restore' | 'copy' | 'bring'> => ({
  backup: async (request) => {
    const { backUp } = await import('./carry/backup.ts');
    return await backUp(configured(), request);
  },
  restore: async (request) => {
    const { restore } = await import('./carry/backup.ts');
    return await restore(configured(), request);
  },
  copy: async (request) => {
    const { copy } = await import('./carry/copy.ts');
    return await copy({ configuration: configured(), env }, request);
  },
  bring: async (request) => {
    const { bring } = await import('./carry/bring.ts');
    return await bring(configured(), request);
  },
});
