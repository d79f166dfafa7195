// prov-ledger gates ...: whether the write path of a route is open, and closing or opening it by hand.
import type { Command } from 'commander';
import { type GateCommand, type GateRefusal, gates } from '#commands/gates.ts';
import { readGate } from '../tenancy/write-gate.ts';
import { type ByHand, decidedBy, type OfTenant, ofTenant, sendByHand } from './by-hand.ts';
import { group, headOf, type LedgerContext, ledgerLeaf, type Run } from './command.ts';
import { visible } from './output.ts';

const tenantRequired = ofTenant('whose write path it is');

const byHand = decidedBy(tenantRequired);

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

const move = (context: LedgerContext, who: ByHand, command: GateCommand): Promise<void> =>
  sendByHand(context, who, { decider: gates, command, codes: CODES });

const CODES: { readonly [name in GateRefusal['refusal']]: string } = {
  WritePathAlreadyClosed: 'write-path-closed',
  WritePathOpen: 'write-path-open',
  WritePathMovedOn: 'write-path-closed',
};

export const gateCommands = (run: Run): Command =>
  group('gates', 'write paths that drift, or somebody, has taken back', [
    show(run),
    close(run),
    restore(run),
  ]);
