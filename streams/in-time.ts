// Waits that have an end, for drivers whose own have none.
import { setTimeout as pause } from 'node:timers/promises';

export const LATE = Symbol('late');

/** What the work gives, or `LATE` when that takes longer: how it ends then is nobody's concern any more. */
export const inTime = async <T>(ms: number, work: Promise<T>): Promise<T | typeof LATE> => {
  const over = new AbortController();
  // Aborted only where the work was faster.
  const late = pause(ms, LATE, { signal: over.signal }).catch((): typeof LATE => LATE);
  const first = await Promise.race([work, late]).finally(() => over.abort());
  if (first === LATE) work.catch(() => undefined);
  return first;
};
