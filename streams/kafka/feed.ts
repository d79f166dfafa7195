// The Kafka StreamFeed. What is recorded from now on comes over ledger.events.v1, each fact checked against the one before
// it. Whatever the topic cannot give comes from the store: what was recorded before the subscription, what a relay that
// stands still has not sent, what retention removed, and what does not follow from one another. So a topic that lacks
// facts, or lies, is told and costs a read; it never costs a fact.
//
// A feed of a group shares the tenants with the group's other feeds, by the partitions of the topic. At each change it
// asks where the group's readers stand, since another one has gone on meanwhile.
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { Seq, TenantId } from '#schemas/ids.ts';
import { StreamError } from '#streams/errors.ts';
import type {
  FeedBatch,
  Head,
  LedgerPosition,
  StreamFeed,
  StreamStore,
  SubscribeOptions,
} from '#streams/stream.ts';
import type { KafkaConnection } from './connect.ts';
import { type KafkaError, kafkaError } from './errors.ts';
import { type Cursor, liveFacts, type Trouble } from './live.ts';
import { partitionOf } from './partition.ts';
import type { WireSchemas } from './registry.ts';
import { EVENTS_TOPIC } from './relay.ts';
import { joinShare, type Share } from './share.ts';

export type FeedEvent =
  /** A message does not follow from the facts delivered: the tenant goes on from the store. */
  | ({ readonly type: 'healed' } & Trouble)
  /** The topic lacks facts that the store has had for a while: the relay stands still, or the topic was made anew. */
  | { readonly type: 'late'; readonly tenants: number }
  /** The group has given this feed so many partitions. */
  | { readonly type: 'assigned'; readonly partitions: number }
  /** The broker or the store does not answer; it is asked again. */
  | { readonly type: 'waiting'; readonly error: KafkaError | StreamError };

export interface KafkaFeedOptions {
  readonly connection: KafkaConnection;
  readonly schemas: Pick<WireSchemas, 'reader' | 'learn'>;
  /** What heals. */
  readonly store: Pick<StreamStore, 'heads' | 'read'>;
  /** Share the tenants with feeds of the same name; without it every subscription is given all of them. */
  readonly group?: { readonly id: string; readonly positions: () => Promise<LedgerPosition> };
  /** How long nothing may come before the store is asked whether something should have; 15,000 ms unless told. */
  readonly quietMs?: number;
  readonly sessionTimeoutMs?: number;
  readonly onEvent?: (event: FeedEvent) => void;
}

export const kafkaStreamFeed = (options: KafkaFeedOptions): StreamFeed => {
  const closed = new AbortController();
  return {
    subscribe: (asked) =>
      deliver(options, { ...asked, signal: AbortSignal.any([asked.signal, closed.signal]) }),
    [Symbol.asyncDispose]: async () => closed.abort(),
  };
};

interface Delivery extends KafkaFeedOptions {
  readonly asked: SubscribeOptions;
  readonly batchSize: number;
  readonly cursors: Map<TenantId, Cursor>;
  /** Which tenants are this feed's now. */
  own: (tenant: TenantId) => boolean;
  /** Where the tenants stand that have no cursor yet. */
  from: LedgerPosition;
}

const QUIET_MS = 15_000;
const RETRY_MS = 500;

const deliver = async function* (
  options: KafkaFeedOptions,
  asked: SubscribeOptions,
): AsyncGenerator<FeedBatch> {
  const { group } = options;
  const delivery: Delivery = {
    ...options,
    asked,
    batchSize: asked.batchSize ?? 1_000,
    cursors: new Map(),
    own: () => group === undefined,
    from: asked.from,
  };
  let share: Share | undefined;
  try {
    if (!group) yield* backlog(delivery);
    if (asked.untilCaughtUp && !group) return;
    share = await joined(delivery);
    if (share) yield* following(delivery, share);
  } finally {
    await share?.stop();
  }
};

const following = async function* (delivery: Delivery, share: Share): AsyncGenerator<FeedBatch> {
  const { asked, quietMs = QUIET_MS, onEvent } = delivery;
  for (;;) {
    const arrival = await share.next(asked.signal, quietMs);
    switch (arrival?.kind) {
      case undefined:
        return;
      case 'assigned':
        await reassign(delivery, arrival);
        // What was recorded before the partitions were sought is in the store.
        yield* backlog(delivery);
        if (asked.untilCaughtUp) return;
        break;
      case 'messages':
        yield* live(delivery, arrival.messages);
        break;
      case 'quiet': {
        const behind = await tenantsBehind(delivery);
        if (behind.length === 0) break;
        onEvent?.({ type: 'late', tenants: behind.length });
        yield* backlog(delivery);
        break;
      }
      default:
        arrival satisfies never;
    }
    if (asked.signal.aborted) return;
  }
};

/** Facts as messages bring them; where they do not follow, those of the store in their place. */
const live = async function* (
  delivery: Delivery,
  messages: Parameters<typeof liveFacts>[1],
): AsyncGenerator<FeedBatch> {
  const { asked, batchSize, onEvent } = delivery;
  const wanted = (tenant: TenantId): boolean => delivery.own(tenant) && (asked.tenants?.has(tenant) ?? true);
  const cursorOf = (tenant: TenantId): Cursor => cursorIn(delivery, tenant);
  const { facts, troubles } = await liveFacts({ ...delivery, wanted, cursorOf }, messages);
  for (let turn = 0, more = true; more; turn += batchSize) {
    more = false;
    for (const [tenant, all] of facts) {
      const batch = all.slice(turn, turn + batchSize);
      const last = batch.at(-1);
      if (!last) continue;
      if (asked.signal.aborted) return;
      delivery.cursors.set(tenant, last);
      more ||= all.length > turn + batchSize;
      yield { tenant, facts: batch };
    }
  }
  for (const trouble of troubles) onEvent?.({ type: 'healed', ...trouble });
  if (troubles.length > 0) yield* backlog(delivery, new Set(troubles.map(({ tenant }) => tenant)));
};

const cursorIn = ({ cursors, from }: Delivery, tenant: TenantId): Cursor =>
  cursors.get(tenant) ?? { seq: from.get(tenant) ?? (0 as Seq) };

/** From the store, one batch of each tenant in turn, until none has more. */
const backlog = async function* (
  delivery: Delivery,
  only?: ReadonlySet<TenantId>,
): AsyncGenerator<FeedBatch> {
  const { asked, batchSize, cursors, store } = delivery;
  const { signal } = asked;
  let goal: readonly Head[] | undefined;
  for (let delivered = true; delivered; ) {
    delivered = false;
    const behind = goal ?? (await tenantsBehind(delivery));
    if (asked.untilCaughtUp) goal = behind;
    for (const { tenant, seq } of behind) {
      const start = cursorIn(delivery, tenant).seq;
      if (signal.aborted) return;
      if (start >= seq || only?.has(tenant) === false) continue;
      const to = Math.min(seq, start + batchSize) as Seq;
      const facts = await attempt(delivery, () =>
        Array.fromAsync(store.read(tenant, { from: (start + 1) as Seq, to, pageSize: batchSize })),
      );
      const last = facts?.flat().at(-1);
      if (!facts || !last) continue;
      cursors.set(tenant, last);
      delivered = true;
      yield { tenant, facts: facts.flat() };
    }
  }
};

const tenantsBehind = async (delivery: Delivery): Promise<readonly Head[]> => {
  const { asked, store } = delivery;
  const heads = (await attempt(delivery, () => store.heads())) ?? [];
  return heads.filter(
    ({ tenant, seq }) =>
      delivery.own(tenant) && (asked.tenants?.has(tenant) ?? true) && seq > cursorIn(delivery, tenant).seq,
  );
};

interface Assigned {
  readonly mine: ReadonlySet<number>;
  readonly partitions: number;
}

/** What this feed has kept it goes on with; what it is given stands where the group's readers say. */
const reassign = async (delivery: Delivery, { mine, partitions }: Assigned): Promise<void> => {
  const { group, cursors, asked, onEvent } = delivery;
  onEvent?.({ type: 'assigned', partitions: mine.size });
  if (!group) return;
  const of = partitionOf(partitions);
  delivery.own = (tenant) => mine.has(of(tenant));
  for (const tenant of cursors.keys()) if (!delivery.own(tenant)) cursors.delete(tenant);
  const positions = await attempt(delivery, group.positions);
  if (positions) delivery.from = new Map([...asked.from, ...positions]);
};

const joined = async (delivery: Delivery): Promise<Share | undefined> => {
  const { connection, group, sessionTimeoutMs, onEvent } = delivery;
  const onError = (error: Error): void => onEvent?.({ type: 'waiting', error: kafkaError(error) });
  return await attempt(delivery, () =>
    joinShare({
      connection,
      topic: connection.topic(EVENTS_TOPIC),
      groupId: group?.id ?? `prov-ledger-feed-${randomUUID()}`,
      onError,
      ...(sessionTimeoutMs !== undefined && { sessionTimeoutMs }),
    }),
  );
};

/** Asks until there is an answer; `undefined` once the subscription has ended. What waiting cannot mend is thrown. */
const attempt = async <T>(
  { asked: { signal }, onEvent }: Delivery,
  ask: () => Promise<T>,
): Promise<T | undefined> => {
  while (!signal.aborted) {
    try {
      return await ask();
    } catch (error) {
      const failure = error instanceof StreamError ? error : kafkaError(error);
      if (!WAITED_FOR.has(failure.code)) throw failure;
      onEvent?.({ type: 'waiting', error: failure });
      await pause(RETRY_MS, undefined, { signal }).catch(() => undefined);
    }
  }
  return undefined;
};

const WAITED_FOR: ReadonlySet<string> = new Set(['unavailable', 'tls', 'no-such-topic']);
