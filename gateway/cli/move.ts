// prov-ledger tenant move: a tenant from one server of the ledger to another, while it is in use.
import type { Command } from 'commander';
import { keysFromJwks } from '#proofs/keys/public-key.ts';
import { trustIn } from '#streams/carry.ts';
import { MoveRefused, type MoveStep, moveTenant } from '../tenancy/move.ts';
import { ledgerLeaf, type Options, type Run, tenantArgument } from './command.ts';
import { CliError } from './exit.ts';
import type { OpenLedger } from './world.ts';

interface MoveOptions extends Options {
  readonly to: string;
  readonly by?: string;
}

const SAID: { readonly [step in MoveStep]: string } = {
  begun: 'the move is on record',
  awaited: 'the other server waits for its facts',
  brought: 'its facts are there, but for those of this moment',
  closed: 'closed: appends wait',
  proved: 'both end alike',
  'given-up': 'the server that had it has given it up',
  placed: 'its new place is on record',
  opened: 'open again',
};

export const moveCommand = (run: Run): Command =>
  ledgerLeaf<MoveOptions>(
    run,
    {
      usage: 'move <tenant>',
      summary: 'to another server of the ledger, while it is in use; run again, it goes on',
      examples: ['tenant move acme --to east', 'tenant move acme --to home'],
      build: (command) =>
        command
          .requiredOption('--to <shard>', 'a name of PROV_LEDGER_SHARDS, or home')
          .option('--by <who>', 'who moves it, for the record'),
    },
    async ({ ledger, output, world }, { to, by = 'prov-ledger cli' }, args) => {
      const tenant = tenantArgument(args);
      const { shards, home } = shardsOf(ledger);
      const moved = await moveTenant({
        tenant,
        to,
        shards,
        home,
        trust: trustIn(ledger.store.ledgerId, keysFromJwks(ledger.jwks())),
        actor: by,
        now: world.clock,
        signal: world.signal,
        onStep: (step) => output.note(`${tenant}: ${SAID[step]}`),
      }).catch((error: unknown) => {
        if (error instanceof MoveRefused) throw new CliError('refused', 'move-refused', error.message);
        throw error;
      });
      if (!moved) return 'interrupted';
      await ledger.catchUp(world.signal);
      const { from, epoch, closedMs } = moved;
      output.answer(
        { tenant, from, to, epoch, closed_ms: Math.round(closedMs) },
        () => `${tenant} is on ${to} now; it took no appends for ${Math.round(closedMs)} ms`,
      );
      return 'ok';
    },
  );

const shardsOf = ({ shards, store }: OpenLedger) => {
  const home = shards?.get('home');
  if (!shards || !home)
    throw new CliError(
      'usage',
      'one-server',
      'this ledger is on one server: name others with PROV_LEDGER_SHARDS, and run `prov-ledger migrate`',
    );
  // The operators' chain is at home, so the ledger's own store finds it.
  return { shards, home: store };
};
