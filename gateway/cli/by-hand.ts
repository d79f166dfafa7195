// What a person decides about something of a tenant: they say who they are and why, and both stand in the ledger.
import { randomUUID } from 'node:crypto';
import type { Command } from 'commander';
import type { Decider, Refusal } from '#commands/decider.ts';
import { runCommand } from '#commands/run.ts';
import type { DomainEvent } from '#schemas/event.ts';
import type { TenantId } from '#schemas/ids.ts';
import { aTenant, headOf, type LedgerContext, type Options } from './command.ts';
import { CliError } from './exit.ts';

export interface OfTenant extends Options {
  readonly tenant: TenantId;
}

export interface ByHand extends OfTenant {
  readonly reason: string;
  readonly by: string;
}

type Build = (command: Command) => Command;

/** With a tenant; `whose` says what of it is meant. */
export const ofTenant =
  (whose: string): Build =>
  (command) =>
    command.requiredOption('-t, --tenant <tenant>', whose, aTenant);

export const decidedBy =
  (build: Build): Build =>
  (command) =>
    build(command)
      .requiredOption('--by <name>', 'who decides it; stands in the ledger for good')
      .requiredOption('--reason <text>', 'why; the same');

export interface HandSent<Sent, State, E extends DomainEvent, R extends Refusal> {
  readonly decider: Decider<Sent, State, E, R>;
  readonly command: Sent;
  /** What scripts read of a refusal. */
  readonly codes: { readonly [name in R['refusal']]: string };
}

/** Sends a person's command. Throws `CliError` where it is refused. */
export const sendByHand = async <Sent, State, E extends DomainEvent, R extends Refusal>(
  { ledger, world }: LedgerContext,
  { tenant, by }: Pick<ByHand, 'tenant' | 'by'>,
  { decider, command, codes }: HandSent<Sent, State, E, R>,
): Promise<void> => {
  await headOf(ledger, tenant);
  const context = { tenant, actor: by, at: world.clock(), key: randomUUID() };
  const outcome = await runCommand({ store: ledger.store, decider }, command, context);
  if (outcome.kind !== 'refused') return;
  const { refusal, message } = outcome.refusal;
  if (refusal === 'Malformed') throw new CliError('usage', 'bad-arguments', message);
  throw new CliError('refused', codes[refusal as R['refusal']], message);
};
