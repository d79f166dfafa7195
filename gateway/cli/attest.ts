// prov-ledger attest ...: the tables and the graph compared, what was found before, and which writes are compared at all.
import type { Command } from 'commander';
import { type Attested, attest, noTrees } from '#projectors/attestation/attest.ts';
import { catalog, type Mapping } from '#projectors/attestation/catalog.ts';
import { streamName, type TenantId, tenantId } from '#schemas/ids.ts';
import { decodeFact, domains } from '#schemas/index.ts';
import { attestationCoverage } from '../attestation/coverage.ts';
import { recordAttestation } from '../attestation/record.ts';
import { routeTable } from '../http/routes.ts';
import { backfillCommand } from './attest-backfill.ts';
import { policyCommands } from './attest-policy.ts';
import { differenceText, storesOf } from './attested-route.ts';
import { group, headOf, type LedgerContext, leaf, ledgerLeaf, type Options, type Run } from './command.ts';
import { count, figure, table, visible } from './output.ts';
import { ACTOR } from './tenants.ts';

interface AttestedRoute extends Attested {
  readonly route: string;
  /** Why it is not on record; absent when it is, or was not to be. */
  readonly refused?: string;
}

const run = (of: Run): Command =>
  ledgerLeaf<{ readonly record: boolean } & Options>(
    of,
    {
      usage: 'run [tenant]',
      summary:
        'compare tables and graph, element by element, at one place in the chain, and put on record what is found',
      examples: ['attest run', 'attest run acme --no-record --json'],
      build: (command) => command.option('--no-record', 'put nothing on record'),
    },
    async (context, { record }, [name]) => {
      const found: AttestedRoute[] = [];
      for (const tenant of await tenantsOf(context, name))
        for (const mapping of catalog) found.push(await attestOne(context, { tenant, mapping, record }));
      context.output.answer(
        { attestations: found },
        () => found.map(attestedText).join('\n') || 'no tenants yet',
      );
      return found.some(({ verdict, refused }) => verdict === 'divergent' || refused !== undefined)
        ? 'refused'
        : 'ok';
    },
  );

const tenantsOf = async (context: LedgerContext, name: string | undefined): Promise<readonly TenantId[]> =>
  name === undefined
    ? (await context.ledger.store.heads()).map(({ tenant }) => tenant)
    : [(await headOf(context.ledger, tenantId(name))).tenant];

const attestOne = async (
  { ledger, world }: LedgerContext,
  {
    tenant,
    mapping,
    record,
  }: { readonly tenant: TenantId; readonly mapping: Mapping; readonly record: boolean },
): Promise<AttestedRoute> => {
  const { store } = ledger;
  const { route } = mapping;
  const attested = await attest({
    tenant,
    ...(await storesOf(ledger, mapping)),
    trees: noTrees(),
    head: async () => (await store.head(tenant))?.seq ?? 0,
  });
  if (!record) return { ...attested, route };
  const recorded = await recordAttestation(store, { route, attested }, { actor: ACTOR, at: world.clock() });
  return { ...attested, route, ...(recorded.kind === 'refused' && { refused: recorded.message }) };
};

const attestedText = (found: AttestedRoute): string => {
  const { tenant, route, asOf, verdict, left, right, elements, differences, refused } = found;
  const head =
    verdict === 'lag'
      ? `${route} of ${tenant}: not compared, ${left.store} is at ${figure(left.seq)} and ${right.store} at ${figure(right.seq)}`
      : `${route} of ${tenant} at ${figure(asOf)}: ${verdict}, ${count(elements, 'element')}${differences.length > 0 ? `, ${count(differences.length, 'difference')}` : ''}`;
  return [
    head,
    ...differences.map((each) => `  ${differenceText(each, ['in the tables', 'in the graph'])}`),
    ...(refused === undefined ? [] : [`  not on record: ${visible(refused)}`]),
  ].join('\n');
};

interface StatusRow {
  readonly tenant: TenantId;
  readonly route: string;
  readonly verdict: 'clean' | 'divergent' | 'lag' | 'never';
  readonly asOfSeq?: number;
  readonly divergent?: number;
  readonly recordedAt?: string;
}

const status = (of: Run): Command =>
  ledgerLeaf(
    of,
    {
      usage: 'status [tenant]',
      summary: 'the last attestation on record of each route',
      examples: ['attest status', 'attest status acme --json'],
    },
    async (context, _, [name]) => {
      const rows: StatusRow[] = [];
      for (const tenant of await tenantsOf(context, name))
        for (const { route } of catalog) rows.push(await lastOf(context, tenant, route));
      context.output.answer({ attestations: rows }, () =>
        table(
          ['TENANT', 'ROUTE', 'VERDICT', 'AS OF', 'DIFFERENCES', 'RECORDED'],
          rows.map((row) => [row.tenant, row.route, row.verdict, row.asOfSeq, row.divergent, row.recordedAt]),
        ),
      );
      return rows.some(({ verdict }) => verdict === 'divergent') ? 'refused' : 'ok';
    },
  );

const lastOf = async ({ ledger }: LedgerContext, tenant: TenantId, route: string): Promise<StatusRow> => {
  for (const recorded of (
    await ledger.store.readStream(tenant, streamName('attestations', route))
  ).toReversed()) {
    const { type, data, recordedAt } = decodeFact(recorded);
    if (type !== 'attestations.AttestationRecorded') continue;
    return {
      tenant,
      route,
      verdict: data.verdict,
      asOfSeq: data.left_seq,
      divergent: data.divergent,
      recordedAt: new Date(recordedAt).toISOString(),
    };
  }
  return { tenant, route, verdict: 'never' };
};

const coverage = (of: Run): Command =>
  leaf(
    of,
    {
      usage: 'coverage',
      summary: 'which writes are attested: HTTP operations and types of facts, and those that are not',
      examples: ['attest coverage', 'attest coverage --json'],
    },
    async ({ output }) => {
      const found = attestationCoverage({ routes: routeTable(), domains, catalog });
      output.answer(found, () =>
        [
          `${found.percent} %: ${found.covered} of ${count(found.operations.length, 'write operation')} are attested`,
          ...found.uncovered.map((operation) => `  not attested: ${operation}`),
          ...found.recordNothing.map((operation) => `  puts nothing on record: ${operation}`),
        ].join('\n'),
      );
      return 'ok';
    },
  );

export const attestCommands = (of: Run): Command =>
  group('attest', 'tables and graph compared, and what was found', [
    run(of),
    status(of),
    coverage(of),
    backfillCommand(of),
    policyCommands(of),
  ]);
