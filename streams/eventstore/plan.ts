// What one append to a tenant's stream will hold, worked out in memory against all that is known of the chain: which
// requests go in, with which hashes, and which are answered without going in. Pure.
import { payloadHash, seal } from '#proofs/chain.ts';
import type { Draft, Recorded } from '#schemas/event.ts';
import type { FactId, Instant, Seq, Sha256, StreamName, StreamRevision } from '#schemas/ids.ts';
import type { AppendRequest, AppendResult, Head } from '#streams/stream.ts';
import type { ChainIndex } from './chain.ts';

export interface PlannedFact {
  readonly fact: Recorded;
  readonly requestHash: Sha256 | undefined;
}

export type Fate =
  /** Goes in, from this index of the plan's facts on. */
  | { readonly kind: 'in'; readonly firstIndex: number }
  /** Some of its ids are stored: the answer is read there. */
  | { readonly kind: 'stored' }
  /** Its ids are claimed by another request of this very plan: it goes into the next one, and finds it stored. */
  | { readonly kind: 'later' }
  | { readonly kind: 'refused'; readonly result: AppendResult };

export interface Plan {
  readonly facts: readonly PlannedFact[];
  /** In the order of the requests. */
  readonly fates: readonly Fate[];
}

/** What of the chain a plan needs. */
export type KnownChain = Pick<ChainIndex, 'head' | 'seqOf' | 'seqsOf'>;

export const planAppend = (chain: KnownChain, requests: readonly AppendRequest[], now: Instant): Plan => {
  const facts: PlannedFact[] = [];
  const claimed = new Set<FactId>();
  const moved = new Map<StreamName, Seq>();
  let tip: Head = chain.head();
  const put = ({ tenant, drafts, requestHash }: AppendRequest): void => {
    const recordedAt = Math.max(now, tip.recordedAt) as Instant;
    for (const [index, draft] of drafts.entries()) {
      const place = { tenant, seq: (tip.seq + 1) as Seq, prevHash: tip.hash, recordedAt };
      const fact = Object.freeze(seal(draft, place));
      const own = index === 0 && requestHash !== payloadHash(draft.payload) ? requestHash : undefined;
      facts.push({ fact, requestHash: own });
      claimed.add(fact.id);
      if (fact.stream !== undefined) moved.set(fact.stream, fact.seq);
      tip = fact;
    }
  };
  const revisionOf = (stream: StreamName): number => moved.get(stream) ?? chain.seqsOf(stream).at(-1) ?? 0;
  const fates = requests.map((request): Fate => {
    if (request.drafts.some(({ id }) => claimed.has(id))) return { kind: 'later' };
    if (request.drafts.some(({ id }) => chain.seqOf(id) !== undefined)) return { kind: 'stored' };
    const result = unmet(request, tip, revisionOf);
    if (result) return { kind: 'refused', result };
    const firstIndex = facts.length;
    put(request);
    return { kind: 'in', firstIndex };
  });
  return { facts, fates };
};

const unmet = (
  { expect }: AppendRequest,
  head: Head,
  revisionOf: (stream: StreamName) => number,
): AppendResult | undefined => {
  switch (expect.kind) {
    case 'new-tenant':
      return head.seq === 0 ? undefined : { kind: 'tenant-exists', head: headOf(head) };
    case 'any':
      return head.seq === 0 ? { kind: 'no-such-tenant' } : undefined;
    case 'stream': {
      if (head.seq === 0) return { kind: 'no-such-tenant' };
      const actual = revisionOf(expect.stream) as StreamRevision;
      return actual === expect.revision ? undefined : { kind: 'conflict', actual };
    }
    default:
      return expect satisfies never;
  }
};

/** A head and nothing else, also where a fact stands for it. */
export const headOf = ({ tenant, seq, hash, recordedAt }: Head): Head => ({ tenant, seq, hash, recordedAt });

/** The hash that an id's claim is compared by. */
export const claimHash = (draft: Draft, requestHash: Sha256 | undefined): Sha256 =>
  requestHash ?? payloadHash(draft.payload);
