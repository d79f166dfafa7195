// prov-ledger projections diff: what another version of a projector would make of the history that is there.
import type { Command } from 'commander';
import type { AnyProjector } from '#projectors/batch.ts';
import { type Diff, diffProjectors } from '#projectors/rebuild/diff.ts';
import { skipsIn } from '#projectors/rebuild/skips.ts';
import type { TenantId } from '#schemas/ids.ts';
import { decodeFact } from '#schemas/index.ts';
import { aCount, aTenant, headOf, ledgerLeaf, type Options, type Run } from './command.ts';
import { CliError } from './exit.ts';
import { count, visible } from './output.ts';
import { startProgress } from './progress.ts';
import { projectorNamed } from './rebuild.ts';
import type { World } from './world.ts';

interface DiffOptions extends Options {
  readonly with: string;
  readonly tenant?: TenantId;
  readonly show?: number;
  readonly quiet?: boolean;
}

export const diffCommand = (run: Run): Command =>
  ledgerLeaf<DiffOptions>(
    run,
    {
      usage: 'diff <name>',
      summary:
        'which rows another version of the projector would make otherwise; exit code 1 when there are any',
      examples: [
        'projections diff receipts_daily --with ../next/projectors/receipts.ts',
        'projections diff receipts --with ../next/projectors/receipts.ts --tenant acme --json',
      ],
      build: (command) =>
        command
          .requiredOption('--with <file>', 'the module of the other version: it is run, so know whose it is')
          .option('-t, --tenant <tenant>', 'over the history of this tenant only', aTenant)
          .option('--show <rows>', 'rows to show at most; 20 unless given', aCount(10_000))
          .option('-q, --quiet', 'show no progress'),
    },
    async ({ ledger, output, world }, options, [name = '']) => {
      const { tenant, show, quiet = false } = options;
      const older = projectorNamed(name);
      const newer = await projectorIn(world, options.with, name);
      const position = tenant === undefined ? await ledger.store.heads() : [await headOf(ledger, tenant)];
      const total = 2 * position.reduce((sum, { seq }) => sum + seq, 0);
      let done = 0;
      const progress = startProgress({
        terminal: world.stderr,
        unit: 'facts',
        verb: 'folded',
        state: () => ({ done, share: total > 0 ? Math.min(done / total, 1) : 1 }),
        enabled: !quiet && !output.json,
      });
      try {
        const diff = await diffProjectors({
          store: ledger.store,
          older,
          newer,
          position,
          skips: skipsIn(ledger.store),
          decode: decodeFact,
          show,
          signal: world.signal,
          onFacts: (facts) => {
            done += facts;
          },
        });
        progress.stop();
        output.answer({ projection: name, from: older.version, to: newer.version, ...diff }, () =>
          diffText(name, diff),
        );
        return isSame(diff) ? 'ok' : 'refused';
      } finally {
        progress.stop();
      }
    },
  );

/** What of a module is a projector of that name. */
const projectorIn = async (world: World, file: string, name: string): Promise<AnyProjector> => {
  const projector = (await world.exportsOf(file)).find(
    (each): each is AnyProjector =>
      typeof each === 'object' && each !== null && 'fold' in each && 'name' in each && each.name === name,
  );
  if (projector) return projector;
  throw new CliError('usage', 'no-such-projection', `${file} exports no projector named ${name}`);
};

const isSame = (diff: Diff): boolean =>
  diff.added + diff.removed + diff.changed + diff.columnsAdded.length + diff.columnsRemoved.length === 0 &&
  diff.refused.length === 0;

const diffText = (name: string, diff: Diff): string => {
  if (isSame(diff)) return `${name}: ${count(diff.same, 'row')}, the same by both`;
  const lines = diff.first.flatMap(({ tenant, key, older, newer }) => [
    visible([tenant, ...key].join(' ')),
    ...(older ? [`  - ${visible(JSON.stringify(older))}`] : []),
    ...(newer ? [`  + ${visible(JSON.stringify(newer))}`] : []),
  ]);
  return [
    `${name}: ${count(diff.changed, 'row')} changed, ${diff.added} added, ${diff.removed} removed, ${diff.same} the same`,
    ...diff.columnsAdded.map((column) => `column ${visible(column)} is added`),
    ...diff.columnsRemoved.map(
      (column) => `column ${visible(column)} is gone: queries over the view would break`,
    ),
    ...diff.refused.map(
      ({ tenant, side, seq, message }) =>
        `the ${side} one cannot take fact ${seq} of ${tenant}: ${visible(message)}`,
    ),
    ...lines,
  ].join('\n');
};
