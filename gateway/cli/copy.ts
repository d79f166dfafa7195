// prov-ledger copy: the ledger from one store into another, proved on its way, and gone on with after any failure.
import type { Command } from 'commander';
import { leaf, type Options, type Run } from './command.ts';
import { CliError } from './exit.ts';
import { count } from './output.ts';
import { startProgress } from './progress.ts';
import { trustedKeys } from './verify-offline.ts';

interface CopyOptions extends Options {
  readonly from?: string;
  readonly to?: string;
  readonly jwks?: string;
  readonly quiet?: boolean;
}

const ADDRESS = 'postgres (the configured database), postgres://…, eventstore (EVENTSTORE_URL), or esdb://…';

export const copyCommand = (run: Run): Command =>
  leaf<CopyOptions>(
    run,
    {
      usage: 'copy',
      summary: 'the ledger from one store into another, share by share; run again, it goes on',
      examples: [
        'copy --from postgres --to postgres://owner@db-2/ledger',
        'copy --from postgres --to eventstore --jwks jwks.json',
      ],
      build: (command) =>
        command
          .option('--from <store>', ADDRESS)
          .option('--to <store>', `${ADDRESS}; without facts, or the half of an earlier run`)
          .option(
            '--jwks <file>',
            "the public keys to trust; those of this machine's keys folder unless given",
          )
          .option('-q, --quiet', 'no progress'),
    },
    async ({ world, output }, options) => {
      const { from, to, quiet } = options;
      if (from === undefined || to === undefined || from === to)
        throw new CliError('usage', 'stores-missing', `name two stores with --from and --to: ${ADDRESS}`);
      const keys = options.jwks === undefined ? (await world.keys()).jwks() : await trustedKeys(options);
      let state = { facts: 0, share: 0 };
      const progress = startProgress({
        terminal: world.stderr,
        unit: 'facts',
        verb: 'copied',
        enabled: quiet !== true,
        state: () => ({ done: state.facts, share: state.share }),
      });
      const onProgress = (now: typeof state): void => {
        state = now;
      };
      const copied = await world
        .copy({ from, to, keys, signal: world.signal, onProgress })
        .finally(() => progress.stop());
      if (!copied) return 'interrupted';
      const { facts, heads } = copied;
      const total = heads.reduce((sum, { seq }) => sum + seq, 0);
      output.answer({ ok: true, copied: facts, facts: total, tenants: heads.length }, () =>
        [
          `copied: ${count(total, 'fact')} of ${count(heads.length, 'tenant')} are in both, ${count(facts, 'fact')} of them since this run began`,
          'every hash, link and signature was checked, and every head is the same',
        ].join('\n'),
      );
      return 'ok';
    },
  );
