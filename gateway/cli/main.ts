// prov-ledger: the command line. Everything it touches comes in through `World`; deploy/processes/cli.ts wires it.
import { Command, CommanderError } from 'commander';
import { analystCommands } from './analysts.ts';
import { attestCommands } from './attest.ts';
import { backupCommand, restoreCommand } from './backup.ts';
import { headCommand, receiptCommands, tailCommand } from './chain.ts';
import type { Run } from './command.ts';
import { copyCommand } from './copy.ts';
import { coverageCommands } from './coverage.ts';
import { devCommands } from './dev.ts';
import { cliError, EXIT } from './exit.ts';
import { exportCommand } from './export.ts';
import { fixtureCommands } from './fixtures.ts';
import { flagCommands } from './flags.ts';
import { gateCommands } from './gates.ts';
import { graphCommands } from './graph.ts';
import { headsCommands } from './heads.ts';
import { ingestCommand } from './ingest.ts';
import { kafkaIngestCommand } from './kafka-ingest.ts';
import { letterCommands } from './letters.ts';
import {
  configCommand,
  doctorCommand,
  keyCommands,
  migrateCommand,
  projectorWorkerCommand,
  serveCommand,
  sqlCommand,
  statusCommand,
} from './operations.ts';
import { operatorCommands } from './operators.ts';
import { visible } from './output.ts';
import { projectionCommands } from './projections.ts';
import { rampCommands } from './ramps.ts';
import { kafkaRelayCommand } from './relay.ts';
import { replayCommand } from './replay.ts';
import { sagaCommands } from './sagas.ts';
import { schemaCommands } from './schemas.ts';
import { tenantCommands, tokenCommands } from './tenants.ts';
import { topicCommands } from './topics.ts';
import { verifyCommands } from './verify.ts';
import { viewCommands } from './views.ts';
import type { World } from './world.ts';

const EPILOGUE = `
Exit codes:
  0    done
  1    the ledger refused, a verification failed, or lines did not go in
  2    the command line or the configuration is wrong; nothing was done
  3    the store or a file cannot be reached, or rights are missing
  4    a fault of the program, or of what is stored
  130  ended by ctrl-C; what was acknowledged stays

Examples:
  prov-ledger tenant create acme
  prov-ledger ingest receipts.ndjson.gz --tenant acme
  prov-ledger verify tenant acme
  prov-ledger receipt get 01J9Z3 --tenant acme --out receipt.json
  prov-ledger keys list --json > jwks.json
  prov-ledger verify receipt receipt.json --jwks jwks.json`;

const commandsOf = (run: Run): readonly Command[] => [
  serveCommand(run),
  projectorWorkerCommand(run),
  kafkaIngestCommand(run),
  kafkaRelayCommand(run),
  migrateCommand(run),
  tenantCommands(run),
  tokenCommands(run),
  operatorCommands(run),
  ingestCommand(run),
  receiptCommands(run),
  headCommand(run),
  tailCommand(run),
  verifyCommands(run),
  exportCommand(run),
  fixtureCommands(run),
  replayCommand(run),
  statusCommand(run),
  projectionCommands(run),
  graphCommands(run),
  attestCommands(run),
  coverageCommands(run),
  sagaCommands(run),
  gateCommands(run),
  flagCommands(run),
  rampCommands(run),
  viewCommands(run),
  sqlCommand(run),
  analystCommands(run),
  doctorCommand(run),
  backupCommand(run),
  restoreCommand(run),
  copyCommand(run),
  headsCommands(run),
  letterCommands(run),
  topicCommands(run),
  schemaCommands(run),
  devCommands(run),
  keyCommands(run),
  configCommand(run),
];

/** The whole command line, for the program and for its documents. */
export const program = (run: Run): Command => {
  const root = new Command('prov-ledger')
    .description(
      'an event-sourced provenance ledger: signed, hash-chained facts, and receipts anyone can verify offline',
    )
    .version(run.world.version)
    .option('--json', 'answer in JSON, for scripts')
    .addHelpText('after', EPILOGUE)
    .enablePositionalOptions(false);
  for (const command of commandsOf(run)) root.addCommand(command);
  each(root, (command) => {
    command.exitOverride().configureOutput({
      writeOut: (text) => void run.world.stdout.write(text),
      writeErr: (text) => void run.world.stderr.write(text),
      outputError: (text, write) => write(text.replace(/^error: /, 'prov-ledger: ')),
      getOutHelpWidth: () => run.world.stdout.columns ?? 100,
    });
    if (command !== root) command.helpCommand(false);
  });
  return root;
};

const each = (command: Command, visit: (command: Command) => void): void => {
  visit(command);
  for (const child of command.commands) each(child, visit);
};

/** Runs one command line; the promise settles with the exit code and never rejects. */
export const runCli = async (world: World): Promise<number> => {
  const run: Run = { world, ending: undefined };
  try {
    await program(run).parseAsync([...world.argv], { from: 'user' });
    return EXIT[run.ending ?? 'ok'];
  } catch (error) {
    // commander has said already what it had to say.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    return failed(world, error);
  }
};

const failed = ({ argv, stdout, stderr, signal }: World, error: unknown): number => {
  if (signal.aborted && (error as Error).name === 'AbortError') return EXIT.interrupted;
  const { code, message, exit, cause } = cliError(error);
  stderr.write(`prov-ledger: ${visible(message)}\n`);
  if (exit === 'internal' && code === 'internal' && cause instanceof Error)
    stderr.write(`${cause.stack ?? ''}\n`);
  if (argv.includes('--json')) stdout.write(`${JSON.stringify({ ok: false, error: { code, message } })}\n`);
  return EXIT[exit];
};
