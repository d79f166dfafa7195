// The service: HTTP and, unless told otherwise, the read models, in one process on one wired ledger.

import { setTimeout as pause } from 'node:timers/promises';
import type { RunningService, ServeOptions } from '#gateway/cli/world.ts';
import { jobsWithin, readModelsWithin, readWithin, storeWithin } from '#gateway/http/deadline.ts';
import type { Figure, Measure } from '#gateway/http/metrics.ts';
import { oidcIdentities } from '#gateway/http/oidc.ts';
import { createGateway, type Gateway } from '#gateway/http/server.ts';
import type { TlsMaterial } from '#gateway/http/tls.ts';
import { type TokenUses, tokenUses } from '#gateway/http/token-uses.ts';
import { type Jobs, projectionJobs } from '#gateway/projections/jobs.ts';
import { type ReadModels, readModels } from '#gateway/projections/read-models.ts';
import { projectors } from '#projectors/index.ts';
import { dueTimers } from '#projectors/postgres/due-timers.ts';
import { flagList } from '#projectors/postgres/flag-list.ts';
import { jobRegister } from '#projectors/postgres/jobs.ts';
import { processName } from '#projectors/postgres/rebuild/claim.ts';
import { receiptList } from '#projectors/postgres/receipt-list.ts';
import type { Instant } from '#schemas/ids.ts';
import { writeTokenUses } from '#streams/postgres/token-uses.ts';
import { webhookOf } from '../alarm-settings.ts';
import type { Configuration } from '../configuration.ts';
import type { ServerEvent } from '../embedded/server.ts';
import { limitsOf } from '../http-settings.ts';
import { rateLimitsOf } from '../load-settings.ts';
import { oidcOf } from '../oidc-settings.ts';
import { flagInstruments } from '../telemetry/flag-instruments.ts';
import { errorFields, type Log } from '../telemetry/logs.ts';
import { type SagaInstruments, sagaInstruments } from '../telemetry/saga-instruments.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import { readTls, type TlsFiles, tlsFilesOf, watchTls } from '../tls-files.ts';
import { intakeBeside } from './kafka/intake-beside.ts';
import { type AlarmKeeper, keepAlarms } from './keepers/alarm-keeper.ts';
import type { GraphKeeper } from './keepers/graph-keeper.ts';
import { closedWhileLost } from './keepers/heads-keeper.ts';
import { keepTimers } from './keepers/timer-keeper.ts';
import type { WiredLedger } from './ledger/wire.ts';
import { listenTwice } from './running/listening.ts';
import { type Observed, observe } from './running/observed.ts';
import { toldTo } from './running/projecting.ts';
import { reactTo } from './running/reacting.ts';
import { readiness } from './running/readiness.ts';
import { startReport } from './running/start-report.ts';
import { withoutHurry } from './running/without-hurry.ts';
import { version } from './version.ts';

/** What the embedded server does by itself, for whoever watches. */
export const logServerEvent = (log: Log, event: ServerEvent): void => {
  switch (event.type) {
    case 'started':
      return;
    case 'orphanStopped':
      return log(
        'info',
        `stopped the PostgreSQL (process ${event.pid}) that a process which died had left behind`,
      );
    case 'staleLockRemoved':
      return log('info', 'PostgreSQL did not end orderly last time; it recovers by itself');
    case 'exited':
      return log('warn', `PostgreSQL ended by itself (${event.signal ?? event.code}); it is started again`);
    case 'restartFailed':
      return log(
        'error',
        `PostgreSQL did not start again: ${event.message}; next try in ${event.retryInMs} ms`,
      );
    default:
      event satisfies never;
  }
};

interface ServiceParts {
  readonly configuration: Configuration;
  readonly ledger: WiredLedger;
  readonly telemetry: Telemetry;
}

/** Starts on an open ledger, which it does not close. */
export const startService = async (
  { configuration, ledger, telemetry }: ServiceParts,
  options: ServeOptions = {},
): Promise<RunningService> => {
  const { log } = telemetry;
  const ending = new AbortController();
  await using opening = new AsyncDisposableStack();
  const observed = opening.use(await observe({ configuration, ledger, log }));
  const graph = opening.use(await graphOf({ configuration, ledger, telemetry }, options));
  const lostHeads = (): number => observed.heads?.lost().length ?? 0;
  const intake = opening.use(await intakeBeside({ configuration, ledger, log, lostHeads }));
  const tlsFiles = tlsFilesOf(configuration);
  const alarms = options.withoutProjectors ? undefined : opening.use(alarmsOf(configuration, ledger, log));
  const parts = {
    stopping: ending.signal,
    observed,
    graph,
    messages: intake?.measures ?? [],
    tls: tlsFiles && readTls(tlsFiles, Date.now()),
    uses: opening.use(usesOf(ledger, log)),
    jobs: opening.use(jobsOf(ledger, log)),
    sagas: sagaInstruments(observed.sagaLag),
    figures: [...graph.figures, ...observed.figures, ...(alarms?.figures ?? [])],
  };
  const gateway = opening.use(gatewayOf({ configuration, ledger, telemetry }, parts));
  const { url, operatorsUrl } = await listenTwice(gateway, { configuration, options, log });
  opening.use(telemetry.watch(gateway));
  if (tlsFiles) opening.use(renewing(gateway, tlsFiles, log));
  const watching = opening.move();
  log('info', 'listening', {
    url,
    operatorsUrl,
    ...startReport({ configuration, options, ledger, observed }),
  });
  const projecting = new AbortController();
  const folds = options.withoutProjectors
    ? []
    : foldsOf({ ledger, telemetry }, parts.sagas, projecting.signal);
  const failed = Promise.withResolvers<unknown>();
  for (const fold of folds) fold.catch(failed.resolve);
  void intake?.failed.then(failed.resolve);
  return {
    url,
    operatorsUrl,
    failed: failed.promise,
    drain: async () => {
      ending.abort();
      await pause(configuration.lameDuckSeconds * 1_000);
      await gateway.drain(configuration.drainSeconds * 1_000);
      projecting.abort();
      await Promise.allSettled(folds);
      await watching.disposeAsync();
      log('info', 'drained');
    },
  };
};

/** What follows the ledger beside the requests: read models, and what answers facts with commands. */
const foldsOf = (
  { ledger, telemetry }: Pick<ServiceParts, 'ledger' | 'telemetry'>,
  instruments: SagaInstruments,
  signal: AbortSignal,
): readonly Promise<void>[] => [
  ledger.project(signal, { around: telemetry.feed, ...toldTo(telemetry.log) }),
  reactTo({ ledger, telemetry, instruments }, signal),
  keepTimers({ store: ledger.store, due: dueTimers(ledger.pool), clock }, telemetry.log, signal),
];

const clock = (): Instant => Date.now() as Instant;

interface GatewayParts {
  readonly stopping: AbortSignal;
  readonly observed: Observed;
  readonly graph: GraphKeeper;
  readonly messages: readonly Measure[];
  readonly tls: TlsMaterial | undefined;
  readonly uses: TokenUses;
  readonly jobs: Jobs;
  readonly sagas: SagaInstruments;
  readonly figures: readonly Figure[];
}

const gatewayOf = (
  { configuration, ledger, telemetry }: ServiceParts,
  { stopping, observed, graph, messages, tls, uses, jobs, sagas, figures }: GatewayParts,
): Gateway => {
  const patienceMs = configuration.storeSeconds * 1_000;
  const list = receiptList(ledger.pool);
  const flagsOf = flagList(ledger.pool);
  const { heads } = observed;
  const oidc = oidcOf(configuration);
  const ready = readiness({
    pool: ledger.pool,
    ledgerId: ledger.store.ledgerId,
    projectors,
    withinMs: Math.min(READY_WITHIN_MS, patienceMs),
    lostHeads: () => heads?.lost().length ?? 0,
  });
  return createGateway({
    limits: limitsOf(configuration),
    rates: rateLimitsOf(configuration),
    load: ledger.store.queueLoad,
    tls,
    onTokenUse: uses.note,
    lastUses: ledger.lastUses,
    identify: oidc && oidcIdentities(oidc),
    store: storeWithin(
      patienceMs,
      telemetry.store(heads ? closedWhileLost(ledger.store, heads) : ledger.store),
    ),
    // Opened when somebody watches: a feed holds a connection.
    feed: { subscribe: (options) => ledger.feed.subscribe(options) },
    listReceipts: (question) => readWithin(patienceMs, list(question)),
    listFlags: (tenant) => readWithin(patienceMs, flagsOf(tenant)),
    readModels: readModelsWithin(patienceMs, readModelsOf(ledger)),
    jobs: jobsWithin(patienceMs, jobs),
    jwks: ledger.jwks,
    readiness: () => (stopping.aborted ? Promise.resolve(STOPPING) : ready()),
    build: {
      name: 'prov-ledger',
      version,
      runtime: `node ${process.version} ${process.platform}/${process.arch}`,
    },
    measures: [
      ...messages,
      telemetry.instruments({
        queuedFacts: ledger.store.queuedFacts,
        ...observed,
        lag: () => [...observed.lag(), ...graph.lag()],
      }),
      ...figures,
      sagas,
      flagInstruments(observed.flags),
    ],
    onFault: (error, requestId) =>
      telemetry.log('error', 'a request failed', { requestId, ...errorFields(error) }),
  });
};

const readModelsOf = (ledger: WiredLedger, databases = ledger.databases): ReadModels =>
  readModels({
    databases,
    store: ledger.store,
    // Opened when somebody rebuilds.
    feed: () => ledger.feed,
    clock: () => Date.now() as Instant,
  });

/** Ended before the connections are that its work is done on. */
const jobsOf = (ledger: WiredLedger, log: Log): Jobs => {
  const patient = withoutHurry(ledger.databases);
  const jobs = projectionJobs({
    readModels: readModelsOf(ledger, patient.databases),
    register: jobRegister({ pool: ledger.pool }),
    runner: processName(),
    onFault: (error) => log('error', 'work on a read model failed', errorFields(error)),
  });
  return {
    ...jobs,
    [Symbol.asyncDispose]: async () => {
      await jobs[Symbol.asyncDispose]();
      await patient[Symbol.asyncDispose]();
    },
  };
};

const NO_GRAPH: GraphKeeper = { lag: () => [], figures: [], [Symbol.asyncDispose]: async () => undefined };

const graphOf = async (
  { configuration: { attestSeconds, metricsTenants: namesMax }, ledger, telemetry: { log } }: ServiceParts,
  { withoutProjectors }: ServeOptions,
): Promise<GraphKeeper> => {
  if (!ledger.graph) return NO_GRAPH;
  // Loaded where there is one: Neo4j's driver is a third of what a service reads at its start.
  const { keepGraph } = await import('./keepers/graph-keeper.ts');
  const graph = await ledger.graph();
  return keepGraph({ ledger, graph, log, project: withoutProjectors !== true, attestSeconds, namesMax });
};

const alarmsOf = (configuration: Configuration, { pool }: WiredLedger, log: Log): AlarmKeeper =>
  keepAlarms({
    pool,
    log,
    webhook: webhookOf(configuration),
    deadlineMs: configuration.alarmDeadlineSeconds * 1_000,
  });

const usesOf = ({ pool }: WiredLedger, log: Log): TokenUses =>
  tokenUses({
    write: (uses) => writeTokenUses(pool, uses),
    onFault: (error) => log('warn', 'the last uses of tokens are not written yet', errorFields(error)),
  });

/** SIGHUP looks at once, as operators are used to. */
const renewing = (gateway: Gateway, files: TlsFiles, log: Log): Disposable => {
  const watch = watchTls({
    files,
    renew: (material: TlsMaterial) => gateway.renewTls(material),
    onRenewed: () => log('info', 'the certificate was read again, for connections from now on'),
    onFault: (error) => log('error', 'the certificate is not renewed: the old one stays', errorFields(error)),
  });
  const now = (): void => watch.look(true);
  process.on('SIGHUP', now);
  return {
    [Symbol.dispose]: () => {
      process.off('SIGHUP', now);
      watch[Symbol.dispose]();
    },
  };
};

/** A lame duck: load balancers look elsewhere while it still serves. */
const STOPPING = { ready: false, missing: ['the service is stopping'] };

/** Asked often, by somebody who waits a second or two: that the database is slow is the answer. */
const READY_WITHIN_MS = 2_000;
