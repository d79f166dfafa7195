// The commands of the line, and where each lives. One that is asked for is loaded alone: what a start costs is the modules
// it reads, and all commands together read a thousand.
import type { Command } from 'commander';
import type { Run } from './command.ts';

type Made = (run: Run) => Command;

const COMMANDS: { readonly [name: string]: () => Promise<Made> } = {
  serve: async () => (await import('./operations.ts')).serveCommand,
  'projector-worker': async () => (await import('./operations.ts')).projectorWorkerCommand,
  'kafka-ingest': async () => (await import('./kafka-ingest.ts')).kafkaIngestCommand,
  'kafka-relay': async () => (await import('./relay.ts')).kafkaRelayCommand,
  migrate: async () => (await import('./operations.ts')).migrateCommand,
  tenant: async () => (await import('./tenants.ts')).tenantCommands,
  token: async () => (await import('./tenants.ts')).tokenCommands,
  operator: async () => (await import('./operators.ts')).operatorCommands,
  ingest: async () => (await import('./ingest.ts')).ingestCommand,
  receipt: async () => (await import('./chain.ts')).receiptCommands,
  head: async () => (await import('./chain.ts')).headCommand,
  tail: async () => (await import('./chain.ts')).tailCommand,
  verify: async () => (await import('./verify.ts')).verifyCommands,
  export: async () => (await import('./export.ts')).exportCommand,
  fixtures: async () => (await import('./fixtures.ts')).fixtureCommands,
  replay: async () => (await import('./replay.ts')).replayCommand,
  status: async () => (await import('./operations.ts')).statusCommand,
  projections: async () => (await import('./projections.ts')).projectionCommands,
  graph: async () => (await import('./graph.ts')).graphCommands,
  attest: async () => (await import('./attest.ts')).attestCommands,
  coverage: async () => (await import('./coverage.ts')).coverageCommands,
  sagas: async () => (await import('./sagas.ts')).sagaCommands,
  gates: async () => (await import('./gates.ts')).gateCommands,
  flags: async () => (await import('./flags.ts')).flagCommands,
  ramps: async () => (await import('./ramps.ts')).rampCommands,
  views: async () => (await import('./views.ts')).viewCommands,
  sql: async () => (await import('./operations.ts')).sqlCommand,
  analyst: async () => (await import('./analysts.ts')).analystCommands,
  doctor: async () => (await import('./operations.ts')).doctorCommand,
  backup: async () => (await import('./backup.ts')).backupCommand,
  restore: async () => (await import('./backup.ts')).restoreCommand,
  copy: async () => (await import('./copy.ts')).copyCommand,
  heads: async () => (await import('./heads.ts')).headsCommands,
  dlq: async () => (await import('./letters.ts')).letterCommands,
  topics: async () => (await import('./topics.ts')).topicCommands,
  schemas: async () => (await import('./schemas.ts')).schemaCommands,
  dev: async () => (await import('./dev.ts')).devCommands,
  keys: async () => (await import('./operations.ts')).keyCommands,
  config: async () => (await import('./operations.ts')).configCommand,
};

/** The one that the line names, and all of them where it names none, as for help. */
export const commandsFor = async (run: Run, argv: readonly string[]): Promise<readonly Command[]> => {
  const [name = ''] = argv.filter((word) => word !== '--json');
  const one = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  const made = await Promise.all((one ? [one] : Object.values(COMMANDS)).map((load) => load()));
  return made.map((make) => make(run));
};
