// What one commit batch will do, worked out in memory: which requests go in, in which order, with which hashes, and
// which are answered without going in. Pure: the same requests against the same heads give the same plan.
import { seal } from '#proofs/chain.ts';
import type { Recorded } from '#schemas/event.ts';
import type { Instant, Seq, StreamRevision, TenantId } from '#schemas/ids.ts';
import type { AppendRequest, AppendResult } from '#streams/stream.ts';
import { publicHead, revisionKey, type StoredHead } from './reader.ts';
import type { FactRow } from './rows.ts';

export interface Planned<Item> {
  readonly item: Item;
  /** Index of the tenant in `Plan.tenants`, and of its first fact among that tenant's facts of this batch. */
  readonly tenantIndex: number;
  readonly firstIndex: number;
}

export interface PlannedTenant {
  readonly head: StoredHead;
  readonly facts: Recorded[];
}

export interface Plan<Item> {
  readonly tenants: readonly PlannedTenant[];
  readonly planned: readonly Planned<Item>[];
  readonly rows: readonly FactRow[];
  readonly answered: readonly { readonly item: Item; readonly result: AppendResult }[];
  /** Their ids are claimed by another request of this very batch: they go into the next one, and find it stored. */
  readonly deferred: readonly Item[];
}

export interface PlanInput<Item> {
  readonly items: readonly Item[];
  readonly requestOf: (item: Item) => AppendRequest;
  readonly heads: ReadonlyMap<TenantId, StoredHead>;
  readonly revisions: ReadonlyMap<string, StreamRevision>;
  readonly now: Instant;
}

export const planBatch = <Item>({ items, requestOf, heads, revisions, now }: PlanInput<Item>): Plan<Item> => {
  const tenants = new Map<TenantId, { index: number; tenant: PlannedTenant; tip: StoredHead }>();
  const moved = new Map<string, StreamRevision>();
  const claimed = new Set<string>();
  const planned: Planned<Item>[] = [];
  const rows: FactRow[] = [];
  const answered: { item: Item; result: AppendResult }[] = [];
  const deferred: Item[] = [];
  for (const item of items) {
    const request = requestOf(item);
    const head = tenants.get(request.tenant)?.tip ?? heads.get(request.tenant);
    if (request.drafts.some((draft) => claimed.has(`${request.tenant} ${draft.id}`))) {
      deferred.push(item);
      continue;
    }
    const refusal = head
      ? unmet(request, head, (key) => moved.get(key) ?? revisions.get(key))
      : ({ kind: 'no-such-tenant' } as const);
    if (refusal || !head) {
      answered.push({ item, result: refusal ?? { kind: 'no-such-tenant' } });
      continue;
    }
    let place = tenants.get(request.tenant);
    if (!place) {
      place = { index: tenants.size, tenant: { head, facts: [] }, tip: head };
      tenants.set(request.tenant, place);
    }
    planned.push({ item, tenantIndex: place.index, firstIndex: place.tenant.facts.length });
    const recordedAt = Math.max(now, head.recordedAt) as Instant;
    for (const [index, draft] of request.drafts.entries()) {
      const fact = seal(draft, {
        tenant: request.tenant,
        seq: (place.tip.seq + 1) as Seq,
        prevHash: place.tip.hash,
        recordedAt,
      });
      place.tip = { ...place.tip, seq: fact.seq, hash: fact.hash, recordedAt };
      place.tenant.facts.push(fact);
      rows.push({
        tenantNo: head.tenantNo,
        fact,
        requestHash: index === 0 ? request.requestHash : undefined,
      });
      claimed.add(`${request.tenant} ${draft.id}`);
      if (fact.stream !== undefined) {
        moved.set(
          revisionKey({ tenant: request.tenant, stream: fact.stream }),
          fact.seq as number as StreamRevision,
        );
      }
    }
  }
  return { tenants: [...tenants.values()].map((entry) => entry.tenant), planned, rows, answered, deferred };
};

/** The answer to a request whose expectation does not hold; `undefined` when it does. */
const unmet = (
  request: AppendRequest,
  head: StoredHead,
  revisionOf: (key: string) => StreamRevision | undefined,
): AppendResult | undefined => {
  const { expect } = request;
  switch (expect.kind) {
    case 'any':
      return head.seq === 0 ? { kind: 'no-such-tenant' } : undefined;
    case 'new-tenant':
      return head.seq === 0 ? undefined : { kind: 'tenant-exists', head: publicHead(head) };
    case 'stream': {
      if (head.seq === 0) return { kind: 'no-such-tenant' };
      const actual =
        revisionOf(revisionKey({ tenant: request.tenant, stream: expect.stream })) ?? (0 as StreamRevision);
      return actual === expect.revision ? undefined : { kind: 'conflict', actual };
    }
    default:
      return expect satisfies never;
  }
};
