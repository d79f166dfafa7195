// prov-ledger restore --from: the ledger back from its topics, or from exports. It is done when every head that was
// announced is proved and the read models are folded again; not before. Killed, the same command goes on.
import type { Seq } from '#schemas/ids.ts';
import type { CommandContext, Ending } from './command.ts';
import { CliError } from './exit.ts';
import { count } from './output.ts';
import { startProgress } from './progress.ts';
import { trustedKeys } from './verify-offline.ts';
import type { BroughtLedger } from './world.ts';

export interface BringOptions {
  readonly from: readonly string[];
  readonly jwks?: string;
  readonly quiet?: boolean;
}

export const bringLedger = async (context: CommandContext, options: BringOptions): Promise<Ending> => {
  const { world } = context;
  const { from, quiet } = options;
  if (from.length > 1 && from.includes('kafka'))
    throw new CliError('usage', 'two-sources', 'restore from kafka or from exports, not from both');
  // Before anything is touched: without the keys nothing that comes back could be proved.
  const keys = options.jwks === undefined ? (await world.keys()).jwks() : await trustedKeys(options);
  let state: { readonly facts: number; readonly share?: number | undefined } = { facts: 0 };
  const progress = startProgress({
    terminal: world.stderr,
    unit: 'facts',
    verb: 'restored',
    enabled: quiet !== true,
    state: () => ({ done: state.facts, share: state.share }),
  });
  const brought = await world
    .bring({
      from: from[0] === 'kafka' ? 'kafka' : from,
      keys,
      signal: world.signal,
      onProgress: (now) => {
        state = now;
      },
    })
    .finally(() => progress.stop());
  if (!brought) return 'interrupted';
  await using ledger = await world.open();
  await ledger.catchUp(world.signal);
  if (world.signal.aborted) return 'interrupted';
  const heads = await ledger.store.heads();
  return answer(context, brought, {
    tenants: heads.length,
    facts: heads.reduce((sum, { seq }) => sum + seq, 0),
  });
};

interface Held {
  readonly tenants: number;
  readonly facts: number;
}

const answer = (
  { output }: CommandContext,
  { source, ledgerId, resumed, facts, repeated, unsigned }: BroughtLedger,
  held: Held,
): Ending => {
  output.answer(
    { ok: true, ledger_id: ledgerId, source, resumed, restored: facts, repeated, ...held, unsigned },
    () =>
      [
        ...unsigned.map(
          ({ tenant, from, to }) =>
            `left out: ${tenant} ${rangeText(from, to)}: their signature was never sent, so nothing proves them`,
        ),
        `restored from ${source}: ${count(held.facts, 'fact')} of ${count(held.tenants, 'tenant')}, every hash, link and signature checked, every head proved, the read models are current`,
      ].join('\n'),
  );
  return 'ok';
};

const rangeText = (from: Seq, to: Seq): string => (from === to ? `fact ${from}` : `facts ${from} to ${to}`);
