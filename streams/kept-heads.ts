// Whether a store still holds what it held: the heads that were kept outside it, each looked for in its chain.
import type { HeadsStatement, KeptHead } from '#proofs/heads.ts';
import type { Seq, Sha256 } from '#schemas/ids.ts';
import type { StreamStore } from './stream.ts';

/** A kept head that the store does not have. */
export interface LostHead extends KeptHead {
  /**
   * `no-such-tenant`: its chain is gone. `rolled-back`: it ends before the kept head. `other-history`: it goes on, but
   * past another fact at that place.
   */
  readonly loss: 'no-such-tenant' | 'rolled-back' | 'other-history';
  /** Where the chain ends now; 0 when there is none. */
  readonly headSeq: Seq;
}

export type HeadsHeld =
  | { readonly sameLedger: true; readonly lost: readonly LostHead[] }
  /** The statement is about another ledger: a swapped file, or a swapped database. */
  | { readonly sameLedger: false; readonly ledgerId: string };

/**
 * One look at all heads, and one fact read for each tenant that has gone on since. A tenant that went on in the meantime
 * is no loss. Throws `StreamError`.
 */
export const headsHeld = async (
  store: Pick<StreamStore, 'ledgerId' | 'heads' | 'read'>,
  { ledgerId, heads }: HeadsStatement,
  signal?: AbortSignal,
): Promise<HeadsHeld> => {
  if (ledgerId !== store.ledgerId) return { sameLedger: false, ledgerId: store.ledgerId };
  const now = new Map((await store.heads()).map((head) => [head.tenant, head]));
  const lost: LostHead[] = [];
  for (const kept of heads) {
    if (signal?.aborted) break;
    const head = now.get(kept.tenant);
    const headSeq = head?.seq ?? (0 as Seq);
    if (!head) lost.push({ ...kept, loss: 'no-such-tenant', headSeq });
    else if (head.seq < kept.seq) lost.push({ ...kept, loss: 'rolled-back', headSeq });
    else {
      const hash = head.seq === kept.seq ? head.hash : await hashAt(store, kept);
      if (hash !== kept.hash) lost.push({ ...kept, loss: 'other-history', headSeq });
    }
  }
  return { sameLedger: true, lost };
};

const hashAt = async (
  store: Pick<StreamStore, 'read'>,
  { tenant, seq }: KeptHead,
): Promise<Sha256 | undefined> => {
  for await (const [fact] of store.read(tenant, { from: seq, to: seq })) return fact?.hash;
  return undefined;
};
