// Whether one more receipt is taken now. Two reasons against it: its tenant has sent more than it may (rate-limit.ts), and
// more waits to be stored than can be. Then what is bulk gives way first, while the queue of appends is half full, so that
// the other half is there for whoever waits for an answer: batches, and single receipts that say they can wait.

import type { BulkShares } from './bulk-shares.ts';
import { type Problem, problem } from './problems.ts';
import type { Counted, RateLimiter } from './rate-limit.ts';

export interface Admission {
  readonly rates: Pick<RateLimiter, 'take'>;
  /** How full the queue of appends is, from 0 to 1. */
  readonly load: () => number;
  readonly shares: BulkShares;
}

export type Urgency = 'interactive' | 'bulk';

/** Asked before each receipt of one request, in turn. */
export type Admit = () => Problem | undefined;

// RFC 9218 section 4.1: urgency 0 to 7, the lower the sooner, 3 unless told. Other members are none of ours.
const URGENCY = /(?:^|,)[ \t]*u=([0-7])[ \t]*(?=[,;]|$)/;
const DEFAULT_URGENCY = 3;

/** `priority`: the header. A batch is bulk whatever it says. */
export const urgencyOf = (priority: string | readonly string[] | undefined, isBatch: boolean): Urgency => {
  if (isBatch) return 'bulk';
  const given = typeof priority === 'string' ? URGENCY.exec(priority)?.[1] : undefined;
  return Number(given ?? DEFAULT_URGENCY) > DEFAULT_URGENCY ? 'bulk' : 'interactive';
};

/** Of the queue of appends; beyond it what is bulk is refused. */
const BULK_SHARE = 0.5;

/**
 * The request itself was counted when it came, and is its first receipt. After one that is refused the rest of a batch is
 * refused too: what its sender keeps in order shall not be stored with holes.
 */
export const admitting = (
  { rates, load }: Pick<Admission, 'rates' | 'load'>,
  of: Counted,
  urgency: Urgency,
): Admit => {
  let counted = true;
  let refused: Problem | undefined;
  return () => {
    if (refused) return refused;
    if (urgency === 'bulk' && load() >= BULK_SHARE)
      refused = problem('overloaded', 'batches and receipts of low priority are refused first; this is one');
    else if (!counted) refused = rates.take(of);
    counted = false;
    return refused;
  };
};
