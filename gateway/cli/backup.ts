// prov-ledger backup and restore. A restore is done when the chains are proved, the heads are those that the backup
// signed, and the read models are folded again; not before.
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import { type KeySet, keysFromJwks } from '#proofs/keys/public-key.ts';
import type { Seq } from '#schemas/ids.ts';
import { type BackupManifest, HEADS } from '#streams/postgres/backup/archive.ts';
import { bringLedger } from './bring.ts';
import {
  type CommandContext,
  type Ending,
  type LedgerContext,
  leaf,
  type Options,
  type Run,
} from './command.ts';
import { CliError } from './exit.ts';
import { lostDocument, lostOf, lostText, readHeadsFile } from './heads.ts';
import { count, figure } from './output.ts';
import { startProgress } from './progress.ts';
import { verifyAll } from './verify.ts';
import { trustedKeys } from './verify-offline.ts';
import type { SavedDatabase } from './world.ts';

interface BackupOptions extends Options {
  readonly quiet?: boolean;
}

const rowsOfFacts = ({ tables }: BackupManifest): number =>
  tables.find(({ schema, table }) => schema === 'ledger' && table === 'facts')?.rows ?? 0;

const factsOf = (saved: readonly SavedDatabase[]): number =>
  saved.reduce((sum, { manifest }) => sum + rowsOfFacts(manifest), 0);

/** The home's: it says when, and of which ledger. */
const firstOf = (saved: readonly SavedDatabase[]): BackupManifest =>
  (saved as readonly [SavedDatabase])[0].manifest;

export const backupCommand = (run: Run): Command =>
  leaf<BackupOptions>(
    run,
    {
      usage: 'backup <folder>',
      summary:
        'the whole ledger as of one moment into a new folder, while it is in use; the signing keys are not in it',
      examples: ['backup /backups/2026-11-21', 'backup /backups/2026-11-21 --json'],
      build: (command) => command.option('-q, --quiet', 'no progress'),
    },
    async ({ world, output }, { quiet }, [folder = '']) => {
      let bytes = 0;
      const progress = startProgress({
        terminal: world.stderr,
        unit: 'bytes',
        verb: 'written',
        enabled: quiet !== true,
        state: () => ({ done: bytes }),
      });
      const onBytes = (more: number): void => {
        bytes += more;
      };
      const saved = await world.backup({ folder, onBytes }).finally(() => progress.stop());
      const { ledger_id, made_at } = firstOf(saved);
      const facts = factsOf(saved);
      const size = saved
        .flatMap(({ manifest }) => manifest.tables)
        .reduce((sum, table) => sum + table.bytes, 0);
      output.answer(
        { folder, ledger_id, made_at, facts, bytes: size },
        () =>
          `${count(facts, 'fact')} as of ${made_at} are in ${folder} (${figure(size)} bytes); keep the keys folder beside it, under another lock`,
      );
      return 'ok';
    },
  );

interface RestoreOptions extends BackupOptions {
  readonly from?: readonly string[];
  readonly heads?: string;
  readonly jwks?: string;
}

export const restoreCommand = (run: Run): Command =>
  leaf<RestoreOptions>(
    run,
    {
      usage: 'restore [folder]',
      summary:
        'a backup, the topics of Kafka or exports into an empty database; proves every chain, and folds the read models again',
      examples: [
        'restore /backups/2026-11-21',
        'restore /backups/2026-11-21 --heads /mnt/other/heads.json',
        'restore /backups/2026-11-21 --jwks jwks.json --json',
        'restore --from kafka',
        'restore --from acme.ndjson.gz globex.ndjson.gz --jwks jwks.json',
      ],
      build: (command) =>
        command
          .option(
            '--from <source...>',
            '`kafka`: ledger.events.v1 of the configured cluster; or files of `prov-ledger export`, one a tenant. Run again, it goes on',
          )
          .option('--heads <file>', 'heads that were kept elsewhere: says what was recorded after the backup')
          .option(
            '--jwks <file>',
            "the public keys to trust; those of this machine's keys folder unless given",
          )
          .option('-q, --quiet', 'no progress'),
    },
    async (context, options, [folder]) => {
      const { world } = context;
      const { from, heads } = options;
      if ((folder === undefined) === (from === undefined) || (from && heads !== undefined))
        throw new CliError(
          'usage',
          'source-missing',
          'name the folder of a backup, or the sources with --from, one of the two; --heads goes with a folder',
        );
      if (folder === undefined) return await bringLedger(context, { ...options, from: from ?? [] });
      const keys = options.jwks === undefined ? (await world.keys()).jwks() : await trustedKeys(options);
      // Before anything is touched: without the keys nothing that comes back could be proved.
      const files: Parameters<typeof lostOf>[1][] = [];
      for (const file of await headsFilesIn(folder, heads))
        files.push({ file, statement: await readHeadsFile(file, keys) });
      const saved = await world.restore({ folder });
      await using ledger = await world.open();
      return await prove({ ...context, ledger }, { saved, keys, files, quiet: options.quiet === true });
    },
  );

/** Those of the backup, one for each database of it, and the one that was kept elsewhere. */
const headsFilesIn = async (folder: string, elsewhere: string | undefined): Promise<readonly string[]> => {
  const whole = join(folder, HEADS);
  const entries = existsSync(whole) ? [] : await readdir(folder, { withFileTypes: true }).catch(() => []);
  const each = entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(folder, name, HEADS));
  return [...(each.length > 0 ? each : [whole]), ...(elsewhere === undefined ? [] : [elsewhere])];
};

interface Proving {
  readonly saved: readonly SavedDatabase[];
  readonly keys: KeySet;
  readonly files: readonly Parameters<typeof lostOf>[1][];
  readonly quiet: boolean;
}

const prove = async (context: LedgerContext, { saved, keys, files, quiet }: Proving): Promise<Ending> => {
  const { ledger, world } = context;
  const heads = await ledger.store.heads();
  const tenants = heads
    .filter(({ seq }) => seq > 0)
    .map(({ tenant, seq }) => ({ tenant, from: 1 as Seq, to: seq }));
  const results = await verifyAll(context, { tenants, quiet, keys: keysFromJwks(keys) });
  const faults = results.flatMap(({ fault }) => (fault ? [fault.message] : []));
  const lost = (await Promise.all(files.map((kept) => lostOf(ledger.store, kept)))).flat();
  if (faults.length === 0) await ledger.catchUp(world.signal);
  if (world.signal.aborted) return 'interrupted';
  return answer(context, { saved, faults, lost, tenants: tenants.length });
};

interface Proved {
  readonly saved: readonly SavedDatabase[];
  readonly tenants: number;
  readonly faults: readonly string[];
  readonly lost: Awaited<ReturnType<typeof lostOf>>;
}

const answer = ({ output }: CommandContext, { saved, tenants, faults, lost }: Proved): Ending => {
  const ok = faults.length === 0 && lost.length === 0;
  const { ledger_id, made_at } = firstOf(saved);
  const facts = factsOf(saved);
  output.answer({ ok, ledger_id, made_at, facts, tenants, faults, lost: lost.map(lostDocument) }, () =>
    [
      ...faults.map((fault) => `NOT verified: ${fault}`),
      ...lost.map(lostText),
      ok
        ? `restored: ${count(facts, 'fact')} of ${count(tenants, 'tenant')} as of ${made_at}, every chain proved, the read models are current`
        : faults.length > 0
          ? 'restored, and NOT sound: do not use this database; restore another backup'
          : 'restored and sound, and older than what was recorded: restore a newer backup, or accept the loss with `prov-ledger heads export`',
    ].join('\n'),
  );
  return ok ? 'ok' : 'refused';
};
