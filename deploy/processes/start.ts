// `npm start`: everything in one process on the embedded PostgreSQL (or DATABASE_URL), with a demonstration tenant, until
// ctrl-C. `--demo` shows the whole way of one receipt, and ends.
import { mkdirSync } from 'node:fs';
import { CliError, cliError, EXIT } from '#gateway/cli/exit.ts';
import { type Configuration, readConfiguration } from '../configuration.ts';
import { defaultDataDir } from '../embedded/server.ts';
import { tryLock } from '../lock.mjs';
import { openTelemetry } from '../telemetry/telemetry.ts';
import { runDemo } from './demo/demo.ts';
import { ensureFirstFacts } from './demo/first-facts.ts';
import { figures, invitation, type Started } from './demo/tour.ts';
import { migrateDatabase, openDatabase } from './ledger/database.ts';
import { commandError, wireLedger } from './ledger/wire.ts';
import { logServerEvent, startService } from './service.ts';
import { stopSignal } from './stop-signal.ts';
import { version } from './version.ts';

const say = (text: string): void => void process.stdout.write(`${text}\n`);

const configured = (): Configuration => {
  const read = readConfiguration(process.env, defaultDataDir);
  if (read.ok) return read.configuration;
  throw new CliError(
    'usage',
    'configuration',
    `the environment:\n${read.faults.map(({ name, message }) => `  ${name} ${message}`).join('\n')}`,
  );
};

/** One `npm start` per data folder; commands and demonstrations beside it are welcome. */
const onlyOne = (dataDir: string): (() => void) => {
  mkdirSync(dataDir, { recursive: true, mode: 0o711 });
  const lock = tryLock(dataDir, 'service');
  if (lock.held) return lock.release;
  throw new CliError(
    'refused',
    'running-already',
    `it runs already on ${dataDir} as process ${lock.holder.pid}: use that one, stop it, or set PROV_LEDGER_DATA_DIR to another folder`,
  );
};

const run = async (signal: AbortSignal, demo: boolean): Promise<void> => {
  const startedAt = performance.now();
  const configuration = configured();
  const { dataDir } = configuration;
  say(`prov-ledger ${version}`);
  await using closing = new AsyncDisposableStack();
  const telemetry = closing.use(
    await openTelemetry({ configuration, env: process.env, version, stream: process.stderr }),
  );
  const { log } = telemetry;
  if (!demo) closing.defer(onlyOne(dataDir));
  const opened = await openDatabase(configuration, {
    signal,
    mustOwn: !demo,
    onWait: () => log('info', `another command is using ${dataDir}; waiting until it has finished`),
    onEvent: (event) => logServerEvent(log, event),
  });
  const database = closing.use(opened);
  await migrateDatabase(database.url);
  const ledger = closing.use(
    await wireLedger(configuration, database, { onCommit: telemetry.onCommit, serving: true }),
  );
  const facts = await ensureFirstFacts(ledger, dataDir, signal);
  await ledger.catchUp(signal);
  if (signal.aborted) return;
  const service = await startService(
    { configuration, ledger, telemetry },
    demo ? { host: '127.0.0.1', port: 0 } : {},
  );
  closing.defer(() => service.drain());
  const started: Started = {
    ledger,
    database,
    facts,
    url: service.url,
    operatorsUrl: service.operatorsUrl,
    dataDir,
    seconds: (performance.now() - startedAt) / 1000,
  };
  say(await figures(started));
  say('');
  if (demo) {
    await runDemo(started, say);
    say('done: published, found and verified');
    return;
  }
  say(invitation(started));
  await untilStopped(signal, service.failed);
  say('draining; ctrl-C again ends at once');
};

const untilStopped = async (signal: AbortSignal, failed: Promise<unknown>): Promise<void> => {
  const stopped = Promise.withResolvers<undefined>();
  signal.addEventListener('abort', () => stopped.resolve(undefined), { once: true });
  if (signal.aborted) return;
  const failure = await Promise.race([stopped.promise, failed]);
  if (failure !== undefined) throw failure;
};

const main = async (): Promise<number> => {
  const signal = stopSignal();
  try {
    const extra = process.argv.slice(2).filter((argument) => argument !== '--demo');
    if (extra.length > 0)
      throw new CliError('usage', 'unknown-argument', `${extra[0]} is not known here; there is only --demo`);
    await run(signal, process.argv.includes('--demo'));
    return EXIT.ok;
  } catch (error) {
    if (signal.aborted && (error as Error).name === 'AbortError') return EXIT.interrupted;
    const { exit, message, cause } = cliError(commandError(error));
    process.stderr.write(`prov-ledger: ${message}\n`);
    if (exit === 'internal' && cause instanceof Error) process.stderr.write(`${cause.stack ?? ''}\n`);
    return EXIT[exit];
  }
};

process.exitCode = await main();
