// prov-ledger gates ...: whether the write path of a route is open, and closing or opening it by hand.
import { randomUUID } from 'node:crypto';
import type { Command } from 'commander';
import { type GateCommand, gates } from '#commands/gates.ts';
import { runCommand } from '#commands/run.ts';
import type { TenantId } from '#schemas/ids.ts';
import { readGate } from '../tenancy/write-gate.ts';
import { aTenant, group, headOf, type LedgerContext, ledgerLeaf, type Options, type Run } from './command.ts';
import { CliError } from './exit.ts';
import { visible } from './output.ts';

interface OfTenant extends Options {
  readonly tenant: TenantId;
}

interface ByHand extends OfTenant {
  readonly reason: string;
  readonly by: string;
}

const tenantRequired = (command: Command): Command =>
  command.requiredOption('-t, --tenant <tenant>', 'whose write path it is', aTenant);

const byHand = (command: Command): Command =>
  tenantRequired(command)
    .requiredOption('--by <name>', 'who decides it; stands in the ledger for good')
    .requiredOption('--reason <text>', 'why; the same');

const show = (run: Run): Command =>
  ledgerLeaf<OfTenant>(
    run,
    {
      usage: 'show <route>',
      summary: 'whether the write path of a route is open, and why not',
      examples: ['gates show receipts --tenant acme'],
      build: tenantRequired,
    },
    async ({ ledger, output }, { tenant }, [route = '']) => {
      await headOf(ledger, tenant);
      const { epoch, closed, reason } = await readGate(ledger.store, tenant, route);
      const status = closed ? 'closed' : 'open';
      output.answer({ tenant, route, status, epoch, ...(closed && { reason }) }, () =>
        closed
          ? `the write path of ${route} is closed since epoch ${epoch}: ${visible(reason)}\n  -> docs/operations/drift.md leads back`
          : `the write path of ${route} is open, at epoch ${epoch}`,
      );
      return 'ok';
    },
  );

const close = (run: Run): Command =>
  ledgerLeaf<ByHand>(
    run,
    {
      usage: 'close <route>',
      summary: 'take the write path of a route back; only a person opens it again',
      examples: ['gates close receipts --tenant acme --by "Ada, on call" --reason "see ticket 4711"'],
      build: byHand,
    },
    async (context, options, [route = '']) => {
      await move(context, options, { type: 'RollBackWritePath', route, reason: options.reason });
      context.output.answer(
        { tenant: options.tenant, route, status: 'closed' },
        () => `the write path of ${route} is closed: what comes is refused until it is restored`,
      );
      return 'ok';
    },
  );

const restore = (run: Run): Command =>
  ledgerLeaf<ByHand>(
    run,
    {
      usage: 'restore <route>',
      summary: 'open the write path of a route without the proof that the drift saga waits for',
      examples: [
        'gates restore receipts --tenant acme --by "Ada, on call" --reason "the second store is retired"',
      ],
      build: byHand,
    },
    async (context, options, [route = '']) => {
      const { reason } = options;
      await move(context, options, { type: 'RestoreWritePath', route, reason, grounds: 'ordered' });
      context.output.answer(
        { tenant: options.tenant, route, status: 'open' },
        () => `the write path of ${route} is open again`,
      );
      return 'ok';
    },
  );

const move = async (
  { ledger, world }: LedgerContext,
  { tenant, by }: ByHand,
  command: GateCommand,
): Promise<void> => {
  await headOf(ledger, tenant);
  const outcome = await runCommand({ store: ledger.store, decider: gates }, command, {
    tenant,
    actor: by,
    at: world.clock(),
    key: randomUUID(),
  });
  if (outcome.kind !== 'refused') return;
  const { refusal, message } = outcome.refusal;
  if (refusal === 'Malformed') throw new CliError('usage', 'bad-arguments', message);
  throw new CliError(
    'refused',
    refusal === 'WritePathOpen' ? 'write-path-open' : 'write-path-closed',
    message,
  );
};

export const gateCommands = (run: Run): Command =>
  group('gates', 'write paths that drift, or somebody, has taken back', [
    show(run),
    close(run),
    restore(run),
  ]);
