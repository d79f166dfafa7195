// What runs until it is told to stop: a first signal drains, a second one ends the program at once.
import type { CommandContext, Ending } from './command.ts';

export interface Draining {
  /** Settles when it has ended by itself, which is a failure; without it, it never does. */
  readonly failed?: Promise<unknown>;
  readonly drain: () => Promise<void>;
}

/** Resolves when it was drained; throws what it has failed with. */
export const untilStopped = async (
  { world, output }: CommandContext,
  { failed, drain }: Draining,
): Promise<Ending> => {
  const stopped = Promise.withResolvers<undefined>();
  world.signal.addEventListener('abort', () => stopped.resolve(undefined), { once: true });
  if (world.signal.aborted) stopped.resolve(undefined);
  const failure = await Promise.race([stopped.promise, ...(failed ? [failed] : [])]);
  if (failure === undefined) output.note('draining; once more ends at once');
  await drain();
  if (failure !== undefined) throw failure;
  return 'ok';
};
