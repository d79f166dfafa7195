// One commit batch against PostgreSQL: plan, sign, store, answer. Nothing is answered before the commit is durable.
//
// What can come back from the database, and what follows:
//   PL001, or 23505 on facts_place   another process moved a head first: read the heads and plan again; after a few
//                                    losses the heads are locked first, so that nobody starves
//   23505 on facts_claim             some ids are stored already: those requests get their first answer, the rest go again
//   55P03                            another process holds a head: as PL001
//   40001, 40P01                     the server asks for a repetition
//   lost connection                  the commit may or may not have happened: planned again with the same ids, so
//                                    that what was stored is found and answered as `repeated`; `in-doubt` when that
//                                    cannot be said in time
//   53100, the disk is full          no request is at fault, and none is tried alone: all fail as `out-of-space`
//   anything else                    with several requests, each goes alone, so that only the culprit fails
import { setTimeout as pause } from 'node:timers/promises';
import {
  type BatchProof,
  buildBatch,
  type CommitBatch,
  type SignedStatement,
  signBatch,
} from '#proofs/checkpoint.ts';
import type { Signer } from '#proofs/keys/signer.ts';
import type { Recorded } from '#schemas/event.ts';
import type { Instant, StreamRevision, TenantId } from '#schemas/ids.ts';
import type { Appended, AppendRequest } from '#streams/stream.ts';
import { answerStored } from './answers.ts';
import type { QueuedAppend } from './append-queue.ts';
import { batchNumbers, encodeBatch, sharesOf } from './batch-rows.ts';
import {
  type Client,
  isConnectionFailure,
  isLostRace,
  type Pool,
  sqlState,
  streamError,
  withClient,
} from './connect.ts';
import { type Plan, planBatch } from './plan.ts';
import { lockHeads, readHeads, readRevisions, type StoredHead } from './reader.ts';

export interface CommitterOptions {
  readonly pool: Pool;
  readonly ledgerId: string;
  readonly signer: Signer;
  readonly clock: () => Instant;
  /** How long an unreachable server is tried again before the appends fail as `unavailable`. */
  readonly retryForMs: number;
  readonly onCommit?: ((commit: CommitDone) => void) | undefined;
}

/** One batch that is durable now. */
export interface CommitDone {
  readonly requests: readonly AppendRequest[];
  readonly facts: number;
  readonly tenants: number;
  /** The key that signed it. */
  readonly kid: string;
  /** For planning, signing and storing it. */
  readonly seconds: number;
}

/** What the ways to commit share. */
export interface CommitState extends CommitterOptions {
  /** Heads as this process last saw them. A stale one costs one lost race, never a wrong fact. */
  readonly known: Map<TenantId, StoredHead>;
  readonly numbers: ReturnType<typeof batchNumbers>;
}

type Items = readonly QueuedAppend[];

const LOSSES_BEFORE_LOCKING = 3;

export const commitState = (options: CommitterOptions): CommitState => ({
  ...options,
  known: new Map(),
  numbers: batchNumbers(),
});

/**
 * The sure way: reads what it needs, and tries until everything is answered. Settles every item it is given but the
 * ones it returns, which are to go into the next batch.
 */
export const commitSurely = async (state: CommitState, items: Items): Promise<Items> => {
  const deadline = Date.now() + state.retryForMs;
  for (let delayMs = 20; ; delayMs = Math.min(delayMs * 2, 1_000)) {
    const waiting = items.filter((item) => !item.settled());
    try {
      return await commitAll(state, waiting);
    } catch (error) {
      state.known.clear();
      const away = isConnectionFailure(error);
      if (!away && streamError(error).code !== 'out-of-space')
        return await commitAlone(state, waiting, error);
      if (!away || Date.now() + delayMs > deadline) {
        for (const item of waiting) if (!item.settled()) item.fail(streamError(error));
        return [];
      }
      await pause(delayMs);
    }
  }
};

/** Commits each request by itself, after they had failed together. */
const commitAlone = async (state: CommitState, items: Items, cause: unknown): Promise<Items> => {
  const waiting = items.filter((item) => !item.settled());
  if (waiting.length === 1) {
    waiting[0]?.fail(streamError(cause));
    return [];
  }
  const deferred: QueuedAppend[] = [];
  for (const item of waiting) {
    try {
      deferred.push(...(await commitAll(state, [item])));
    } catch (error) {
      item.fail(streamError(error));
    }
  }
  return deferred;
};

/** Tries until no race is lost any more. */
const commitAll = async (state: CommitState, items: Items): Promise<Items> => {
  let waiting = items;
  for (let losses = 0; waiting.length > 0; ) {
    const outcome = await withClient(state.pool, (client) =>
      attempt(state, client, { items: waiting, losses }),
    );
    if (outcome.kind === 'done') return outcome.deferred;
    waiting = outcome.items;
    losses = outcome.losses;
  }
  return [];
};

interface Attempt {
  readonly items: Items;
  readonly losses: number;
}

type Outcome = { readonly kind: 'done'; readonly deferred: Items } | ({ readonly kind: 'again' } & Attempt);

const attempt = async (state: CommitState, client: Client, tried: Attempt): Promise<Outcome> => {
  const locking = tried.losses >= LOSSES_BEFORE_LOCKING;
  const from = performance.now();
  if (locking) await client.query('BEGIN');
  let sent: Plan<QueuedAppend> | undefined;
  try {
    const revisions = await refreshHeads(state, client, tried.items, locking);
    const plan = planBatch({
      items: tried.items,
      requestOf: (item) => item.request,
      heads: state.known,
      revisions,
      now: state.clock(),
    });
    if (plan.rows.length > 0) sent = plan;
    const stored = sent && (await store(state, client, plan));
    if (locking) await client.query('COMMIT');
    sent = undefined;
    if (stored) {
      rememberHeads(state, plan);
      settleBatch(state, stored, (performance.now() - from) / 1_000);
    }
    await answerRefused(state, client, plan);
    return { kind: 'done', deferred: plan.deferred };
  } catch (error) {
    if (sent && isConnectionFailure(error)) doubt(sent);
    if (locking) await client.query('ROLLBACK').catch(() => undefined);
    return await afterFailure(state, client, tried, error);
  }
};

/** The batch was on its way when the connection failed. */
export const doubt = ({ planned }: Plan<QueuedAppend>): void => {
  for (const { item } of planned) item.doubt();
};

/** Makes `known` hold every head the items need; returns the revisions of the streams they expect something of. */
const refreshHeads = async (
  { known }: CommitState,
  client: Client,
  items: Items,
  lock: boolean,
): Promise<ReadonlyMap<string, StreamRevision>> => {
  const tenants = new Set<TenantId>();
  const streams = [];
  for (const { request } of items) {
    const { tenant, expect } = request;
    tenants.add(tenant);
    if (expect.kind === 'stream') streams.push({ tenant, stream: expect.stream });
    if (expect.kind === 'new-tenant') await client.query('SELECT ledger.open_tenant($1)', [tenant]);
  }
  // An unopened tenant may have been opened by another process since.
  const missing = lock ? [...tenants] : [...tenants].filter((tenant) => (known.get(tenant)?.seq ?? 0) === 0);
  if (missing.length > 0)
    for (const head of await (lock ? lockHeads : readHeads)(client, missing)) known.set(head.tenant, head);
  if (streams.length === 0) return new Map();
  const { heads, revisions } = await readRevisions(client, streams);
  for (const head of heads) known.set(head.tenant, head);
  return revisions;
};

/** A batch signed and put into its wire form. */
export interface ReadyBatch {
  readonly plan: Plan<QueuedAppend>;
  readonly batch: CommitBatch;
  readonly signed: SignedStatement;
  readonly send: (client: Client) => Promise<void>;
}

/** Throws `SigningFault`. */
export const readyBatch = async (
  { ledgerId, signer, clock }: CommitState,
  plan: Plan<QueuedAppend>,
  batchNo: number,
): Promise<ReadyBatch> => {
  const tenants = plan.tenants.map((tenant) => tenant.facts.map((fact) => fact.hash));
  const batch = buildBatch({ ledgerId, signedAt: clock(), tenants });
  const signed = await signBatch(batch.statement, signer);
  const send = encodeBatch(
    { batchNo, statement: batch.statement, signed, shares: sharesOf(plan.tenants, batch.shares) },
    plan,
  );
  return { plan, batch, signed, send };
};

const store = async (state: CommitState, client: Client, plan: Plan<QueuedAppend>): Promise<ReadyBatch> => {
  const ready = await readyBatch(state, plan, await state.numbers.next(client));
  await ready.send(client);
  return ready;
};

/** Takes the batch's last facts for the heads. */
export const rememberHeads = ({ known }: CommitState, { tenants }: Plan<QueuedAppend>): void => {
  for (const { head, facts } of tenants) {
    const tip = facts.at(-1) as Recorded;
    known.set(head.tenant, { ...head, seq: tip.seq, hash: tip.hash, recordedAt: tip.recordedAt });
  }
};

/** Answers the requests of a batch that has become durable in so many seconds. */
export const settleBatch = (
  { onCommit }: CommitState,
  { plan, batch, signed }: ReadyBatch,
  seconds: number,
): void => {
  onCommit?.({
    requests: plan.planned.map(({ item }) => item.request),
    facts: plan.rows.length,
    tenants: plan.tenants.length,
    kid: signed.kid,
    seconds,
  });
  for (const { item, tenantIndex, firstIndex } of plan.planned) {
    const facts = plan.tenants[tenantIndex]?.facts ?? [];
    item.settle({
      kind: 'appended',
      facts: item.request.drafts.map(
        (_, index) =>
          new AppendedFact(facts[firstIndex + index] as Recorded, () =>
            batch.proof({ tenantIndex, factIndex: firstIndex + index }, signed),
          ),
      ),
    });
  }
};

/**
 * Many who append never look at the proof: it is put together when somebody does. A class, since an object with a getter of
 * its own brings a hidden class along that lives, and keeps the whole batch alive, until old memory is collected.
 */
class AppendedFact implements Appended {
  readonly fact: Recorded;
  readonly #prove: () => BatchProof;
  constructor(fact: Recorded, prove: () => BatchProof) {
    this.fact = fact;
    this.#prove = prove;
  }
  get proof(): BatchProof {
    return this.#prove();
  }
}

/** A refused expectation may be the second sending of a request that went through: then it gets the first answer. */
const answerRefused = async (
  { ledgerId }: CommitState,
  client: Client,
  { answered }: Plan<QueuedAppend>,
): Promise<void> => {
  if (answered.length === 0) return;
  const rest = new Set(
    await answerStored(
      client,
      ledgerId,
      answered.map(({ item }) => item),
    ),
  );
  for (const { item, result } of answered) if (rest.has(item)) item.settle(result);
};

const afterFailure = async (
  state: CommitState,
  client: Client,
  { items, losses }: Attempt,
  error: unknown,
): Promise<Outcome> => {
  const code = sqlState(error);
  for (const { request } of items) state.known.delete(request.tenant);
  if (code === '23505' && (error as { constraint?: string }).constraint === 'facts_claim') {
    return { kind: 'again', items: await answerStored(client, state.ledgerId, items), losses };
  }
  if (code === '23505' && (error as { constraint?: string }).constraint === 'batches_pkey')
    await state.numbers.skipStored(client);
  if (code === '23505' || isLostRace(code)) return { kind: 'again', items, losses: losses + 1 };
  throw error;
};
