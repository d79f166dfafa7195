// What one commit batch will do, worked out in memory: which requests go in, in which order, with which hashes, and
// which are answered without going in. Pure: the same requests against the same heads give the same plan.
import { seal } from '#proofs/chain.ts';
import type { Recorded } from '#schemas/event.ts';
import type { FactId, Instant, Seq, StreamRevision, TenantId } from '#schemas/ids.ts';
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

export interface PlanContext<Item> {
  readonly requestOf: (item: Item) => AppendRequest;
  readonly heads: ReadonlyMap<TenantId, StoredHead>;
  readonly revisions: ReadonlyMap<string, StreamRevision>;
}

export interface PlanInput<Item> extends PlanContext<Item> {
  readonly items: readonly Item[];
  readonly now: Instant;
}

export const planBatch = <Item>({ items, now, ...context }: PlanInput<Item>): Plan<Item> => {
  const open = openPlan(context);
  for (const item of items) open.add(item, now);
  return open.plan();
};

/** A plan that grows: what is in it is sealed already. */
export interface OpenPlan<Item> {
  /** How it went in, if it did (see `Plan`). */
  add(item: Item, now: Instant): 'planned' | 'answered' | 'deferred';
  readonly facts: () => number;
  readonly plan: () => Plan<Item>;
}

export const openPlan = <Item>({ requestOf, heads, revisions }: PlanContext<Item>): OpenPlan<Item> => {
  const sealed: Sealed = { tenants: new Map(), moved: new Map(), rows: [] };
  const { tenants, moved, rows } = sealed;
  const planned: Planned<Item>[] = [];
  const answered: { item: Item; result: AppendResult }[] = [];
  const deferred: Item[] = [];
  return {
    facts: () => rows.length,
    add: (item, now) => {
      const request = requestOf(item);
      const known = tenants.get(request.tenant);
      if (known && request.drafts.some((draft) => known.claimed.has(draft.id))) {
        deferred.push(item);
        return 'deferred';
      }
      const head = known?.tip ?? heads.get(request.tenant);
      const refusal = head
        ? unmet(request, head, (key) => moved.get(key) ?? revisions.get(key))
        : ({ kind: 'no-such-tenant' } as const);
      if (refusal || !head) {
        answered.push({ item, result: refusal ?? { kind: 'no-such-tenant' } });
        return 'answered';
      }
      const place = known ?? newPlace(sealed, head);
      planned.push({ item, tenantIndex: place.index, firstIndex: place.tenant.facts.length });
      sealInto(sealed, place, { request, now });
      return 'planned';
    },
    plan: () => ({
      tenants: [...tenants.values()].map((entry) => entry.tenant),
      planned,
      rows,
      answered,
      deferred,
    }),
  };
};

/** What is in a plan, and where it has moved heads and streams to. */
interface Sealed {
  readonly tenants: Map<TenantId, Place>;
  readonly moved: Map<string, StreamRevision>;
  readonly rows: FactRow[];
}

interface Place {
  readonly index: number;
  readonly tenant: PlannedTenant;
  readonly claimed: Set<FactId>;
  tip: StoredHead;
}

const newPlace = ({ tenants }: Sealed, head: StoredHead): Place => {
  const place = { index: tenants.size, tenant: { head, facts: [] }, claimed: new Set<FactId>(), tip: head };
  tenants.set(head.tenant, place);
  return place;
};

const sealInto = (
  { moved, rows }: Sealed,
  place: Place,
  { request, now }: { readonly request: AppendRequest; readonly now: Instant },
): void => {
  const { tenant, drafts } = request;
  let { seq, hash } = place.tip;
  const recordedAt = Math.max(now, place.tip.recordedAt) as Instant;
  let requestHash = request.requestHash;
  for (const draft of drafts) {
    seq = (seq + 1) as Seq;
    const fact = seal(draft, { tenant, seq, prevHash: hash, recordedAt });
    ({ hash } = fact);
    place.tenant.facts.push(fact);
    place.claimed.add(draft.id);
    // The first fact of a request stands for the whole of it.
    rows.push({ tenantNo: place.tip.tenantNo, fact, requestHash });
    requestHash = undefined;
    if (fact.stream !== undefined)
      moved.set(revisionKey({ tenant, stream: fact.stream }), seq as number as StreamRevision);
  }
  place.tip = { ...place.tip, seq, hash, recordedAt };
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
