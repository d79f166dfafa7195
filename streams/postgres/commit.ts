// One commit batch against PostgreSQL: plan, sign, store, answer. Nothing is answered before the commit is durable.
//
// What can come back from the database, and what follows:
//   PL001, or 23505 on facts_place   another process moved a head first: read the heads and plan again; after a few
//                                    losses the heads are locked first, so that nobody starves
//   23505 on facts_claim             some ids are stored already: those requests get their first answer, the rest go again
//   40001, 40P01                     the server asks for a repetition
//   lost connection                  the commit may or may not have happened: planned again with the same ids, so
//                                    that what was stored is found and answered as `repeated`
//   anything else                    with several requests, each goes alone, so that only the culprit fails
import { setTimeout as pause } from 'node:timers/promises';
import { buildBatch, type CommitBatch, signBatch } from '#proofs/checkpoint.ts';
import type { Signer } from '#proofs/keys/signer.ts';
import type { Recorded } from '#schemas/event.ts';
import type { Instant, Sha256, TenantId } from '#schemas/ids.ts';
import { payloadHash } from '#proofs/chain.ts';
import type { Appended, AppendRequest, AppendResult } from '#streams/stream.ts';
import type { QueuedAppend } from './batcher.ts';
import { batchNumbers, storeBatch } from './batch-rows.ts';
import { type Client, isConnectionFailure, type Pool, sqlState, streamError, withClient } from './connect.ts';
import { type Plan, planBatch } from './plan.ts';
import { proofAt } from './proof.ts';
import { findFacts, lockHeads, readHeads, readRevisions, type StoredHead } from './reader.ts';

export interface CommitterOptions {
  readonly pool: Pool;
  readonly ledgerId: string;
  readonly signer: Signer;
  readonly clock: () => Instant;
  /** How long an unreachable server is tried again before the appends fail as `unavailable`. */
  readonly retryForMs: number;
}

const LOSSES_BEFORE_LOCKING = 3;

interface Attempt {
  readonly items: readonly QueuedAppend[];
  readonly losses: number;
}

type Outcome =
  | { readonly kind: 'done'; readonly deferred: readonly QueuedAppend[] }
  | { readonly kind: 'again'; readonly next: Attempt; readonly deferred: readonly QueuedAppend[] };

export interface Committer {
  commit(items: readonly QueuedAppend[]): Promise<readonly QueuedAppend[]>;
}

export const committer = (options: CommitterOptions): Committer => {
  const { pool, clock, retryForMs } = options;
  // Heads as this process last saw them. A stale one costs one lost race, never a wrong fact.
  const known = new Map<TenantId, StoredHead>();
  const numbers = batchNumbers();

  const headsFor = async (client: Client, items: readonly QueuedAppend[], losses: number) => {
    const tenants = [...new Set(items.map((item) => item.request.tenant))];
    const opening = items.filter((item) => item.request.expect.kind === 'new-tenant');
    for (const item of opening) await client.query('SELECT ledger.open_tenant($1)', [item.request.tenant]);
    if (losses >= LOSSES_BEFORE_LOCKING) {
      await client.query('BEGIN');
      for (const head of await lockHeads(client, tenants)) known.set(head.tenant, head);
    } else {
      const missing = tenants.filter((tenant) => !known.has(tenant));
      if (missing.length > 0) for (const head of await readHeads(client, missing)) known.set(head.tenant, head);
    }
    const streams = items.flatMap(({ request }) => (request.expect.kind === 'stream' ? [{ tenant: request.tenant, stream: request.expect.stream }] : []));
    if (streams.length === 0) return new Map();
    const { heads, revisions } = await readRevisions(client, streams);
    for (const head of heads) known.set(head.tenant, head);
    return revisions;
  };

  const attempt = async (client: Client, { items, losses }: Attempt): Promise<Outcome> => {
    const revisions = await headsFor(client, items, losses);
    const plan = planBatch({ items, requestOf: (item) => item.request, heads: known, revisions, now: clock() });
    const stale = plan.answered.filter(({ result }) => result.kind !== 'appended');
    if (plan.rows.length === 0) return { kind: 'done', deferred: [...plan.deferred, ...(await answerRefused(client, stale))] };
    const batch = buildBatch({
      ledgerId: options.ledgerId,
      signedAt: clock(),
      tenants: plan.tenants.map((tenant) => ({ hashes: tenant.facts.map((fact) => fact.hash) })),
    });
    const signature = await signBatch(batch.statement, options.signer);
    try {
      await storeBatch(client, { plan, batch, signature, kid: options.signer.kid, batchNo: await numbers.next(client) });
      if (losses >= LOSSES_BEFORE_LOCKING) await client.query('COMMIT');
    } catch (error) {
      if (losses >= LOSSES_BEFORE_LOCKING) await client.query('ROLLBACK').catch(() => undefined);
      for (const tenant of plan.tenants) known.delete(tenant.head.tenant);
      return await afterFailure(client, { items, losses }, error);
    }
    remember(plan);
    settle(plan, batch, signature);
    return { kind: 'done', deferred: [...plan.deferred, ...(await answerRefused(client, stale))] };
  };

  const remember = (plan: Plan<QueuedAppend>): void => {
    for (const { head, facts } of plan.tenants) {
      const tip = facts.at(-1) as Recorded;
      known.set(head.tenant, { ...head, seq: tip.seq, hash: tip.hash, recordedAt: tip.recordedAt });
    }
  };

  const settle = (plan: Plan<QueuedAppend>, batch: CommitBatch, signature: Buffer): void => {
    for (const { item, tenantIndex, firstIndex } of plan.planned) {
      const facts: Appended[] = item.request.drafts.map((_, index) => ({
        fact: plan.tenants[tenantIndex]?.facts[firstIndex + index] as Recorded,
        proof: proofOf(batch, signature, { tenantIndex, factIndex: firstIndex + index }),
      }));
      item.settle({ kind: 'appended', facts });
    }
  };

  const proofOf = (batch: CommitBatch, signature: Buffer, at: { tenantIndex: number; factIndex: number }) =>
    batch.proof({ ...at, kid: options.signer.kid, signature });

  /**
   * A refused expectation may be the second sending of a request that went through: then it is answered as such.
   * A refusal made from a remembered head is checked against the database first.
   */
  const answerRefused = async (client: Client, refused: Plan<QueuedAppend>['answered']): Promise<readonly QueuedAppend[]> => {
    if (refused.length === 0) return [];
    const rest = await answerStored(client, refused.map(({ item }) => item));
    for (const { item, result } of refused) {
      if (!rest.includes(item)) continue;
      if (result.kind === 'no-such-tenant') known.delete(item.request.tenant);
      item.settle(result);
    }
    return [];
  };

  /** Answers the requests whose first id is stored already; returns the others. */
  const answerStored = async (client: Client, items: readonly QueuedAppend[]): Promise<readonly QueuedAppend[]> => {
    const rest: QueuedAppend[] = [];
    const byTenant = Map.groupBy(items, (item) => item.request.tenant);
    const heads = new Map((await readHeads(client, [...byTenant.keys()])).map((head) => [head.tenant, head]));
    for (const [tenant, group] of byTenant) {
      const head = heads.get(tenant);
      const stored = new Map(head ? (await findFacts(client, head, group.flatMap(({ request }) => request.drafts.map((d) => d.id)))).map((s) => [s.fact.id, s]) : []);
      for (const item of group) {
        const holder = item.request.drafts.map((draft) => stored.get(draft.id)).find((found) => found !== undefined);
        if (!holder || !head) rest.push(item);
        else item.settle(await repetition(client, head, item.request, stored));
      }
    }
    return rest;
  };

  const repetition = async (client: Client, head: StoredHead, request: AppendRequest, stored: ReadonlyMap<string, { fact: Recorded; requestHash: Sha256 | undefined }>): Promise<AppendResult> => {
    const [firstDraft] = request.drafts;
    const first = firstDraft && stored.get(firstDraft.id);
    const holder = first ?? [...stored.values()].find(({ fact }) => request.drafts.some((draft) => draft.id === fact.id));
    const sameRequest = first !== undefined && firstDraft !== undefined
      && (first.requestHash ?? payloadHash(first.fact.payload)) === (request.requestHash ?? payloadHash(firstDraft.payload));
    if (!sameRequest) return { kind: 'id-taken', first: (holder as { fact: Recorded }).fact };
    const facts: Appended[] = [];
    for (const draft of request.drafts) {
      const found = stored.get(draft.id);
      if (!found) continue;
      facts.push({ fact: found.fact, proof: await proofAt(client, { head, seq: found.fact.seq, ledgerId: options.ledgerId }) });
    }
    return { kind: 'repeated', facts };
  };

  const afterFailure = async (client: Client, { items, losses }: Attempt, error: unknown): Promise<Outcome> => {
    const code = sqlState(error);
    const constraint = (error as { constraint?: string }).constraint;
    if (code === 'PL001' || code === '40001' || code === '40P01' || (code === '23505' && constraint !== 'facts_claim')) {
      return { kind: 'again', next: { items, losses: losses + 1 }, deferred: [] };
    }
    if (code === '23505') return { kind: 'again', next: { items: await answerStored(client, items), losses }, deferred: [] };
    throw error;
  };

  const commitAll = async (items: readonly QueuedAppend[]): Promise<readonly QueuedAppend[]> => {
    const deferred: QueuedAppend[] = [];
    let next: Attempt = { items, losses: 0 };
    while (next.items.length > 0) {
      const current = next;
      const outcome = await withClient(pool, async (client) => await attempt(client, current));
      deferred.push(...outcome.deferred);
      if (outcome.kind === 'done') break;
      next = outcome.next;
    }
    return deferred;
  };

  return {
    commit: async (items) => {
      const deadline = Date.now() + retryForMs;
      let delayMs = 20;
      let waiting = items.map(oncesettled);
      for (;;) {
        try {
          return await commitAll(waiting);
        } catch (error) {
          known.clear();
          waiting = waiting.filter((item) => !item.settled());
          if (isConnectionFailure(error) && Date.now() + delayMs < deadline) {
            await pause(delayMs);
            delayMs = Math.min(delayMs * 2, 1_000);
          } else if (!isConnectionFailure(error) && waiting.length > 1) {
            const deferred: QueuedAppend[] = [];
            for (const item of waiting) deferred.push(...(await commitAll([item]).catch((alone) => (item.fail(streamError(alone)), []))));
            return deferred;
          } else {
            for (const item of waiting) item.fail(streamError(error));
            return [];
          }
        }
      }
    },
  };
};

interface Once extends QueuedAppend {
  readonly settled: () => boolean;
}

const oncesettled = (item: QueuedAppend): Once => {
  let done = false;
  return {
    ...item,
    settled: () => done,
    settle: (result) => {
      done = true;
      item.settle(result);
    },
    fail: (error) => {
      done = true;
      item.fail(error);
    },
  };
};
