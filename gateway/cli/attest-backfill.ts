// prov-ledger attest backfill: what the ledger says that both stores must hold, both held to it, and that on record.
import type { Command } from 'commander';
import type { Mapping } from '#projectors/attestation/catalog.ts';
import type { TenantId } from '#schemas/ids.ts';
import { type Backfilled, backfill, type WrongStore } from '../attestation/backfill.ts';
import { differenceText, mappingOf, storesOf } from './attested-route.ts';
import {
  aCount,
  aTenant,
  type Ending,
  headOf,
  type LedgerContext,
  ledgerLeaf,
  type Options,
  type Run,
} from './command.ts';
import { count, figure, visible } from './output.ts';
import { startProgress } from './progress.ts';
import { ACTOR } from './tenants.ts';

interface BackfillOptions extends Options {
  readonly tenant: TenantId;
  readonly rate?: number;
  readonly quiet?: boolean;
}

export const backfillCommand = (run: Run): Command =>
  ledgerLeaf<BackfillOptions>(
    run,
    {
      usage: 'backfill <route>',
      summary:
        'digest the history of a route from the ledger, hold both stores to it, and put that on record where they agree',
      examples: [
        'attest backfill receipts --tenant acme',
        'attest backfill receipts --tenant acme --rate 5000 --json',
      ],
      build: (command) =>
        command
          .requiredOption('-t, --tenant <tenant>', 'whose history', aTenant)
          .option(
            '--rate <facts>',
            'facts a second at most; as fast as it goes unless told',
            aCount(10_000_000),
          )
          .option('-q, --quiet', 'show no progress'),
    },
    async (context, options, [name = '']) => {
      const mapping = mappingOf(name);
      await headOf(context.ledger, options.tenant);
      return told(context, mapping, await filled(context, options, mapping));
    },
  );

const filled = async (
  { ledger, world, output }: LedgerContext,
  { tenant, rate, quiet = false }: BackfillOptions,
  mapping: Mapping,
): Promise<Backfilled> => {
  let at = { done: 0, total: 0, phase: 'digesting' };
  const progress = startProgress({
    terminal: world.stderr,
    unit: 'facts',
    verb: 'gone through',
    state: () => ({ done: at.done, share: at.total > 0 ? at.done / at.total : undefined, note: at.phase }),
    enabled: !quiet && !output.json,
  });
  try {
    return await backfill({
      store: ledger.store,
      tenant,
      mapping,
      ...(await storesOf(ledger, mapping)),
      author: { actor: ACTOR, at: world.clock() },
      signal: world.signal,
      factsPerSecond: rate,
      onProgress: (now) => {
        at = now;
      },
    });
  } finally {
    progress.stop();
  }
};

const told = ({ output }: LedgerContext, { route, graph, table }: Mapping, result: Backfilled): Ending => {
  switch (result.kind) {
    case 'recorded':
    case 'repeated':
      output.answer(result, () =>
        [
          `${route}: ${count(result.operations, 'operation')} up to ${figure(result.toSeq)}, both stores hold what the ledger says; ${result.kind === 'recorded' ? 'on record' : 'on record since an earlier run'}`,
          '  -> clean attestations open the write path: a service makes them by itself, or run `prov-ledger attest run`',
        ].join('\n'),
      );
      return 'ok';
    case 'divergent':
      output.answer(result, () =>
        [
          `${route}: not on record, as of ${figure(result.toSeq)} a store holds something else than the ledger says`,
          ...result.wrong.flatMap((wrong) => wrongText(wrong, { graph: graph.name, table: table.name })),
        ].join('\n'),
      );
      return 'refused';
    case 'lag':
      output.answer(
        result,
        () =>
          `${route}: not on record, a store has not begun or is being filled: the tables are at ${figure(result.places[0])}, the graph at ${figure(result.places[1])}\n  -> run it again when both have come further`,
      );
      return 'refused';
    case 'refused':
      output.answer(result, () => `${route}: not on record: ${visible(result.message)}`);
      return 'refused';
    case 'interrupted':
      output.answer(result, () => `${route}: stopped; the next run goes on after the last span on record`);
      return 'interrupted';
    default:
      return result satisfies never;
  }
};

const wrongText = (
  { store, fromSeq, toSeq, differences }: WrongStore,
  names: { readonly graph: string; readonly table: string },
): readonly string[] => [
  fromSeq === 0
    ? `${store} holds ${count(differences.length, 'element')} that no fact brought in:`
    : `${store}, facts ${figure(fromSeq)} to ${figure(toSeq)}, ${count(differences.length, 'difference')} at least:`,
  ...differences.map((each) => `  ${differenceText(each, ['by the ledger', `in ${store}`])}`),
  `  -> prov-ledger ${store === 'postgres' ? `projections rebuild ${names.table}` : `graph rebuild ${names.graph}`}, then run this again`,
];
