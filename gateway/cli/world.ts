// What a command may touch. deploy/processes wires it; no command reads the environment, opens a socket or a
// database by itself.
import type { Readable } from 'node:stream';
import type { Graph } from '#projectors/neo4j/connect.ts';
import type { LocalKeys } from '#proofs/keys/local.ts';
import type { KeySet } from '#proofs/keys/public-key.ts';
import type { Signer } from '#proofs/keys/signer.ts';
import type { ReplayFeed } from '#replay-harness/feed.ts';
import type { LedgerFeedOptions } from '#replay-harness/ledger-feed.ts';
import type { Instant, Seq, TenantId } from '#schemas/ids.ts';
import type { Copied, CopyProgress } from '#streams/copy.ts';
import type { TopicsAdmin } from '#streams/kafka/admin.ts';
import type { WireSchemas } from '#streams/kafka/registry.ts';
import type { BackupManifest } from '#streams/postgres/backup/archive.ts';
import type { Pool } from '#streams/postgres/connect.ts';
import type { LedgerDatabases } from '#streams/postgres/databases.ts';
import type { Migration } from '#streams/postgres/migrate.ts';
import type { LastUses } from '#streams/postgres/token-uses.ts';
import type { SettleOptions } from '#streams/postgres/transport/settle.ts';
import type { StoredChainRequest, StoredChainResult } from '#streams/postgres/verify/chain.ts';
import type { StreamFeed, StreamStore } from '#streams/stream.ts';
import type { AskSeries } from '../flags/prometheus.ts';
import type { BulkImport } from '../ingest/bulk-progress.ts';
import type { MovableShard } from '../tenancy/move.ts';

/** Where text goes. */
export interface Terminal {
  readonly write: (text: string) => unknown;
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
}

export type WholeChain = Pick<StoredChainRequest, 'tenant' | 'keys' | 'signal' | 'onProgress'>;

export type LedgerReplay = Pick<LedgerFeedOptions, 'tenants' | 'events'>;

/** A ledger made for one replay, gone with it. */
export interface ScratchLedger extends OpenLedger {
  readonly signer: Signer;
}

/** An open ledger; disposing closes everything, and stops the embedded server if this process started it. */
export interface OpenLedger extends AsyncDisposable {
  readonly store: StreamStore;
  readonly feed: StreamFeed;
  /** Connections of the runtime role to the home, which has the read models. */
  readonly pool: Pool;
  readonly databases: LedgerDatabases;
  readonly jwks: () => KeySet;
  /** The quick way in for whole files, where the store has one. */
  readonly importInBulk?: BulkImport;
  /** The quick way through a whole chain, with several threads, where the store has one; `undefined` without such a tenant. */
  readonly verifyWhole?: (request: WholeChain) => Promise<StoredChainResult | undefined>;
  /** All of the ledger, or some tenants of it, as a replay reads it; where the store has a way for several threads. */
  readonly replayFeed?: (request: LedgerReplay) => Promise<ReplayFeed>;
  /** The graph beside the tables, where one is configured. */
  readonly graph?: () => Promise<Graph>;
  /** How messages that could not be taken are taken after all. Throws `CliError` without a registry of schemas. */
  readonly settling?: () => Promise<SettleOptions>;
  /** The stores of a ledger on several servers, by name; absent where it is on one. */
  readonly shards?: ReadonlyMap<string, MovableShard>;
  /** When a tenant's tokens were last used, where the store knows. */
  readonly lastUses?: LastUses;
  /** Folds what the read models have not seen yet, and returns when they have. */
  readonly catchUp: (signal: AbortSignal) => Promise<void>;
}

export interface Setting {
  readonly name: string;
  /** Secrets are masked. */
  readonly value: string;
  readonly source: 'environment' | 'default';
  readonly description: string;
}

export interface ServeOptions {
  readonly host?: string | undefined;
  readonly port?: number | undefined;
  /** Answer HTTP only; another process keeps the read models. */
  readonly withoutProjectors?: boolean | undefined;
}

export interface RunningService {
  readonly url: string;
  /** Where figures and health are asked for. */
  readonly operatorsUrl: string;
  /** Settles when the service has ended by itself, which is a failure. */
  readonly failed: Promise<unknown>;
  /** Stops taking requests, finishes those under way, closes everything. */
  readonly drain: () => Promise<void>;
}

/** A process of one role that answers operators only. */
export type RunningWorker = Omit<RunningService, 'url'>;

/** One thing that `doctor` looked at. */
export interface Finding {
  readonly check: string;
  readonly state: 'ok' | 'warning' | 'failed';
  readonly detail: string;
  /** What to do; absent when nothing needs doing. */
  readonly remedy?: string;
}

export interface BackupRequest {
  readonly folder: string;
  readonly onBytes: (bytes: number) => void;
}

/** One database of a ledger, in the folder that has it whole. */
export interface SavedDatabase {
  readonly folder: string;
  readonly manifest: BackupManifest;
}

export interface BringRequest {
  /** The topics of the configured cluster, or files that `prov-ledger export` made. */
  readonly from: 'kafka' | readonly string[];
  /** Those that are trusted. */
  readonly keys: KeySet;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: { readonly facts: number; readonly share?: number | undefined }) => void;
}

export interface CopyRequest {
  /** `postgres`: the configured database; `eventstore`: that of EVENTSTORE_URL; or an address. */
  readonly from: string;
  readonly to: string;
  /** Those that are trusted. */
  readonly keys: KeySet;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: CopyProgress) => void;
}

export interface BroughtLedger {
  readonly source: string;
  readonly ledgerId: string;
  /** An earlier run from the same source had begun it. */
  readonly resumed: boolean;
  /** Stored by this run. */
  readonly facts: number;
  /** Messages that came twice, or were stored by an earlier run. */
  readonly repeated: number;
  /** Facts whose signature was never sent; they are not restored. */
  readonly unsigned: readonly { readonly tenant: TenantId; readonly from: Seq; readonly to: Seq }[];
}

/** The registry of schemas, as commands ask it: only for what it has, never for what is known of it while it is away. */
export interface Registry {
  readonly url: string;
  readonly schemas: Pick<WireSchemas, 'idOf' | 'publish'>;
  /** Where its ids are noted. */
  readonly idsFile: string;
}

export interface DevKafkaRequest {
  readonly kafkaPort?: number | undefined;
  readonly registryPort?: number | undefined;
  readonly dir?: string | undefined;
}

export interface DevKafka extends AsyncDisposable {
  readonly broker: string;
  readonly registryUrl: string;
}

/** What another run of the program came to. */
export interface RanAgain {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface World {
  readonly argv: readonly string[];
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: Terminal;
  readonly stderr: Terminal;
  /** Aborts at the first ctrl-C or SIGTERM. */
  readonly signal: AbortSignal;
  readonly clock: () => Instant;
  readonly version: string;
  /** Where ingest keeps how far it has come. */
  readonly resumptionFolder: () => string;
  readonly settings: () => readonly Setting[];
  /** Throws `CliError`: `schema-mismatch` when the database needs `migrate`. */
  readonly open: () => Promise<OpenLedger>;
  readonly migrate: () => Promise<readonly Migration[]>;
  readonly keys: () => Promise<LocalKeys>;
  /** An empty ledger on a PostgreSQL of its own, in a folder that goes when it is disposed. */
  readonly scratch: () => Promise<ScratchLedger>;
  /** Runs the program itself, in a process of its own whose environment has these variables beside its own. */
  readonly again: (
    args: readonly string[],
    environment: { readonly [name: string]: string },
  ) => Promise<RanAgain>;
  readonly serve: (options: ServeOptions) => Promise<RunningService>;
  /** Takes messages; a broker that does not answer is waited for. Throws `CliError` when none is configured. */
  readonly kafkaIngest: () => Promise<RunningWorker>;
  /** The topics of the configured cluster. Throws `CliError` when none is named, and `KafkaError`. */
  readonly topics: () => Promise<TopicsAdmin>;
  /** Throws `CliError` when none is named. */
  readonly registry: () => Promise<Registry>;
  /** The configured Prometheus. Throws `CliError` when none is named. */
  readonly series: () => AskSeries;
  /** Starts a broker and a registry of this machine's own; resolves when both answer. */
  readonly devKafka: (request: DevKafkaRequest) => Promise<DevKafka>;
  /** What a module exports that the user names by its file; running it is the user's word. Throws `CliError`. */
  readonly exportsOf: (file: string) => Promise<readonly unknown[]>;
  readonly projectorWorker: () => Promise<RunningWorker>;
  /** Throws `CliError` when no cluster or no registry is named. */
  readonly kafkaRelay: () => Promise<RunningWorker>;
  readonly examine: () => AsyncIterable<Finding>;
  /** Each database of the ledger, the home first. Throws `BackupError`, as does `restore`. */
  readonly backup: (request: BackupRequest) => Promise<readonly SavedDatabase[]>;
  /** Into databases without a ledger; what is in them then has not been proved yet. */
  readonly restore: (request: Pick<BackupRequest, 'folder'>) => Promise<readonly SavedDatabase[]>;
  /** Into a database without a ledger; all of it is proved when this resolves, and nothing of it is seen before.
   * Nothing when the signal came. Throws `CarryError`, and what the source throws. */
  readonly bring: (request: BringRequest) => Promise<BroughtLedger | undefined>;
  /** Nothing when the signal came. Throws `CarryError`, `StreamError`, `CliError` for an address that is none. */
  readonly copy: (request: CopyRequest) => Promise<Copied | undefined>;
}
