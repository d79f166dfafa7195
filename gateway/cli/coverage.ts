// prov-ledger coverage report: one day of every tenant as a file, for whoever decides about ramps in the morning.
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import { catalog } from '#projectors/attestation/catalog.ts';
import { type Instant, instant, instantText } from '#schemas/ids.ts';
import { domains } from '#schemas/index.ts';
import { typeTotals } from '#streams/postgres/totals.ts';
import { attestationCoverage, type Coverage } from '../attestation/coverage.ts';
import { type Day, routeDay, type TenantDay, tenantDay } from '../attestation/day.ts';
import { routeFacts } from '../attestation/route-facts.ts';
import { routeTable } from '../http/routes.ts';
import { group, type LedgerContext, ledgerLeaf, type Options, parsedBy, type Run } from './command.ts';
import { CliError } from './exit.ts';
import { count, table } from './output.ts';
import { writeWhole } from './whole-file.ts';

const FORMAT = 'prov-ledger/coverage-report@1';
const DAY_MS = 86_400_000;

interface CoverageReport {
  readonly format: typeof FORMAT;
  /** Of UTC. */
  readonly date: string;
  readonly coverage: Pick<Coverage, 'percent' | 'covered' | 'uncovered'> & { readonly operations: number };
  readonly tenants: readonly TenantDay[];
}

interface ReportOptions extends Options {
  readonly date?: string;
  readonly out: string;
}

const aDate = parsedBy((raw: string): string => {
  if (!/^\d{4}-\d\d-\d\d$/.test(raw)) throw new Error('use a date like 2026-11-20');
  instant(`${raw}T00:00:00Z`);
  return raw;
});

const fileOf = (out: string, date: string): string => join(out, `coverage-${date.replaceAll('-', '')}.json`);

const dateOf = (at: number): string => instantText(at as Instant).slice(0, 10);

const report = (run: Run): Command =>
  ledgerLeaf<ReportOptions>(
    run,
    {
      usage: 'report',
      summary: 'what was attested on one day of UTC, what was found, and whether ramps may go on, as a file',
      examples: ['coverage report', 'coverage report --date 2026-11-20 --out /var/lib/prov-ledger/coverage'],
      build: (command) =>
        command
          .option('--date <date>', 'the day; yesterday unless told', aDate)
          .option('--out <folder>', 'where coverage-YYYYMMDD.json goes', 'coverage'),
    },
    async (context, { date: given, out }) => {
      const now = context.world.clock();
      const date = given ?? dateOf(now - DAY_MS);
      const from = instant(`${date}T00:00:00Z`);
      const to = (from + DAY_MS) as Instant;
      if (to > now)
        throw new CliError('usage', 'bad-arguments', `${date} is not over yet in UTC; give an earlier day`);
      const before = await readReport(fileOf(out, dateOf(from - DAY_MS)));
      const made = await reportOf(context, { date, day: { from, to }, before });
      await mkdir(out, { recursive: true });
      const file = fileOf(out, date);
      await writeWhole(file, [`${JSON.stringify(made, null, 2)}\n`]);
      context.output.answer({ file, ...made }, () => reportText(file, made));
      return 'ok';
    },
  );

/** The report of the day before, where there is one. */
const readReport = async (file: string): Promise<CoverageReport | undefined> => {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  const damaged = new CliError(
    'usage',
    'bad-report',
    `${file} is no coverage report; make it anew with --date, or put it away`,
  );
  try {
    const parsed = JSON.parse(text) as CoverageReport;
    if (parsed.format === FORMAT && Array.isArray(parsed.tenants)) return parsed;
  } catch {
    throw damaged;
  }
  throw damaged;
};

interface ReportParts {
  readonly date: string;
  readonly day: Day;
  readonly before: CoverageReport | undefined;
}

const reportOf = async (
  { ledger }: LedgerContext,
  { date, day, before }: ReportParts,
): Promise<CoverageReport> => {
  const { operations, percent, covered, uncovered } = attestationCoverage({
    routes: routeTable(),
    domains,
    catalog,
  });
  const attestedTypes = new Set(catalog.flatMap(({ graph }) => graph.handles as readonly string[]));
  const totals = await typeTotals(ledger.databases, day.from, day.to);
  const types = new Map<string, Map<string, number>>();
  for (const { tenant, type, facts } of totals)
    types.set(tenant, (types.get(tenant) ?? new Map<string, number>()).set(type, facts));
  const tenants: TenantDay[] = [];
  for (const { tenant } of await ledger.store.heads()) {
    const days = [];
    for (const { route } of catalog)
      days.push(routeDay(route, await routeFacts(ledger.store, tenant, route), day));
    tenants.push(
      tenantDay({
        tenant,
        types: types.get(tenant) ?? new Map(),
        attestedTypes,
        routes: days,
        before: before?.tenants.find((of) => of.tenant === tenant),
      }),
    );
  }
  return {
    format: FORMAT,
    date,
    coverage: { percent, covered, uncovered, operations: operations.length },
    tenants,
  };
};

const reportText = (file: string, { date, coverage, tenants }: CoverageReport): string =>
  [
    `${date}: ${coverage.percent} %, ${coverage.covered} of ${count(coverage.operations, 'write operation')} attested -> ${file}`,
    ...(tenants.length === 0
      ? []
      : [
          table(
            ['TENANT', 'ROUTE', 'FACTS', 'ATTESTED', 'CLEAN', 'DIVERGENT', 'ALARMS', 'WRITE PATH', 'RAMP'],
            tenants.flatMap(({ tenant, facts, attested_pct, routes: of }) =>
              of.map((route) => [
                tenant,
                route.route,
                facts,
                attested_pct === null ? null : `${attested_pct} %`,
                route.attestations.clean,
                route.attestations.divergent,
                route.alarms,
                route.write_path,
                route.ramp.recommendation,
              ]),
            ),
          ),
        ]),
  ].join('\n');

export const coverageCommands = (run: Run): Command =>
  group('coverage', 'what is attested, day by day', [report(run)]);
