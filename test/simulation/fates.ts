// Processes that may die at any await, and stores that may not be there: drawn from the seed.
import type { Chance } from '#schemas/fixture.ts';
import { StreamError } from '#streams/errors.ts';

export interface Faults {
  /** In a thousand awaits: the process dies there. */
  readonly killPerMille: number;
  /** The same: the store cannot be reached, before or after it has done what it was asked. */
  readonly awayPerMille: number;
}

export const SOUND: Faults = { killPerMille: 0, awayPerMille: 0 };

/** A process, as what it does sees it. */
export interface Mortal {
  readonly signal: AbortSignal;
  readonly perhaps: <T>(work: () => Promise<T>) => Promise<T>;
  /** The same port, each of whose answers may not come; all that it does must be asynchronous. */
  readonly through: <T extends object>(port: T) => T;
}

/** Said so, no error is made of it for nobody to see. */
const OVER = 'the process is over';

/** Runs a process to its end, or to its death; true when it came to its end. Throws what it throws. */
export const live = async (
  chance: Chance,
  { killPerMille, awayPerMille }: Faults,
  process: (mortal: Mortal) => Promise<unknown>,
): Promise<boolean> => {
  const killed = Promise.withResolvers<false>();
  const ending = new AbortController();
  const fate = async (): Promise<void> => {
    if (ending.signal.aborted || chance.perMille(killPerMille)) {
      ending.abort(OVER);
      killed.resolve(false);
      // A dead process answers nothing.
      await new Promise<never>(() => undefined);
    }
    if (chance.perMille(awayPerMille)) throw new StreamError('unavailable', 'away');
  };
  const perhaps = async <T>(work: () => Promise<T>): Promise<T> => {
    await fate();
    const result = await work();
    await fate();
    return result;
  };
  const through = <T extends object>(port: T): T =>
    Object.fromEntries(
      Object.entries(port).map(([name, part]) => [
        name,
        typeof part === 'function'
          ? (...given: readonly unknown[]) => perhaps(() => part(...given) as Promise<unknown>)
          : part,
      ]),
    ) as T;
  const ended = process({ signal: ending.signal, perhaps, through }).then(() => true);
  try {
    return await Promise.race([ended, killed.promise]);
  } finally {
    ending.abort(OVER);
  }
};
