// Fires timers. Which are due the read model says; whether one fires its decider does, so that a read model that is
// behind, two services, or one that died in between make no timer fire twice. One that fell due while nobody ran fires
// with the next start: what follows sees by the fact's time how late it is.
import { setTimeout as pause } from 'node:timers/promises';
import { runCommand } from '#commands/run.ts';
import { timers } from '#commands/timers.ts';
import type { DueTimers } from '#projectors/postgres/due-timers.ts';
import type { Instant } from '#schemas/ids.ts';
import type { StreamStore } from '#streams/stream.ts';
import { errorFields, type Log } from '../../telemetry/logs.ts';

export interface TimerParts {
  readonly store: Pick<StreamStore, 'append' | 'find' | 'readStream'>;
  readonly due: DueTimers;
  readonly clock: () => Instant;
}

const AT_ONCE_MAX = 100;
const LOOK_EVERY_MS = 1_000;

/** Who timers are fired by. */
export const TIMERS_ACTOR = 'timers';

/** How many were fired now. Throws `StreamError`, and `CommandError` where others were faster again and again. */
export const fireDue = async ({ store, due, clock }: TimerParts): Promise<number> => {
  const at = clock();
  let fired = 0;
  for (const { tenant, timerId } of await due(at, AT_ONCE_MAX)) {
    const outcome = await runCommand(
      { store, decider: timers },
      { type: 'FireTimer', timerId },
      { tenant, actor: TIMERS_ACTOR, at, key: `timer ${timerId} fires` },
    );
    if (outcome.kind === 'recorded') fired += 1;
  }
  return fired;
};

/** Until the signal. What goes wrong is tried again at the next look. */
export const keepTimers = async (parts: TimerParts, log: Log, signal: AbortSignal): Promise<void> => {
  while (!signal.aborted) {
    const fired = await fireDue(parts).catch((error: unknown) => {
      log('warn', 'timers wait', errorFields(error));
      return 0;
    });
    if (fired < AT_ONCE_MAX) await pause(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
  }
};
