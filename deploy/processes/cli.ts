// The program `prov-ledger`: gives the command line the world it works in.
import { join } from 'node:path';
import { CliError } from '#gateway/cli/exit.ts';
import { runCli } from '#gateway/cli/main.ts';
import type { RunningService, RunningWorker, ServeOptions, World } from '#gateway/cli/world.ts';
import { prometheus } from '#gateway/flags/prometheus.ts';
import type { Instant } from '#schemas/ids.ts';
import { type Configuration, readConfiguration, type SettingInEffect } from '../configuration.ts';
import { defaultDataDir } from '../embedded/server.ts';
import { prometheusOf } from '../prometheus-settings.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import { migrateDatabase, openDatabase } from './database.ts';
import { givenModule } from './given-module.ts';
import { prepareShards } from './shards.ts';
import { stopSignal } from './stop-signal.ts';
import { version } from './version.ts';
import { commandError, openKeys, openLedger, type WiredLedger } from './wire.ts';

const configured = (): {
  readonly configuration: Configuration;
  readonly settings: readonly SettingInEffect[];
} => {
  const read = readConfiguration(process.env, defaultDataDir);
  if (read.ok) return read;
  throw new CliError(
    'usage',
    'configuration',
    `the environment: ${read.faults.map(({ name, message }) => `${name} ${message}`).join('; ')}`,
  );
};

const serve = async (options: ServeOptions): Promise<RunningService> => {
  const { configuration } = configured();
  // Loaded for this command alone: HTTP is a third of what the program reads at its start.
  const { startService } = await import('./service.ts');
  const { openTelemetry } = await import('../telemetry/telemetry.ts');
  const telemetry = await openTelemetry({ configuration, env: process.env, version, stream: process.stderr });
  const ledger = await openLedger(configuration, { onCommit: telemetry.onCommit, serving: true });
  try {
    const service = await startService({ configuration, ledger, telemetry }, options);
    return {
      ...service,
      drain: async () => {
        await service.drain();
        await ledger[Symbol.asyncDispose]();
        await telemetry[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await ledger[Symbol.asyncDispose]();
    throw commandError(error);
  }
};

const projectorWorker: World['projectorWorker'] = async () => {
  const { configuration } = configured();
  const { startProjectorWorker } = await import('./projector-worker.ts');
  return await workerOn(configuration, startProjectorWorker);
};

const kafkaIngest: World['kafkaIngest'] = async () => {
  const { configuration } = configured();
  const { startKafkaIngest } = await import('./kafka-ingest.ts');
  return await workerOn(configuration, startKafkaIngest);
};

interface WorkerParts {
  readonly configuration: Configuration;
  readonly ledger: WiredLedger;
  readonly telemetry: Telemetry;
}

/** A process of one role, with a ledger of its own that is closed after it. */
const workerOn = async (
  configuration: Configuration,
  begin: (parts: WorkerParts) => Promise<RunningWorker>,
): Promise<RunningWorker> => {
  const { openTelemetry } = await import('../telemetry/telemetry.ts');
  const telemetry = await openTelemetry({ configuration, env: process.env, version, stream: process.stderr });
  const ledger = await openLedger(configuration, { serving: true });
  try {
    const worker = await begin({ configuration, ledger, telemetry });
    return {
      ...worker,
      drain: async () => {
        await worker.drain();
        await ledger[Symbol.asyncDispose]();
        await telemetry[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await ledger[Symbol.asyncDispose]();
    throw commandError(error);
  }
};

const migrateConfigured: World['migrate'] = async () => {
  try {
    const { configuration } = configured();
    await using database = await openDatabase(configuration);
    const applied = await migrateDatabase(database.url);
    await prepareShards(configuration, database.url);
    return applied;
  } catch (error) {
    throw commandError(error);
  }
};

const keys: World['keys'] = async () => {
  try {
    return await openKeys(configured().configuration);
  } catch (error) {
    throw commandError(error);
  }
};

const LEFT_OPEN_MS = 5_000;

const stopping = stopSignal();

process.exitCode = await runCli({
  argv: process.argv.slice(2),
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  signal: stopping,
  clock: Date.now as () => Instant,
  version,
  resumptionFolder: () => join(configured().configuration.dataDir, 'ingest'),
  settings: () => configured().settings,
  open: async () => await openLedger(configured().configuration),
  migrate: migrateConfigured,
  keys,
  scratch: async () => {
    const { scratchLedger } = await import('./scratch.ts');
    return await scratchLedger(configured().configuration);
  },
  again: async (args, environment) => {
    const { runAgain } = await import('./again.ts');
    return await runAgain(args, { environment, signal: stopping });
  },
  serve,
  exportsOf: givenModule,
  projectorWorker,
  kafkaIngest,
  kafkaRelay: async () => {
    const { configuration } = configured();
    const { startKafkaRelay } = await import('./kafka-relay.ts');
    return await startKafkaRelay(configuration);
  },
  topics: async () => {
    const { configuredTopics } = await import('./kafka-parts.ts');
    return await configuredTopics(configured().configuration);
  },
  registry: async () => {
    const { configuredRegistry } = await import('./kafka-parts.ts');
    return configuredRegistry(configured().configuration);
  },
  series: () => {
    const source = prometheusOf(configured().configuration);
    if (source) return prometheus(source);
    throw new CliError('usage', 'no-prometheus', 'there is no Prometheus: set PROV_LEDGER_PROMETHEUS_URL');
  },
  devKafka: async (request) => {
    const { developersKafka } = await import('./kafka-parts.ts');
    return await developersKafka(configured().configuration, request);
  },
  backup: async (request) => {
    const { backUp } = await import('./backup.ts');
    return await backUp(configured().configuration, request);
  },
  restore: async (request) => {
    const { restore } = await import('./backup.ts');
    return await restore(configured().configuration, request);
  },
  copy: async (request) => {
    const { copy } = await import('./copy.ts');
    return await copy(configured().configuration, request);
  },
  bring: async (request) => {
    const { bring } = await import('./bring.ts');
    return await bring(configured().configuration, request);
  },
  examine: async function* () {
    const { examine } = await import('./examine.ts');
    yield* examine(readConfiguration(process.env, defaultDataDir));
  },
});
// What is done has an end, whatever a driver still holds on to: Kafka's to a socket of a broker that was killed, for one.
setTimeout(() => process.exit(), LEFT_OPEN_MS).unref();
