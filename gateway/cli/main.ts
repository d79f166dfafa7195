// prov-ledger: the command line. Everything it touches comes in through `World`; deploy/processes/cli.ts wires it.
import { Command, CommanderError } from 'commander';
import type { Run } from './command.ts';
import { commandsFor } from './commands.ts';
import { cliError, EXIT } from './exit.ts';
import { visible } from './output.ts';
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

/** The command line: the command that `argv` names, and all of them, as the documents have them, where it names none. */
export const program = async (run: Run, argv: readonly string[] = []): Promise<Command> => {
  const root = new Command('prov-ledger')
    .description(
      'an event-sourced provenance ledger: signed, hash-chained facts, and receipts anyone can verify offline',
    )
    .version(run.world.version)
    .option('--json', 'answer in JSON, for scripts')
    .addHelpText('after', EPILOGUE)
    .enablePositionalOptions(false);
  for (const command of await commandsFor(run, argv)) root.addCommand(command);
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
    await (await program(run, world.argv)).parseAsync([...world.argv], { from: 'user' });
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
