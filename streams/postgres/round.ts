// Who is read how far in one turn of a feed: every tenant that has more, one batch each. A tenant with a long backlog gets
// no more than a quarter of what all the others get in the same turn, so that they are slowed by a quarter at most; when
// nobody else has anything, it gets whole batches.
import type { Seq, TenantId } from '#schemas/ids.ts';
import type { StoredHead } from './reader.ts';

export interface Turn {
  readonly head: StoredHead;
  readonly from: Seq;
  readonly to: Seq;
}

/** Batches to catch up on that make a backlog a long one. */
const LONG = 10;
/** A turn costs a look at the heads: less than this is not worth it. */
const LEAST = 50;

/** `at` is the last seq that was delivered of a tenant. */
export const turnsOf = (
  heads: readonly StoredHead[],
  at: (tenant: TenantId) => number,
  batchSize: number,
): readonly Turn[] => {
  const behind = heads
    .map((head) => ({ head, done: at(head.tenant), left: head.seq - at(head.tenant) }))
    .filter(({ left }) => left > 0);
  const isLong = ({ left }: { readonly left: number }): boolean => left > LONG * batchSize;
  const long = behind.filter(isLong).length;
  const others = behind
    .filter((each) => !isLong(each))
    .reduce((sum, { left }) => sum + Math.min(left, batchSize), 0);
  const longBatch =
    others === 0 ? batchSize : Math.min(batchSize, Math.max(LEAST, Math.floor(others / 4 / long)));
  return behind.map((each) => ({
    head: each.head,
    from: (each.done + 1) as Seq,
    to: Math.min(each.head.seq, each.done + (isLong(each) ? longBatch : batchSize)) as Seq,
  }));
};
