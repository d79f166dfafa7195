// One commit batch in memory: requests are decided one after the other against what is stored and what the same batch
// has taken in already; then the batch is signed; only then does anything become visible.
import { payloadHash, seal } from '#proofs/chain.ts';
import { buildBatch, signBatch } from '#proofs/checkpoint.ts';
import type { Signer } from '#proofs/keys/signer.ts';
import type { Recorded } from '#schemas/event.ts';
import type { FactId, Instant, Seq, StreamName, StreamRevision, TenantId } from '#schemas/ids.ts';
import type { Appended, AppendRequest, AppendResult, Head } from '#streams/stream.ts';
import { type Chain, type Claim, headOf, type MemoryStorage } from './storage.ts';

export interface CommitOptions {
  readonly storage: MemoryStorage;
  readonly signer: Signer;
  readonly clock: () => Instant;
}

/** What this batch adds to one tenant. */
interface Share {
  readonly facts: Recorded[];
  readonly claims: Map<FactId, Claim>;
  readonly revisions: Map<StreamName, Seq>;
}

/** Known at once for a refusal; after the batch is stored for anything that answers with facts. */
type Answer = AppendResult | ((appended: (claim: Claim) => readonly Appended[]) => AppendResult);

/** Answers every request, in order. Throws, with nothing stored, when the batch cannot be signed. */
export const commitBatch = async (
  { storage, signer, clock }: CommitOptions,
  requests: readonly AppendRequest[],
): Promise<readonly AppendResult[]> => {
  const now = clock();
  const shares = new Map<TenantId, Share>();
  const answers = requests.map((request) => decide({ storage, shares, now }, request));
  const tenants = [...shares].filter(([, share]) => share.facts.length > 0);
  if (tenants.length > 0) {
    const batch = buildBatch({
      ledgerId: storage.ledgerId,
      signedAt: now,
      tenants: tenants.map(([, { facts }]) => facts.map((fact) => fact.hash)),
    });
    const signed = await signBatch(batch.statement, signer);
    for (const [tenantIndex, [tenant, share]] of tenants.entries()) {
      store(storage, tenant, share, (factIndex) => batch.proof({ tenantIndex, factIndex }, signed));
    }
    for (const wake of storage.watchers) wake();
  }
  const appended = ({ fact, first, count }: Claim): readonly Appended[] =>
    storage.chains.get(fact.tenant)?.entries.slice(first - 1, first - 1 + count) ?? [];
  return answers.map((answer) => (typeof answer === 'function' ? answer(appended) : answer));
};

interface Deciding {
  readonly storage: MemoryStorage;
  readonly shares: Map<TenantId, Share>;
  readonly now: Instant;
}

const decide = ({ storage, shares, now }: Deciding, request: AppendRequest): Answer => {
  const { tenant, drafts } = request;
  const chain = storage.chains.get(tenant);
  const share: Share = shares.get(tenant) ?? { facts: [], claims: new Map(), revisions: new Map() };
  const head: Head = share.facts.at(-1) ?? headOf(storage, tenant);
  const [first] = drafts;
  if (!first) throw new RangeError('an append has at least one fact');
  const requestHash = request.requestHash ?? payloadHash(first.payload);

  // A repetition is answered as such whatever has become of its expectation since.
  const claimOf = (id: FactId): Claim | undefined => share.claims.get(id) ?? chain?.claims.get(id);
  const held = claimOf(first.id);
  if (held?.requestHash === requestHash) return (appended) => ({ kind: 'repeated', facts: appended(held) });
  const taken = drafts.map((draft) => claimOf(draft.id)).find((claim) => claim !== undefined);
  if (taken) return { kind: 'id-taken', first: taken.fact };

  const revisionOf = (stream: StreamName): number =>
    share.revisions.get(stream) ?? chain?.streams.get(stream)?.at(-1) ?? 0;
  const refusal = unmet(request, head, revisionOf);
  if (refusal) return refusal;

  const recordedAt = Math.max(now, head.recordedAt) as Instant;
  let before: Pick<Head, 'seq' | 'hash'> = head;
  for (const draft of drafts) {
    const fact = Object.freeze(
      seal(draft, { tenant, seq: (before.seq + 1) as Seq, prevHash: before.hash, recordedAt }),
    );
    share.facts.push(fact);
    share.claims.set(draft.id, {
      first: (head.seq + 1) as Seq,
      count: drafts.length,
      requestHash: draft === first ? requestHash : undefined,
      fact,
    });
    if (fact.stream !== undefined) share.revisions.set(fact.stream, fact.seq);
    before = fact;
  }
  shares.set(tenant, share);
  const claim = share.claims.get(first.id) as Claim;
  return (appended) => ({ kind: 'appended', facts: appended(claim) });
};

const unmet = (
  { expect }: AppendRequest,
  head: Head,
  revisionOf: (stream: StreamName) => number,
): AppendResult | undefined => {
  switch (expect.kind) {
    case 'new-tenant':
      return head.seq === 0 ? undefined : { kind: 'tenant-exists', head };
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

const store = (
  storage: MemoryStorage,
  tenant: TenantId,
  share: Share,
  proofOf: (factIndex: number) => Appended['proof'],
): void => {
  const chain: Chain = storage.chains.get(tenant) ?? { entries: [], claims: new Map(), streams: new Map() };
  storage.chains.set(tenant, chain);
  for (const [factIndex, fact] of share.facts.entries()) {
    chain.entries.push({ fact, proof: proofOf(factIndex) });
    if (fact.stream === undefined) continue;
    const seqs = chain.streams.get(fact.stream);
    if (seqs) seqs.push(fact.seq);
    else chain.streams.set(fact.stream, [fact.seq]);
  }
  for (const [id, claim] of share.claims) chain.claims.set(id, claim);
};
