// From a saga's reaction to the decider of its domain. Here and nowhere else the two rooms meet.
import { attestations } from '#commands/attestations.ts';
import type { Decider, Refusal } from '#commands/decider.ts';
import { flags } from '#commands/flags.ts';
import { gates } from '#commands/gates.ts';
import { CommandError, type Outcome, runCommand } from '#commands/run.ts';
import { timers } from '#commands/timers.ts';
import type { Dispatch, DispatchOutcome } from '#sagas/run.ts';
import type { DomainEvent } from '#schemas/event.ts';
import { StreamError } from '#streams/errors.ts';
import type { StreamStore } from '#streams/stream.ts';

type Store = Pick<StreamStore, 'append' | 'find' | 'readStream'>;

/** Throws `StreamError`: `unavailable` also where others were faster ten times. */
export const dispatcher =
  (store: Store) =>
  async (dispatch: Dispatch): Promise<DispatchOutcome> => {
    const { reaction, ...context } = dispatch;
    switch (reaction.domain) {
      case 'attestations':
        return await send(store, attestations, { ...context, command: reaction.command });
      case 'gates':
        return await send(store, gates, { ...context, command: reaction.command });
      case 'flags':
        return await send(store, flags, { ...context, command: reaction.command });
      case 'timers':
        return await send(store, timers, { ...context, command: reaction.command });
      default:
        return reaction satisfies never;
    }
  };

interface Sending<Command> extends Omit<Dispatch, 'reaction'> {
  readonly command: Command;
}

const send = async <Command, State, E extends DomainEvent, R extends Refusal>(
  store: Store,
  decider: Decider<Command, State, E, R>,
  { command, ...context }: Sending<Command>,
): Promise<DispatchOutcome> => {
  try {
    return outcomeOf(await runCommand({ store, decider }, command, context));
  } catch (error) {
    if (error instanceof CommandError) throw new StreamError('unavailable', error.message, { cause: error });
    throw error;
  }
};

const outcomeOf = (outcome: Outcome): DispatchOutcome => {
  switch (outcome.kind) {
    case 'recorded':
    case 'repeated':
      return { kind: outcome.kind };
    case 'id-taken':
      return { kind: 'superseded' };
    case 'refused': {
      const { refusal, message } = outcome.refusal;
      return refusal === 'Malformed' ? { kind: 'malformed', message } : { kind: 'refused', message };
    }
    case 'no-such-tenant':
      return { kind: 'malformed', message: 'the tenant of the fact is gone; restore the ledger' };
    default:
      return outcome satisfies never;
  }
};
