// Appends to one tenant's stream, against the server: plan, sign, store with the expected revision, answer. Nothing is
// answered before the server has acknowledged. What can come back, and what follows:
//   another revision than was expected   another process was faster: read what is new, plan and sign again
//   no answer                            it may be stored or not: read what is new; ids that are there are answered as
//                                        `repeated`; the rest goes again with the revision that is now, which an append
//                                        still on its way then misses; `in-doubt` when the server stays away
//   anything else                        with several requests, each goes alone, so that only the culprit fails
import { setTimeout as pause } from 'node:timers/promises';
import { buildBatch, signBatch } from '#proofs/checkpoint.ts';
import type { Signer } from '#proofs/keys/signer.ts';
import { proofsOfShare, type SignedShare } from '#proofs/share.ts';
import type { Instant, Seq, TenantId } from '#schemas/ids.ts';
import { StreamError } from '#streams/errors.ts';
import type { Appended, AppendRequest, AppendResult } from '#streams/stream.ts';
import { type ChainIndex, readFacts } from './chain.ts';
import { appendEvents, type EventStore, eventStoreError, isConnectionFailure } from './connect.ts';
import type { TenantNames } from './ledger-streams.ts';
import { claimHash, type Plan, planAppend } from './plan.ts';
import { encodeFact, type StoredFact } from './record.ts';

export interface Committing {
  readonly store: EventStore;
  readonly ledgerId: string;
  readonly signer: Signer;
  readonly clock: () => Instant;
  readonly names: TenantNames;
  /** How long an unreachable server is tried again. */
  readonly retryForMs: number;
  /** Tenants to which something was sent whose answer never came: it may stand behind what is known of their chains. */
  readonly unsure: Set<TenantId>;
}

export interface WaitingAppend {
  readonly request: AppendRequest;
  readonly settle: (result: AppendResult) => void;
  readonly fail: (error: StreamError) => void;
}

type Items = readonly WaitingAppend[];

/** Settles every item. */
export const commitTo = async (state: Committing, chain: ChainIndex, items: Items): Promise<void> => {
  const deadline = Date.now() + state.retryForMs;
  const course: Course = { waiting: items, fresh: false, doubted: false };
  for (let delayMs = 20; course.waiting.length > 0; delayMs = Math.min(delayMs * 2, 1_000))
    try {
      await attempt(state, chain, course);
    } catch (error) {
      course.fresh = false;
      if (!isConnectionFailure(error)) return await commitAlone(state, chain, { ...course, error });
      if (Date.now() + delayMs > deadline) return failAll(course, error);
      await pause(delayMs);
    }
};

interface Course {
  waiting: Items;
  /** What is known of the chain was read after these items came. */
  fresh: boolean;
  /** Something was sent, and its answer did not come. */
  doubted: boolean;
}

const IN_DOUBT = 'the connection was lost after the append was sent: repeat it with the same ids';

const failAll = ({ waiting, doubted }: Course, cause: unknown): void => {
  const error = doubted ? new StreamError('in-doubt', IN_DOUBT, { cause }) : eventStoreError(cause);
  for (const item of waiting) item.fail(error);
};

const commitAlone = async (
  state: Committing,
  chain: ChainIndex,
  { error, ...course }: Course & { readonly error: unknown },
): Promise<void> => {
  if (course.waiting.length === 1) return failAll(course, error);
  for (const item of course.waiting) await commitTo(state, chain, [item]);
};

/** One try for all that wait; those that are answered wait no more. */
const attempt = async (state: Committing, chain: ChainIndex, course: Course): Promise<void> => {
  if (!course.fresh && (state.unsure.has(chain.tenant) || chain.head().seq === 0)) {
    await refresh(chain, course);
    state.unsure.delete(chain.tenant);
  }
  const requests = course.waiting.map(({ request }) => request);
  let plan = planAppend(chain, requests, state.clock());
  // A refusal is final: it is not made from what was known some time ago.
  if (!course.fresh && plan.fates.some(({ kind }) => kind === 'refused')) {
    await refresh(chain, course);
    plan = planAppend(chain, requests, state.clock());
  }
  const appended = plan.facts.length === 0 ? undefined : await store(state, chain, { plan, course });
  if (appended === 'lost') return await refresh(chain, course);
  const items = course.waiting;
  course.waiting = items.filter((_, index) => plan.fates[index]?.kind === 'later');
  // From here on nothing of these items is under way.
  course.doubted = false;
  await answer({ state, chain, items, plan, appended });
};

const refresh = async (chain: ChainIndex, course: Course): Promise<void> => {
  await chain.catchUp();
  course.fresh = true;
};

interface Storing {
  readonly plan: Plan;
  readonly course: Course;
}

const store = async (
  state: Committing,
  chain: ChainIndex,
  { plan, course }: Storing,
): Promise<'lost' | ((index: number) => Appended)> => {
  const { seq } = chain.head();
  const hashes = plan.facts.map(({ fact }) => fact.hash);
  const batch = buildBatch({ ledgerId: state.ledgerId, signedAt: state.clock(), tenants: [hashes] });
  const signed = await signBatch(batch.statement, state.signer);
  const share: SignedShare = {
    first: (seq + 1) as Seq,
    count: hashes.length,
    proof: {
      ...batch.statement,
      kid: signed.kid,
      signature: signed.signature.toString('base64url'),
      tenantIndex: 0,
      tenantPath: [],
    },
  };
  const stored = plan.facts.map((planned): StoredFact => ({ ...planned, share }));
  if (seq === 0) await state.names.announce(chain.tenant);
  course.doubted = true;
  state.unsure.add(chain.tenant);
  const stream = state.store.streams.chain(chain.tenant);
  const { kind } = await appendEvents(state.store, stream, {
    after: seq - 1,
    events: stored.map(encodeFact),
  });
  state.unsure.delete(chain.tenant);
  if (kind === 'lost') {
    course.doubted = false;
    return 'lost';
  }
  chain.extend(stored);
  const proofOf = proofsOfShare(share, hashes);
  return (index) => ({ fact: (stored[index] as StoredFact).fact, proof: proofOf(index) });
};

interface Answering {
  readonly state: Committing;
  readonly chain: ChainIndex;
  readonly items: Items;
  readonly plan: Plan;
  readonly appended: ((index: number) => Appended) | undefined;
}

const answer = async ({ state, chain, items, plan, appended }: Answering): Promise<void> => {
  for (const [index, item] of items.entries()) {
    const fate = plan.fates[index];
    if (fate?.kind === 'refused') item.settle(fate.result);
    else if (fate?.kind === 'in' && appended)
      item.settle({
        kind: 'appended',
        facts: item.request.drafts.map((_, offset) => appended(fate.firstIndex + offset)),
      });
    else if (fate?.kind === 'stored') await answerStored(state.store, chain, item);
  }
};

/** The first answer again when the request is the one that was stored; else the fact that holds the claim. */
const answerStored = async (store: EventStore, chain: ChainIndex, item: WaitingAppend): Promise<void> => {
  const { drafts, requestHash } = item.request;
  const seqs = drafts.flatMap(({ id }) => chain.seqOf(id) ?? []);
  try {
    const found = await Promise.all(seqs.map((seq) => readFact(store, chain.tenant, seq)));
    const [draft] = drafts;
    const holder = found.find(({ fact }) => fact.id === draft?.id);
    const same =
      draft && holder && claimHash(holder.fact, holder.requestHash) === claimHash(draft, requestHash);
    if (!same) return item.settle({ kind: 'id-taken', first: (found[0] as StoredFact).fact });
    const facts: Appended[] = [];
    for (const { fact, share } of found)
      facts.push({ fact, proof: (await shareProofs(store, chain.tenant, share))(fact.seq - share.first) });
    item.settle({ kind: 'repeated', facts });
  } catch (error) {
    item.fail(eventStoreError(error));
  }
};

/** A fact below the head. Throws `corrupt` where there is none. */
export const readFact = async (
  store: EventStore,
  tenant: ChainIndex['tenant'],
  seq: Seq,
): Promise<StoredFact> => {
  const [stored] = await readFacts(store, tenant, { from: seq, to: seq });
  if (stored) return stored;
  throw new StreamError('corrupt', `${tenant}/${seq}: a fact below the head is missing`);
};

/** The proofs of the facts of a stored share, by their index in it. Throws `corrupt` when it is not whole. */
export const shareProofs = async (
  store: EventStore,
  tenant: ChainIndex['tenant'],
  share: SignedShare,
): Promise<ReturnType<typeof proofsOfShare>> => {
  const { first, count } = share;
  const facts = await readFacts(store, tenant, { from: first, to: first + count - 1 });
  if (facts.length === count)
    return proofsOfShare(
      share,
      facts.map(({ fact }) => fact.hash),
    );
  throw new StreamError('corrupt', `${tenant}/${first}: its commit batch is not whole`);
};
