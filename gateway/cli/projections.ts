// prov-ledger projections ...: how far the read models are, and letting one that has halted try again.
import type { Command } from 'commander';
import { projectors } from '#projectors/index.ts';
import { projectionLag } from '#projectors/postgres/lag.ts';
import { sourceDigests } from '#projectors/postgres/source.ts';
import {
  listBuilds,
  type ProjectionStatus,
  pauseReadModel,
  projectionStatus,
  resumeHalted,
  resumeReadModel,
} from '#projectors/postgres/status.ts';
import { type TenantId, tenantId } from '#schemas/ids.ts';
import { aTenant, group, headOf, ledgerLeaf, type Options, type Run } from './command.ts';
import { diffCommand } from './diff.ts';
import { CliError } from './exit.ts';
import { count, figure, table, visible } from './output.ts';
import { parkedCommands } from './parked.ts';
import {
  dropOldCommand,
  projectorNamed,
  rebuildCommand,
  rollbackCommand,
  verifyReadModelCommand,
} from './rebuild.ts';

const status = (run: Run): Command =>
  ledgerLeaf(
    run,
    {
      usage: 'status [tenant]',
      summary: 'how far each read model is with a tenant, or with all, and why one has halted',
      examples: ['projections status', 'projections status acme --json'],
    },
    async ({ ledger, output }, _, [of]) => {
      const rows = await projectionStatus(ledger.databases, of === undefined ? undefined : tenantId(of));
      output.answer({ projections: rows }, () => statusText(rows));
      return 'ok';
    },
  );

const list = (run: Run): Command =>
  ledgerLeaf(
    run,
    {
      usage: 'list',
      summary: 'the read models: versions, tables, and which are shown, paused or made by another source',
      examples: ['projections list', 'projections list --json'],
    },
    async ({ ledger, output }) => {
      const builds = await listBuilds(ledger.pool, await sourceDigests(projectors));
      output.answer({ builds }, () =>
        table(
          ['READ MODEL', 'BUILD', 'STATE', 'SHOWN', ''],
          builds.map((each) => [
            `${each.projection} v${each.version}`,
            each.build,
            each.state,
            each.shown ? 'yes' : 'no',
            visible(
              [
                ...(each.pauseReason === undefined ? [] : [`paused: ${each.pauseReason}`]),
                ...(each.madeByOther ? ['made by another source: rebuild it'] : []),
              ].join('; '),
            ),
          ]),
        ),
      );
      return 'ok';
    },
  );

const lag = (run: Run): Command =>
  ledgerLeaf(
    run,
    {
      usage: 'lag',
      summary: 'how far each read model is behind, over all tenants',
      examples: ['projections lag', 'projections lag --json'],
    },
    async ({ ledger, output }) => {
      const rows = await projectionLag(ledger.databases, projectors);
      output.answer({ lag: rows }, () =>
        table(
          ['READ MODEL', 'TAKEN', 'BEHIND', 'OLDEST', 'HALTED'],
          rows.map((row) => [
            row.projection,
            count(row.takenFacts, 'fact'),
            count(row.lagFacts, 'fact'),
            `${row.lagSecondsMax.toFixed(1)} s`,
            count(row.haltedTenants, 'tenant'),
          ]),
        ),
      );
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

const pause = (run: Run): Command =>
  ledgerLeaf<{ readonly reason: string } & Options>(
    run,
    {
      usage: 'pause <name>',
      summary: 'let nobody take a read model further until it is resumed; it can be asked meanwhile',
      examples: ['projections pause receipts_daily --reason "the disk is full"'],
      build: (command) => command.requiredOption('--reason <text>', 'why, for whoever finds it paused'),
    },
    async ({ ledger, output }, { reason }, [name = '']) => {
      const paused = await pauseReadModel(ledger.pool, projectorNamed(name).name, reason);
      output.answer({ projection: name, status: 'paused' }, () =>
        paused ? `${name} is paused, with every tenant` : `${name} was paused before`,
      );
      return 'ok';
    },
  );

const resume = (run: Run): Command =>
  ledgerLeaf<{ readonly tenant?: TenantId } & Options>(
    run,
    {
      usage: 'resume <name>',
      summary:
        'let a paused read model go on; with a tenant: let a halted one try the same fact again, which is never skipped',
      examples: ['projections resume receipts_daily', 'projections resume receipts_daily --tenant acme'],
      build: (command) => command.option('-t, --tenant <tenant>', 'the tenant it has halted for', aTenant),
    },
    async ({ ledger, output }, { tenant }, [name = '']) => {
      if (tenant === undefined) {
        if (!(await resumeReadModel(ledger.pool, projectorNamed(name).name)))
          throw new CliError(
            'refused',
            'not-paused',
            `${name} is not paused; when it has halted for a tenant, name that one with --tenant`,
          );
        output.answer({ projection: name, status: 'running' }, () => `${name} goes on`);
        return 'ok';
      }
      await headOf(ledger, tenant);
      const resumed = await resumeHalted(ledger.pool, name, tenant);
      if (!resumed) throw notHalted(await projectionStatus(ledger.databases, tenant), name, tenant);
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
  group('projections', 'the read models', [
    status(run),
    list(run),
    lag(run),
    diffCommand(run),
    verifyReadModelCommand(run),
    rebuildCommand(run),
    rollbackCommand(run),
    dropOldCommand(run),
    pause(run),
    resume(run),
    parkedCommands(run),
  ]);
