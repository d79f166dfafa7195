// Wires a ledger from its configuration: database, pool, keys, store, feed. The only place that knows them all.
import { mkdirSync } from 'node:fs';
import { CliError } from '#gateway/cli/exit.ts';
import type { LedgerReplay, OpenLedger, WholeChain } from '#gateway/cli/world.ts';
import type { BulkImport } from '#gateway/ingest/bulk-progress.ts';
import { importReceipts } from '#gateway/ingest/import.ts';
import { throughGates } from '#gateway/tenancy/write-gate.ts';
import { projectors } from '#projectors/index.ts';
import type { Graph, GraphAddress } from '#projectors/neo4j/connect.ts';
import type { SourceDigests } from '#projectors/postgres/builds.ts';
import { postgresRowSink } from '#projectors/postgres/sink.ts';
import { sourceDigests } from '#projectors/postgres/source.ts';
import { runWorker } from '#projectors/postgres/workers/worker.ts';
import { skipsIn } from '#projectors/rebuild/skips.ts';
import {
  type BatchDone,
  type Halt,
  type Holding,
  type RunOptions,
  runProjectors,
  standing,
} from '#projectors/run.ts';
import { KeyFolderFault, type LocalKeys, localKeys } from '#proofs/keys/local.ts';
import type { ReplayFeed } from '#replay-harness/feed.ts';
import { ledgerFeed } from '#replay-harness/ledger-feed.ts';
import { allSagas } from '#sagas/index.ts';
import { postgresSagaShelf } from '#sagas/postgres/shelf.ts';
import { runSagas, type SagaRunOptions } from '#sagas/run.ts';
import type { StreamError } from '#streams/errors.ts';
import type { CommitDone } from '#streams/postgres/commit.ts';
import { connect, type Pool, RUNTIME_ROLE, urlOf } from '#streams/postgres/connect.ts';
import type { LedgerDatabases } from '#streams/postgres/databases.ts';
import type { PostgresStore } from '#streams/postgres/store.ts';
import type { Together } from '#streams/postgres/together.ts';
import { lastTokenUses } from '#streams/postgres/token-uses.ts';
import { type StoredChainResult, verifyStoredChain } from '#streams/postgres/verify/chain.ts';
import type { LedgerPosition, StreamFeed, StreamStore } from '#streams/stream.ts';
import type { Configuration } from '../../configuration.ts';
import { PartsFault } from '../../dev/parts.ts';
import { EmbeddedPostgresError } from '../../embedded/errors.ts';
import { graphAddress } from '../../neo4j-settings.ts';
import { TlsFileFault } from '../../tls-files.ts';
import { type Database, openDatabase, prepareDatabase } from './database.ts';
import { dispatcher } from './dispatch.ts';
import { type OpenDatabases, openDatabases } from './shards.ts';

export interface WiredLedger extends OpenLedger {
  readonly store: PostgresStore;
  readonly keys: LocalKeys;
  /** Requests and something of the caller's own at once. */
  readonly together: () => Together;
  /** Keeps the read models until the signal. */
  readonly project: (signal: AbortSignal, hooks?: ProjectHooks) => Promise<void>;
  /** Keeps those of the tenants that the feed gives out; it is closed with the run. */
  readonly projectFrom: (
    feedOf: (standing: Standing) => StreamFeed,
    signal: AbortSignal,
    hooks?: ProjectHooks,
  ) => Promise<void>;
  /** Keeps them together with other workers, each its part of the tenants, until the signal. */
  readonly work: (signal: AbortSignal, hooks?: WorkHooks) => Promise<void>;
  /** Has what follows done until the signal. */
  readonly react: (signal: AbortSignal, hooks?: ReactHooks) => Promise<void>;
}

export interface ProjectHooks {
  readonly onHalt?: (halt: Halt) => void;
  readonly onHeld?: (holding: Holding) => void;
  readonly onRetry?: (error: StreamError, delayMs: number) => void;
  /** Stands between the feed and the read models. */
  readonly around?: (feed: StreamFeed) => StreamFeed;
  readonly onBatch?: (done: BatchDone) => void;
}

/** Where the read models stand, whoever keeps them. */
export type Standing = () => Promise<LedgerPosition>;

export interface WorkHooks extends ProjectHooks {
  readonly onSlots?: (held: number) => void;
}

export interface ReactHooks
  extends Pick<SagaRunOptions, 'onReaction' | 'onHalt' | 'onRetry'>,
    Pick<ProjectHooks, 'around'> {}

export interface WireOptions {
  /** Closed together with the ledger. */
  readonly adopted?: AsyncDisposable;
  readonly onCommit?: ((commit: CommitDone) => void) | undefined;
  /** For a service: the database is waited for as long as the configuration says, and not until it answers. */
  readonly serving?: boolean;
}

export const openKeys = async ({ dataDir, keysDir }: Configuration): Promise<LocalKeys> => {
  // Passable, as the embedded server's user lives in there; the keys folder below it is closed to others.
  mkdirSync(dataDir, { recursive: true, mode: 0o711 });
  return await localKeys({ folder: keysDir });
};

const asItIs = (feed: StreamFeed): StreamFeed => feed;

const poolOf = ({ poolSize }: Configuration, { url }: Database, patience: number | false): Pool =>
  connect({ url, max: poolSize, role: RUNTIME_ROLE, ...(patience && { patienceMs: patience }) });

/** Opens the ledger on a database that is prepared, and that stays the caller's to close unless told. */
export const wireLedger = async (
  configuration: Configuration,
  database: Database,
  { adopted, onCommit, serving = false }: WireOptions = {},
): Promise<WiredLedger> => {
  await using opening = new AsyncDisposableStack();
  opening.use(adopted);
  const keys = await openKeys(configuration);
  const patience = serving && configuration.storeSeconds * 1_000;
  const pool = poolOf(configuration, database, patience);
  opening.defer(() => pool.end());
  const storing = {
    signer: keys.signer,
    onCommit,
    maxQueuedFacts: configuration.queueFacts,
    maxQueuedBytes: configuration.queueMib * 2 ** 20,
    ...(patience && { retryForMs: patience }),
  };
  const opened = opening.use(await openDatabases(configuration, pool, storing));
  const { databases, together, movable } = opened;
  const store = throughGates(opened.store, () => performance.now());
  const sources = await sourceDigests(projectors);
  const open = opening.move();
  // A feed holds a connection from its first moment; most commands never ask for it.
  let feed: StreamFeed | undefined;
  const feedOf = (): StreamFeed => (feed ??= open.use(opened.feed()));
  let graph: Graph | undefined;
  const address = graphAddress(configuration);
  const graphOf = async (): Promise<Graph> => {
    // Loaded for whoever asks: its driver is a fifth of what a command reads at its start.
    const { connectGraph } = await import('#projectors/neo4j/connect.ts');
    return (graph ??= open.use(connectGraph(address as GraphAddress)));
  };
  return {
    store,
    pool,
    databases,
    together,
    keys,
    get feed() {
      return feedOf();
    },
    jwks: keys.jwks,
    verifyWhole: verifyOn(databases, store),
    replayFeed: replayOn({ databases, store, keys }),
    ...(movable.size > 1
      ? { shards: movable }
      : { importInBulk: bulkImport({ pool, store, keys, sources }) }),
    ...(address && { graph: graphOf }),
    lastUses: lastTokenUses(pool),
    settling: async () => {
      const { settling } = await import('./settling.ts');
      return settling(configuration, { pool, store, together });
    },
    ...folding({ pool, store, sources }, feedOf),
    work: workOf({ pool, store, sources, configuration, feed: opened.feed }),
    react: reactOf({ store, databases }, feedOf),
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
};

const folding = (
  { pool, store, sources }: Omit<WorkParts, 'configuration' | 'feed'>,
  feedOf: () => StreamFeed,
): Pick<WiredLedger, 'catchUp' | 'project' | 'projectFrom'> => {
  const sink = postgresRowSink({ pool, sources, skips: skipsIn(store) });
  const run = (options: Omit<RunOptions, 'sink' | 'projectors'>) =>
    runProjectors({ sink, projectors, ...options });
  return {
    catchUp: (signal) => run({ feed: feedOf(), signal, untilCaughtUp: true }),
    project: (signal, { around = asItIs, ...hooks } = {}) =>
      run({ ...hooks, feed: around(feedOf()), signal }),
    projectFrom: async (given, signal, { around = asItIs, ...hooks } = {}) => {
      await using feed = around(given(() => standing(sink, projectors)));
      await run({ ...hooks, feed, signal });
    },
  };
};

const reactOf =
  (
    { store, databases }: Pick<WiredLedger, 'store' | 'databases'>,
    feedOf: () => StreamFeed,
  ): WiredLedger['react'] =>
  (signal, { around = asItIs, ...hooks } = {}) =>
    runSagas({
      ...hooks,
      feed: around(feedOf()),
      shelf: postgresSagaShelf(databases),
      sagas: allSagas,
      dispatch: dispatcher(store),
      signal,
    });

interface WorkParts extends Pick<WiredLedger, 'store' | 'pool'> {
  readonly sources: SourceDigests;
  readonly configuration: Configuration;
  readonly feed: OpenDatabases['feed'];
}

const workOf =
  ({ pool, store, sources, configuration, feed }: WorkParts): WiredLedger['work'] =>
  (signal, { around = asItIs, ...hooks } = {}) =>
    runWorker({
      ...hooks,
      pool,
      sources,
      skips: skipsIn(store),
      projectors,
      signal,
      leaseMs: configuration.workerLeaseSeconds * 1_000,
      feedOf: (takes) => around(feed(takes)),
    });

/** With threads that connect for themselves. */
const verifyOn =
  (databases: LedgerDatabases, { ledgerId }: Pick<StreamStore, 'ledgerId'>) =>
  async (request: WholeChain): Promise<StoredChainResult | undefined> => {
    const { pool } = await databases.of(request.tenant);
    return await verifyStoredChain({ ...request, pool, url: urlOf(pool) ?? '', ledgerId });
  };

interface ReplayParts extends Pick<WiredLedger, 'databases' | 'store' | 'keys'> {}

/** With threads that connect for themselves, and so to one server. */
const replayOn =
  ({ databases, store, keys }: ReplayParts) =>
  async (request: LedgerReplay): Promise<ReplayFeed> => {
    const { home, all, of } = databases;
    const found = await Promise.all((request.tenants ?? []).map(of));
    const [{ pool } = home, ...others] = new Set(all.length === 1 ? [home] : found);
    if (others.length > 0 || (all.length > 1 && found.length === 0))
      throw new CliError(
        'usage',
        'several-servers',
        'a ledger on several servers is replayed tenant by tenant: say which with --tenant',
      );
    return await ledgerFeed({
      ...request,
      pool,
      url: urlOf(pool) ?? '',
      ledgerId: store.ledgerId,
      keys: keys.keys.map(({ publicJwk }) => publicJwk),
      skips: skipsIn(store),
    });
  };

interface BulkParts extends Pick<WiredLedger, 'store' | 'keys' | 'pool'> {
  readonly sources: SourceDigests;
}

/** Past the ports, and together with the read models: where facts and read models are in one database. */
const bulkImport =
  ({ pool, store: { ledgerId }, keys, sources }: BulkParts): BulkImport =>
  (options) =>
    importReceipts({ ...options, pool, ledgerId, signer: keys.signer, inline: projectors, sources });

/** As a command opens it: prepared, closed together with its database, and with errors a command line can end with. */
export const openLedger = async (
  configuration: Configuration,
  options: Omit<WireOptions, 'adopted'> = {},
): Promise<WiredLedger> => {
  try {
    await using opening = new AsyncDisposableStack();
    const database = opening.use(await openDatabase(configuration));
    await prepareDatabase(database);
    return await wireLedger(configuration, database, { ...options, adopted: opening.move() });
  } catch (error) {
    throw commandError(error);
  }
};

/** Failures of the rooms below the command line, as it says them. */
export const commandError = (error: unknown): unknown => {
  if (error instanceof EmbeddedPostgresError)
    return new CliError('unavailable', `embedded-${error.code.replaceAll('_', '-')}`, error.message, {
      cause: error,
    });
  if (error instanceof PartsFault)
    return new CliError('unavailable', `dev-${error.code}`, error.message, { cause: error });
  if (error instanceof TlsFileFault)
    return new CliError('unavailable', 'tls-files', error.message, { cause: error });
  if (error instanceof KeyFolderFault)
    return new CliError('unavailable', `keys-${error.code}`, error.message, { cause: error });
  return error;
};
