// prov-ledger projections rebuild|rollback|drop-old|verify: read models made anew beside the ones in use, and proved.
import type { Command } from 'commander';
import type { AnyProjector } from '#projectors/batch.ts';
import { projectors } from '#projectors/index.ts';
import { dropOld } from '#projectors/postgres/rebuild/drop.ts';
import { type RebuildProgress, type Rebuilt, rebuild } from '#projectors/postgres/rebuild/rebuild.ts';
import { rollback } from '#projectors/postgres/rebuild/rollback.ts';
import { type RowDifference, type Verified, verifyReadModel } from '#projectors/postgres/rebuild/verify.ts';
import { skipsIn } from '#projectors/rebuild/skips.ts';
import type { TenantId } from '#schemas/ids.ts';
import { recordProofs } from '../projections/read-models.ts';
import { aTenant, headOf, ledgerLeaf, type Options, type Run } from './command.ts';
import { CliError } from './exit.ts';
import { count, visible } from './output.ts';
import { startProgress } from './progress.ts';

interface OfTenant extends Options {
  readonly tenant?: TenantId;
  readonly quiet?: boolean;
}

const tenantOption = (command: Command): Command =>
  command
    .option('-t, --tenant <tenant>', 'of this tenant only', aTenant)
    .option('-q, --quiet', 'show no progress');

/** The projector of a read model, or the error that there is none. */
export const projectorNamed = (name: string): AnyProjector => {
  const found = projectors.find((projector) => projector.name === name);
  if (found) return found;
  throw new CliError(
    'usage',
    'no-such-projection',
    `there is no read model ${name}; there are ${projectors.map((each) => each.name).join(', ')}`,
  );
};

const ACTOR = 'prov-ledger projections rebuild';
export const rebuildCommand = (run: Run): Command =>
  ledgerLeaf<OfTenant>(
    run,
    {
      usage: 'rebuild <name>',
      summary: 'fold a read model anew beside the one in use, prove it, and switch to it',
      examples: ['projections rebuild receipts_daily', 'projections rebuild receipts --tenant acme'],
      build: tenantOption,
    },
    async ({ ledger, output, world }, { tenant, quiet = false }, [name = '']) => {
      const projector = projectorNamed(name);
      if (tenant !== undefined) await headOf(ledger, tenant);
      let state: RebuildProgress = { phase: 'filling', facts: 0, total: 0 };
      const progress = startProgress({
        terminal: world.stderr,
        unit: 'facts',
        verb: 'rebuilt',
        state: () => ({
          done: state.facts,
          share: state.total > 0 ? state.facts / state.total : undefined,
          note: state.phase,
        }),
        enabled: !quiet && !output.json,
      });
      try {
        const rebuilt = await rebuild({
          pool: ledger.pool,
          databases: ledger.databases,
          store: ledger.store,
          feed: ledger.feed,
          projector,
          tenant,
          skips: skipsIn(ledger.store),
          signal: world.signal,
          attest: recordProofs({ store: ledger.store, clock: world.clock, actor: ACTOR }),
          onProgress: (now) => {
            state = now;
          },
        });
        progress.stop();
        const { proofs, ...summary } = rebuilt;
        output.answer({ ...summary, proofs }, () => rebuiltText(rebuilt));
        return 'ok';
      } finally {
        progress.stop();
      }
    },
  );

const rebuiltText = ({
  projection,
  version,
  build,
  facts,
  rows,
  tenants,
  seconds,
  resumed,
}: Rebuilt): string =>
  [
    `${projection} v${version} is rebuilt: ${count(rows, 'row')} of ${count(tenants, 'tenant')} from ${count(facts, 'fact')}, equal to an independent replay; ${seconds.toFixed(1)} s${resumed ? ', going on with an earlier rebuild' : ''}`,
    `  build ${build} is in use; to go back run \`prov-ledger projections rollback ${projection}\`, to free the space of the old one \`prov-ledger projections drop-old ${projection}\``,
  ].join('\n');

export const rollbackCommand = (run: Run): Command =>
  ledgerLeaf(
    run,
    {
      usage: 'rollback <name>',
      summary: 'show again what the last rebuild replaced, brought up to date first',
      examples: ['projections rollback receipts_daily'],
    },
    async ({ ledger, output, world }, _, [name = '']) => {
      const back = await rollback({
        pool: ledger.pool,
        store: ledger.store,
        feed: ledger.feed,
        projector: projectorNamed(name),
        skips: skipsIn(ledger.store),
        signal: world.signal,
      });
      output.answer(
        { projection: name, ...back },
        () =>
          `${name} shows v${back.to.version} build ${back.to.build} again${back.current ? '' : ', as it was left: another source made it, and only a program with that source keeps it'}`,
      );
      return 'ok';
    },
  );

export const dropOldCommand = (run: Run): Command =>
  ledgerLeaf(
    run,
    {
      usage: 'drop-old <name>',
      summary: 'drop the tables that rebuilds replaced; there is no rollback to them then',
      examples: ['projections drop-old receipts_daily'],
    },
    async ({ ledger, output }, _, [name = '']) => {
      const dropped = await dropOld(ledger.pool, projectorNamed(name).name);
      output.answer({ projection: name, dropped }, () =>
        dropped.length === 0
          ? `${name} has no old tables`
          : `dropped ${dropped.map(({ version, build }) => `v${version} build ${build}`).join(', ')} of ${name}`,
      );
      return 'ok';
    },
  );

export const verifyReadModelCommand = (run: Run): Command =>
  ledgerLeaf<OfTenant>(
    run,
    {
      usage: 'verify <name>',
      summary: 'compare the rows in use with an independent fold; names the first row that differs',
      examples: ['projections verify receipts_daily', 'projections verify receipts --tenant acme'],
      build: tenantOption,
    },
    async ({ ledger, output, world }, { tenant, quiet = false }, [name = '']) => {
      const projector = projectorNamed(name);
      if (tenant !== undefined) await headOf(ledger, tenant);
      let state = { done: 0, share: 0 };
      const progress = startProgress({
        terminal: world.stderr,
        unit: 'facts',
        verb: 'replayed',
        state: () => state,
        enabled: !quiet && !output.json,
      });
      try {
        const verified = await verifyReadModel({
          pool: ledger.pool,
          store: ledger.store,
          projector,
          tenant,
          skips: skipsIn(ledger.store),
          signal: world.signal,
          onFacts: (done, total) => {
            state = { done, share: total > 0 ? done / total : 1 };
          },
        });
        progress.stop();
        output.answer({ projection: name, ok: verified.unequal.length === 0, ...verified }, () =>
          verifiedText(name, verified),
        );
        return verified.unequal.length === 0 ? 'ok' : 'refused';
      } finally {
        progress.stop();
      }
    },
  );

const verifiedText = (name: string, { equal, unequal, first }: Verified): string => {
  if (unequal.length === 0) {
    const rows = equal.reduce((sum, proof) => sum + proof.rows, 0);
    return `${name} is what the history says: ${count(rows, 'row')} of ${count(equal.length, 'tenant')}`;
  }
  const lines = unequal.map(
    ({ tenant, seq, message }) => `${name} of ${tenant} as of fact ${seq}: ${message}`,
  );
  return [
    ...lines.map(visible),
    ...(first ? differenceText(first) : []),
    `  -> run \`prov-ledger projections rebuild ${name}\``,
  ].join('\n');
};

const differenceText = ({ key, live, replayed, facts, tenant }: RowDifference): readonly string[] => [
  `  the first row that differs: ${[tenant, ...key].map(visible).join(' ')}`,
  `    in the table    ${visible(live ? JSON.stringify(live) : 'no such row')}`,
  `    by the history  ${visible(replayed ? JSON.stringify(replayed) : 'no such row')}`,
  `    made by         ${facts.length > 0 ? `${count(facts.length, 'fact')}, the last one ${facts.at(-1)}` : 'no fact'}`,
];
