// prov-ledger projections parked show|retry|skip: facts that a read model could not take, at which it has halted.
import type { Command } from 'commander';
import { projections } from '#commands/projections.ts';
import { runCommand } from '#commands/run.ts';
import { type ProjectionStatus, projectionStatus, resumeHalted } from '#projectors/postgres/status.ts';
import type { Seq, TenantId } from '#schemas/ids.ts';
import { tenantId } from '#schemas/ids.ts';
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
      const rows = await projectionStatus(ledger.databases, of === undefined ? undefined : tenantId(of));
      const parked = rows.flatMap(({ tenant, projection, version, fault }) =>
        fault ? [{ tenant, projection, version, ...fault }] : [],
      );
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
      const { fault } = await haltOf({ ledger }, name, tenant);
      await resumeHalted(ledger.pool, name, tenant);
      output.answer(
        { projection: name, tenant, seq: fault.seq, status: 'running' },
        () => `${name} of ${tenant} tries fact ${fault.seq} again; running services notice within seconds`,
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
      const { fault } = await haltOf({ ledger }, name, tenant);
      if (fault.seq !== seq)
        throw new CliError(
          'refused',
          'not-parked',
          `${name} of ${tenant} has halted at fact ${fault.seq}, not at ${seq}`,
        );
      const outcome = await runCommand(
        { store: ledger.store, decider: projections },
        { type: 'SkipFact', projection: name, seq, reason },
        {
          tenant,
          actor: 'prov-ledger projections parked skip',
          at: world.clock(),
          key: `skip ${name} ${seq}`,
        },
      );
      if (outcome.kind === 'refused' && outcome.refusal.refusal === 'Malformed')
        throw new CliError('usage', 'bad-reason', outcome.refusal.message);
      await resumeHalted(ledger.pool, name, tenant);
      output.answer(
        { projection: name, tenant, seq, status: 'skipped' },
        () => `${name} of ${tenant} passes over fact ${seq} and goes on`,
      );
      return 'ok';
    },
  );

type Halted = ProjectionStatus & { readonly fault: NonNullable<ProjectionStatus['fault']> };

const haltOf = async (
  { ledger }: Pick<LedgerContext, 'ledger'>,
  name: string,
  tenant: TenantId,
): Promise<Halted> => {
  const { name: projection } = projectorNamed(name);
  await headOf(ledger, tenant);
  const rows = await projectionStatus(ledger.databases, tenant);
  const halted = rows.find((row): row is Halted => row.projection === projection && row.fault !== undefined);
  if (halted) return halted;
  throw new CliError('refused', 'not-halted', `${projection} of ${tenant} has not halted at any fact`);
};

export const parkedCommands = (run: Run): Command =>
  group('parked', 'facts that a read model has halted at', [show(run), retry(run), skip(run)]);
