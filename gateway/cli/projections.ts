// prov-ledger projections ...: how far the read models are, and letting one that has halted try again.
import type { Command } from 'commander';
import { type ProjectionStatus, projectionStatus, resumeHalted } from '#projectors/postgres/status.ts';
import { type TenantId, tenantId } from '#schemas/ids.ts';
import { aTenant, group, headOf, ledgerLeaf, type Options, type Run } from './command.ts';
import { CliError } from './exit.ts';
import { count, figure, table, visible } from './output.ts';

const status = (run: Run): Command =>
  ledgerLeaf(
    run,
    {
      usage: 'status [tenant]',
      summary: 'how far each read model is with a tenant, or with all, and why one has halted',
      examples: ['projections status', 'projections status acme --json'],
    },
    async ({ ledger, output }, _, [of]) => {
      const rows = await projectionStatus(ledger.pool, of === undefined ? undefined : tenantId(of));
      output.answer({ projections: rows }, () => statusText(rows));
      return 'ok';
    },
  );

const statusText = (rows: readonly ProjectionStatus[]): string => {
  if (rows.length === 0) return 'no tenants yet; make one with `prov-ledger tenant create NAME`';
  const lines = rows.map((row) => [
    row.tenant,
    `${row.projection} v${row.version}`,
    row.state,
    figure(row.asOfSeq),
    count(row.lagFacts, 'fact'),
  ]);
  const halts = rows.flatMap(({ tenant, projection, fault }) =>
    fault
      ? [
          `${projection} of ${tenant} halted at fact ${fault.seq}: ${visible(fault.message)}`,
          `  -> put the cause right, then run \`${resumeLine(projection, tenant)}\``,
        ]
      : [],
  );
  return [table(['TENANT', 'READ MODEL', 'STATE', 'AS OF', 'BEHIND'], lines), ...halts].join('\n');
};

/** What an operator runs when the cause of a halt was put right. */
export const resumeLine = (projection: string, tenant: TenantId): string =>
  `prov-ledger projections resume ${projection} --tenant ${tenant}`;

const resume = (run: Run): Command =>
  ledgerLeaf<{ readonly tenant: TenantId } & Options>(
    run,
    {
      usage: 'resume <name>',
      summary: 'let a halted read model try the same fact again; none is ever skipped',
      examples: ['projections resume receipts_daily --tenant acme'],
      build: (command) =>
        command.requiredOption('-t, --tenant <tenant>', 'the tenant it has halted for', aTenant),
    },
    async ({ ledger, output }, { tenant }, [name = '']) => {
      await headOf(ledger, tenant);
      const resumed = await resumeHalted(ledger.pool, name, tenant);
      if (!resumed) throw notHalted(await projectionStatus(ledger.pool, tenant), name, tenant);
      output.answer(
        { projection: name, tenant, status: 'running' },
        () => `${name} of ${tenant} tries again; running services notice within seconds`,
      );
      return 'ok';
    },
  );

const notHalted = (rows: readonly ProjectionStatus[], name: string, tenant: TenantId): CliError => {
  const found = rows.find(({ projection }) => projection === name);
  return found
    ? new CliError(
        'refused',
        'not-halted',
        `${name} of ${tenant} has not halted: it is ${found.state}, as of fact ${found.asOfSeq}`,
      )
    : new CliError(
        'refused',
        'no-such-projection',
        `there is no read model ${name}; there are ${[...new Set(rows.map(({ projection }) => projection))].join(', ')}`,
      );
};

export const projectionCommands = (run: Run): Command =>
  group('projections', 'the read models', [status(run), resume(run)]);
