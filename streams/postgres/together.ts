// Many requests of many tenants and something of the caller's own, in one transaction: what a consumer of messages needs,
// whose place in its topic moves with the facts or not at all. The facts go the way of every commit batch: sealed,
// signed once, heads moved by compare-and-swap; a lost race is run again, and so is the caller's part.
import { payloadHash } from '#proofs/chain.ts';
import { buildBatch, signBatch } from '#proofs/checkpoint.ts';
import type { Signer } from '#proofs/keys/signer.ts';
import type { Draft } from '#schemas/event.ts';
import type { FactId, Instant, Seq, Sha256, StreamRevision, TenantId } from '#schemas/ids.ts';
import type { AppendRequest } from '#streams/stream.ts';
import { batchNumbers, encodeBatch, sharesOf } from './batch-rows.ts';
import {
  type Client,
  isConnectionFailure,
  isLostRace,
  type Pool,
  sqlState,
  streamError,
  transaction,
} from './connect.ts';
import { planBatch } from './plan.ts';
import {
  lockHeads,
  readHeads,
  readRevisions,
  revisionKey,
  type StoredHead,
  type StreamKey,
} from './reader.ts';

/** The fact that holds a claim. */
export interface ClaimHolder {
  readonly tenant: TenantId;
  readonly seq: Seq;
  readonly id: FactId;
}

/** What became of one request: stored now; stored before by the same request; its id stands for another one. */
export type Fate =
  | { readonly kind: 'appended'; readonly seq: Seq }
  | { readonly kind: 'repeated'; readonly first: ClaimHolder }
  | { readonly kind: 'id-taken'; readonly first: ClaimHolder }
  | { readonly kind: 'no-such-tenant' };

/** Where a stream of a tenant stands: the seq of its last fact, 0 without any. */
export interface StreamStanding extends StreamKey {
  readonly revision: StreamRevision;
}

export interface TogetherWork {
  /** Pure inserts (`expect.kind` is `any`) of one fact each. */
  readonly requests: readonly AppendRequest[];
  /** The fact that says so when a request's id stands for another one; it goes into the same batch. */
  readonly onTaken?: (request: AppendRequest, first: ClaimHolder) => AppendRequest | undefined;
  /** What the work was decided from: unless these streams still stand so at the commit, nothing of it is done. */
  readonly expects: readonly StreamStanding[];
  /** Runs first. False: nothing of the work may be done any more. */
  readonly before: (client: Client) => Promise<boolean>;
  /** Runs last, before the commit. */
  readonly after: (client: Client, fates: readonly Fate[]) => Promise<void>;
}

export interface Together {
  /** Those of the tenants that there are; a tenant never goes away. */
  readonly known: (tenants: Iterable<TenantId>) => Promise<ReadonlySet<TenantId>>;
  /**
   * The fates, in the order of the requests, once all of it is durable; `undefined` when `before` said no, or a stream
   * has moved. Throws `StreamError`: nothing is known then about whether it was stored, and `before` must tell at the next try.
   */
  readonly commit: (work: TogetherWork) => Promise<readonly Fate[] | undefined>;
}

export interface TogetherOptions {
  readonly pool: Pool;
  readonly ledgerId: string;
  readonly signer: Signer;
  readonly clock?: () => number;
}

interface State extends Required<TogetherOptions> {
  readonly tenants: Set<TenantId>;
  readonly numbers: ReturnType<typeof batchNumbers>;
  /** Commits for which claims are looked up beforehand, since a repetition was met lately. */
  wary: number;
  /** Commits that lock their heads first, since a race was lost lately. */
  contended: number;
}

/** What was met once is likely met again soon: a question beforehand costs less than a COPY that fails. */
const REMEMBERED_FOR = 50;

export const appendTogether = (options: TogetherOptions): Together => {
  const state: State = {
    clock: Date.now,
    ...options,
    tenants: new Set(),
    numbers: batchNumbers(),
    wary: 0,
    contended: 0,
  };
  return {
    known: async (tenants) => {
      const wanted = new Set(tenants);
      const missing = [...wanted].filter((tenant) => !state.tenants.has(tenant));
      if (missing.length > 0) await headsOf(state, missing);
      return new Set([...wanted].filter((tenant) => state.tenants.has(tenant)));
    },
    commit: async (work) => {
      for (;;) {
        try {
          return await attempt(state, work);
        } catch (error) {
          if (error === FENCED) return undefined;
          await prepareAgain(state, error);
        }
      }
    },
  };
};

const headsOf = async ({ pool, tenants }: State, wanted: readonly TenantId[]): Promise<void> => {
  try {
    for (const { tenant, seq } of await readHeads(pool, wanted)) if (seq > 0) tenants.add(tenant);
  } catch (error) {
    throw streamError(error);
  }
};

/** Returns when the same work is to be tried again; throws what it cannot mend. */
const prepareAgain = async (state: State, error: unknown): Promise<void> => {
  const code = sqlState(error);
  const { constraint } = error as { readonly constraint?: string };
  if (constraint === 'facts_claim') state.wary = REMEMBERED_FOR;
  else if (constraint === 'batches_pkey')
    await transaction(state.pool, (client) => state.numbers.skipStored(client));
  else if (isLostRace(code) || constraint === 'facts_place') state.contended = REMEMBERED_FOR;
  else throw code !== undefined || isConnectionFailure(error) ? streamError(error) : error;
};

// Thrown inside the transaction to roll it back, and caught right outside.
const FENCED = new Error('the caller may not go on');

const attempt = (state: State, work: TogetherWork): Promise<readonly Fate[]> =>
  transaction(state.pool, async (client) => {
    const { requests } = work;
    if (!(await work.before(client))) throw FENCED;
    const wanted = [...new Set(requests.map(({ tenant }) => tenant))];
    const read = state.contended > 0 ? lockHeads : readHeads;
    const found = wanted.length > 0 ? await read(client, wanted) : [];
    const heads = new Map(found.filter(({ seq }) => seq > 0).map((head) => [head.tenant, head]));
    // Behind the heads: a stream that moves after this was read moves its tenant's head, and the batch fails on it.
    if (!(await stillStand(client, work.expects))) throw FENCED;
    const stored = state.wary > 0 ? await readClaims(client, heads, requests) : NO_CLAIMS;
    state.wary = Math.max(0, state.wary - 1);
    state.contended = Math.max(0, state.contended - 1);
    const { inserts, fates } = settle(heads, work, stored);
    if (inserts.length > 0) await store(state, client, { heads, items: inserts });
    await work.after(client, fates);
    return fates;
  });

const stillStand = async (client: Client, expects: readonly StreamStanding[]): Promise<boolean> => {
  if (expects.length === 0) return true;
  const { revisions } = await readRevisions(client, expects);
  return expects.every((each) => revisions.get(revisionKey(each)) === each.revision);
};

type Heads = ReadonlyMap<TenantId, StoredHead>;
type Claims = ReadonlyMap<string, ClaimHolder & { readonly claim: Sha256 }>;

const NO_CLAIMS: Claims = new Map();

const claimKey = ({ tenant, drafts }: AppendRequest): string => `${tenant} ${idOf(drafts)}`;
const idOf = ([first]: AppendRequest['drafts']): FactId => (first as Draft).id;

const claimOf = ({ requestHash, drafts: [first] }: AppendRequest): Sha256 =>
  requestHash ?? payloadHash((first as Draft).payload);

const readClaims = async (
  client: Client,
  heads: Heads,
  requests: readonly AppendRequest[],
): Promise<Claims> => {
  const known = requests.filter(({ tenant }) => heads.has(tenant));
  const { rows } = await client.query<{ tenant: TenantId; id: FactId; seq: Seq; claim: Sha256 }>({
    name: 'claims_of_many',
    text: `SELECT w.tenant, f.id, f.seq, encode(coalesce(f.request_hash, sha256(f.payload)), 'hex') AS claim
      FROM unnest($1::int[], $2::uuid[], $3::text[]) AS w (tenant_no, id, tenant)
      JOIN ledger.facts f ON f.tenant_no = w.tenant_no AND f.id = w.id`,
    values: [
      known.map(({ tenant }) => heads.get(tenant)?.tenantNo),
      known.map(({ drafts }) => idOf(drafts)),
      known.map(({ tenant }) => tenant),
    ],
  });
  return new Map(rows.map((row) => [`${row.tenant} ${row.id}`, row]));
};

interface Settled {
  readonly inserts: readonly AppendRequest[];
  /** In the order of the requests. */
  readonly fates: readonly Fate[];
}

/** Who goes in, and who is answered by what is stored already or goes in before it. */
const settle = (heads: Heads, { requests, onTaken }: TogetherWork, stored: Claims): Settled => {
  const inserts: AppendRequest[] = [];
  const tips = new Map<TenantId, number>();
  const holders = new Map<string, { readonly first: ClaimHolder; readonly claim: () => Sha256 }>();
  for (const [key, first] of stored) holders.set(key, { first, claim: () => first.claim });
  const insert = (request: AppendRequest): Fate => {
    const { tenant, drafts } = request;
    const seq = ((tips.get(tenant) ?? heads.get(tenant)?.seq ?? 0) + 1) as Seq;
    tips.set(tenant, seq);
    const first = { tenant, seq, id: idOf(drafts) };
    holders.set(claimKey(request), { first, claim: () => claimOf(request) });
    inserts.push(request);
    return { kind: 'appended', seq };
  };
  const fates = requests.map((request): Fate => {
    if (!heads.has(request.tenant)) return { kind: 'no-such-tenant' };
    const holder = holders.get(claimKey(request));
    if (!holder) return insert(request);
    const { first } = holder;
    if (holder.claim() === claimOf(request)) return { kind: 'repeated', first };
    const note = onTaken?.(request, first);
    if (note && heads.has(note.tenant) && !holders.has(claimKey(note))) insert(note);
    return { kind: 'id-taken', first };
  });
  return { inserts, fates };
};

interface Storing {
  readonly heads: Heads;
  readonly items: readonly AppendRequest[];
}

/** Seals, signs and stores them, and moves the heads. */
const store = async (
  { numbers, signer, ledgerId, clock }: State,
  client: Client,
  { heads, items }: Storing,
): Promise<void> => {
  const now = clock() as Instant;
  const plan = planBatch({ items, requestOf: (item) => item, heads, revisions: new Map(), now });
  if (plan.planned.length !== items.length)
    throw new Error('a batch was planned otherwise than it was settled');
  const tenants = plan.tenants.map(({ facts }) => facts.map(({ hash }) => hash));
  const batch = buildBatch({ ledgerId, signedAt: now, tenants });
  const signed = await signBatch(batch.statement, signer);
  const batchNo = await numbers.next(client);
  const shares = sharesOf(plan.tenants, batch.shares);
  await encodeBatch({ batchNo, statement: batch.statement, signed, shares }, plan)(client);
};
