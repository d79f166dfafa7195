// How every command of the line is made: parsed by commander, run with its output, and, where it needs one, an open
// ledger that is closed whatever happens.
import { Command, InvalidArgumentError } from 'commander';
import { instant, type Seq, seq, type TenantId, tenantId } from '#schemas/ids.ts';
import { CliError, type Exit } from './exit.ts';
import { type Output, outputTo } from './output.ts';
import type { OpenLedger, World } from './world.ts';

export interface CommandContext {
  readonly world: World;
  readonly output: Output;
}

export interface LedgerContext extends CommandContext {
  readonly ledger: OpenLedger;
}

/** What a command's action hands back; nothing means `ok`. */
export type Ending = Exit | undefined;

/** Where the running command leaves how it ended. */
export interface Run {
  readonly world: World;
  ending: Ending;
}

export type Options = { readonly [name: string]: unknown };

interface Leaf {
  /** Name and arguments, in commander's form. */
  readonly usage: string;
  readonly summary: string;
  readonly examples: readonly string[];
  readonly build?: (command: Command) => Command;
}

/** A command that needs no ledger. */
export const leaf = <O extends Options>(
  run: Run,
  { usage, summary, examples, build }: Leaf,
  action: (context: CommandContext, options: O, args: readonly string[]) => Promise<Ending>,
): Command => {
  const command = new Command(usage.split(' ')[0])
    .description(summary)
    .option('--json', 'answer in JSON, for scripts');
  for (const argument of usage.split(' ').slice(1)) command.argument(argument);
  build?.(command);
  command.addHelpText(
    'after',
    `\nExamples:\n${examples.map((example) => `  prov-ledger ${example}`).join('\n')}`,
  );
  return command.action(async (...given: unknown[]) => {
    const self = given.at(-1) as Command;
    const options = self.optsWithGlobals() as O & { readonly json?: boolean };
    const output = outputTo(run.world, options.json === true);
    run.ending = await action({ world: run.world, output }, options, self.args);
  });
};

/** A command on an open ledger. */
export const ledgerLeaf = <O extends Options>(
  run: Run,
  about: Leaf,
  action: (context: LedgerContext, options: O, args: readonly string[]) => Promise<Ending>,
): Command =>
  leaf<O>(run, about, async (context, options, args) => {
    await using ledger = await context.world.open();
    return await action({ ...context, ledger }, options, args);
  });

export const group = (name: string, summary: string, leaves: readonly Command[]): Command => {
  const command = new Command(name).description(summary);
  for (const each of leaves) command.addCommand(each);
  return command;
};

// --- what arguments mean

/** What a parser throws becomes commander's answer to the argument. */
export const parsedBy =
  <T>(parse: (raw: string) => T) =>
  (raw: string): T => {
    try {
      return parse(raw);
    } catch (error) {
      throw new InvalidArgumentError((error as Error).message);
    }
  };

export const aTenant = parsedBy(tenantId);

export const aSeq = parsedBy((raw: string): Seq => {
  if (!/^\d{1,16}$/.test(raw) || Number(raw) === 0) throw new Error('use a whole number from 1');
  return seq(Number(raw));
});

export const aMoment = parsedBy((raw: string): string => {
  instant(raw);
  return raw;
});

export const aCount = (most: number) =>
  parsedBy((raw: string): number => {
    if (!/^\d{1,9}$/.test(raw) || Number(raw) < 1 || Number(raw) > most)
      throw new Error(`use a whole number from 1 to ${most}`);
    return Number(raw);
  });

export const aPort = parsedBy((raw: string): number => {
  if (!/^\d{1,5}$/.test(raw) || Number(raw) > 65_535)
    throw new Error('use a number from 0 to 65535; 0 takes any free port');
  return Number(raw);
});

export const tenantArgument = (args: readonly string[]): TenantId => tenantId(args[0] ?? '');

/** The tenant's head, or the error that there is none. */
export const headOf = async ({ store }: OpenLedger, tenant: TenantId) => {
  const head = await store.head(tenant);
  if (head) return head;
  const names = (await store.heads()).slice(0, 5).map((each) => each.tenant);
  const there = names.length > 0 ? `there are ${names.join(', ')}` : 'there are none yet';
  throw new CliError(
    'refused',
    'no-such-tenant',
    `there is no tenant ${tenant}; ${there}; make one with \`prov-ledger tenant create ${tenant}\``,
  );
};
