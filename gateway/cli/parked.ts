// prov-ledger projections parked show|retry|skip: facts that a read model could not take, at which it has halted.
import type { Command } from 'commander';
import { type ParkedFact, parkedFacts, resumeHalted } from '#projectors/postgres/status.ts';
import { type Seq, type TenantId, tenantId } from '#schemas/ids.ts';
import { skipParked } from '../projections/parked.ts';
import { type OfTenant, ofTenant } from './by-hand.ts';
import { aSeq, group, headOf, type LedgerContext, ledgerLeaf, type Run } from './command.ts';
import { CliError } from './exit.ts';
import { figure, table, visible } from './output.ts';
import { projectorNamed } from './rebuild.ts';

const show = (run: Run): Command =>
  ledgerLeaf(
    run,
    {
      usage: 'show [tenant]',
      summary: 'the facts that read models have halted at, and why',
      examples: ['projections parked show', 'projections parked show acme --json'],
    },
    async ({ ledger, output }, _, [of]) => {
      const parked = await parkedFacts(ledger.pool, { tenant: of === undefined ? undefined : tenantId(of) });
      output.answer({ parked }, () =>
        parked.length === 0
          ? 'no read model has halted'
          : table(
              ['TENANT', 'READ MODEL', 'FACT', 'WHY'],
              parked.map((row) => [row.tenant, row.projection, figure(row.seq), visible(row.message)]),
            ),
      );
      return 'ok';
    },
  );

const tenantRequired = ofTenant('the tenant it has halted for');

const retry = (run: Run): Command =>
  ledgerLeaf<OfTenant>(
    run,
    {
      usage: 'retry <name>',
      summary: 'let it try the same fact again, when the cause was put right',
      examples: ['projections parked retry receipts_daily --tenant acme'],
      build: tenantRequired,
    },
    async ({ ledger, output }, { tenant }, [name = '']) => {
      const { seq } = await haltOf({ ledger }, name, tenant);
      await resumeHalted(ledger.pool, name, tenant);
      output.answer(
        { projection: name, tenant, seq, status: 'running' },
        () => `${name} of ${tenant} tries fact ${seq} again; running services notice within seconds`,
      );
      return 'ok';
    },
  );

const skip = (run: Run): Command =>
  ledgerLeaf<OfTenant & { readonly seq: Seq; readonly reason: string }>(
    run,
    {
      usage: 'skip <name>',
      summary: 'pass over a fact, now and in every rebuild; the reason is recorded in the ledger',
      examples: ['projections parked skip receipts_daily --tenant acme --seq 7 --reason "see ticket 4711"'],
      build: (command) =>
        tenantRequired(command)
          .requiredOption('--seq <seq>', 'the fact, so that no other one is passed over', aSeq)
          .requiredOption('--reason <text>', 'why; it stands in the ledger for good'),
    },
    async ({ ledger, output, world }, { tenant, seq, reason }, [name = '']) => {
      const { name: projection } = projectorNamed(name);
      await headOf(ledger, tenant);
      const skipped = await skipParked(
        { pool: ledger.pool, store: ledger.store, clock: world.clock },
        { projection, tenant, seq, reason, actor: 'prov-ledger projections parked skip' },
      );
      if (skipped.kind === 'not-halted') throw notHalted(projection, tenant);
      if (skipped.kind === 'halted-elsewhere')
        throw new CliError(
          'refused',
          'not-parked',
          `${name} of ${tenant} has halted at fact ${skipped.at}, not at ${seq}`,
        );
      if (skipped.kind === 'malformed') throw new CliError('usage', 'bad-reason', skipped.message);
      output.answer(
        { projection: name, tenant, seq, status: 'skipped' },
        () => `${name} of ${tenant} passes over fact ${seq} and goes on`,
      );
      return 'ok';
    },
  );

const haltOf = async (
  { ledger }: Pick<LedgerContext, 'ledger'>,
  name: string,
  tenant: TenantId,
): Promise<ParkedFact> => {
  const { name: projection } = projectorNamed(name);
  await headOf(ledger, tenant);
  const [parked] = await parkedFacts(ledger.pool, { projection, tenant });
  if (parked) return parked;
  throw notHalted(projection, tenant);
};

const notHalted = (projection: string, tenant: TenantId): CliError =>
  new CliError('refused', 'not-halted', `${projection} of ${tenant} has not halted at any fact`);

export const parkedCommands = (run: Run): Command =>
  group('parked', 'facts that a read model has halted at', [show(run), retry(run), skip(run)]);
