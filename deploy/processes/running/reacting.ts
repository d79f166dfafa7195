// The sagas of a service: run beside its read models, and told of in its log and its figures.

import { errorFields } from '../../telemetry/logs.ts';
import type { SagaInstruments } from '../../telemetry/saga-instruments.ts';
import type { Telemetry } from '../../telemetry/telemetry.ts';
import type { WiredLedger } from '../ledger/wire.ts';

export interface ReactingParts {
  readonly ledger: WiredLedger;
  readonly telemetry: Pick<Telemetry, 'log' | 'feed'>;
  readonly instruments: Pick<SagaInstruments, 'reacted'>;
}

/** Until the signal. Rejects when the sagas cannot go on. */
export const reactTo = async (
  { ledger, telemetry: { log, feed }, instruments }: ReactingParts,
  signal: AbortSignal,
): Promise<void> =>
  await ledger.react(signal, {
    around: feed,
    onReaction: (reaction) => {
      instruments.reacted(reaction);
      const { saga, tenant, seq, command, outcome } = reaction;
      if (outcome.kind === 'repeated') return;
      const what = { saga, tenant, seq, command, outcome: outcome.kind };
      if (outcome.kind === 'refused') log('info', `a saga was refused: ${outcome.message}`, what);
      else log('warn', 'a saga has reacted', what);
    },
    onHalt: ({ saga, tenant, seq, message }) =>
      log('error', 'a saga has halted', { saga, tenant, seq, ...errorFields(new Error(message)) }),
    onRetry: (error, delayMs) => log('warn', 'the sagas wait', { delayMs, ...errorFields(error) }),
  });
