// A ledger from one store into another, tenant by tenant and share by share, each checked on its way. What is there is
// compared at its end, so the same call goes on after any failure. Facts that are recorded meanwhile are brought too, in
// further rounds: only when a round finds nothing more are the two equal.
import type { ChainPosition } from '#proofs/chain.ts';
import type { TenantId } from '#schemas/ids.ts';
import {
  type BelongingsOf,
  CarryError,
  carriedShares,
  carrier,
  checkLink,
  checkShare,
  type ShareTaker,
  type Trust,
} from './carry.ts';
import type { Head, StreamStore } from './stream.ts';

export interface CopySource {
  readonly store: Pick<StreamStore, 'ledgerId' | 'heads' | 'read'>;
  readonly belongingsOf: BelongingsOf;
}

export interface CopyOptions {
  readonly source: CopySource;
  readonly taker: ShareTaker;
  readonly trust: Trust;
  /** Ends it between two shares: what was taken stays. */
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: CopyProgress) => void;
}

export interface CopyProgress {
  /** Stored by this call. */
  readonly facts: number;
  /** Of all that the source holds, from 0 to 1. */
  readonly share: number;
}

export interface Copied {
  /** Stored by this call. */
  readonly facts: number;
  /** What both stores end with now. */
  readonly heads: readonly Head[];
}

const ROUNDS_MAX = 20;

interface Course extends CopyOptions {
  facts: number;
  /** In the target before this call, and in the source. */
  earlier: number | undefined;
  total: number;
}

/** Nothing when the signal came. Throws `CarryError`, `StreamError`. */
export const copyLedger = async (options: CopyOptions): Promise<Copied | undefined> => {
  const course: Course = { ...options, facts: 0, earlier: undefined, total: 0 };
  for (let round = 1; round <= ROUNDS_MAX; round += 1) {
    const heads = await options.source.store.heads();
    if (heads.length === 0)
      throw new CarryError('gap', 'the store to copy from holds no facts: name the one that does');
    const behind = await tenantsBehind(course, heads);
    if (behind.length === 0) return { facts: course.facts, heads };
    for (const tenant of behind) await copyTenant(course, tenant);
    if (options.signal.aborted) return undefined;
  }
  throw new CarryError(
    'gap',
    `after ${ROUNDS_MAX} rounds facts are still recorded in the store to copy from: stop its services, and run the command again`,
  );
};

/** Throws `other-history` where the target does not end within the source. */
const tenantsBehind = async (course: Course, heads: readonly Head[]): Promise<readonly TenantId[]> => {
  const behind: TenantId[] = [];
  let there = 0;
  for (const head of heads) {
    const { seq, hash } = await course.taker.position(head.tenant);
    there += seq;
    if (seq === head.seq && hash === head.hash) continue;
    if (seq >= head.seq)
      throw new CarryError(
        'other-history',
        `${head.tenant}: the target ends at fact ${seq}, the source at ${head.seq}, and the one is not the beginning of the other: the target was appended to, or is of another history`,
      );
    behind.push(head.tenant);
  }
  course.earlier ??= there;
  course.total = heads.reduce((sum, { seq }) => sum + seq, 0);
  return behind;
};

const copyTenant = async (course: Course, tenant: TenantId): Promise<void> => {
  const { onProgress } = course;
  await copyChain(course, tenant, (facts) => {
    course.facts += facts;
    onProgress?.({ facts: course.facts, share: ((course.earlier ?? 0) + course.facts) / course.total });
  });
};

/** What the target lacks of one tenant. Throws `CarryError`, `StreamError`. */
export const copyChain = async (
  { source, taker, trust, signal }: Pick<CopyOptions, 'source' | 'taker' | 'trust' | 'signal'>,
  tenant: TenantId,
  onTaken: (facts: number) => void = () => undefined,
): Promise<void> => {
  let before = await taker.position(tenant);
  if (before.seq > 0) await sameAt(source, tenant, before);
  const into = carrier(taker, onTaken);
  for await (const carried of carriedShares(source.store, source.belongingsOf, {
    tenant,
    after: before.seq,
  })) {
    for (const { fact } of carried.facts) {
      checkLink(fact, before, 'the source');
      before = fact;
    }
    checkShare(carried, trust, 'the source');
    await into.put(tenant, carried);
    if (signal.aborted) break;
  }
  await into.flush();
};

/** The last fact that an earlier run brought is the source's. */
const sameAt = async (
  { store }: CopySource,
  tenant: TenantId,
  { seq, hash }: ChainPosition,
): Promise<void> => {
  const [page] = await Array.fromAsync(store.read(tenant, { from: seq, to: seq }));
  if (page?.[0]?.hash === hash) return;
  throw new CarryError(
    'other-history',
    `${tenant}: fact ${seq} is another in the target than in the source: the target is of another history`,
  );
};
