// The relay: the ledger out to ledger.events.v1, at least once and in order per tenant. What a broker has acknowledged is
// noted in PostgreSQL after the acknowledgement, so a relay that is killed anywhere sends some facts again and leaves none
// out; readers know a repetition by its seq. One relay serves a topic, others wait for their turn.
//
// Before a fact's message stand those of all facts before it, whatever was repeated in between: every relay starts from
// what was acknowledged, and has one request under way.
import { setTimeout as pause } from 'node:timers/promises';
import type { Producer } from 'kafkajs';
import { GENESIS_HASH } from '#proofs/chain.ts';
import type { Seq, Sha256, TenantId } from '#schemas/ids.ts';
import { subjects } from '#schemas/registry/subjects.ts';
import type { BelongingsOf } from '#streams/carry.ts';
import { StreamError } from '#streams/errors.ts';
import type { LedgerDatabases } from '#streams/postgres/databases.ts';
import { belongingsOn } from '#streams/postgres/departure.ts';
import { type Relayed, type RelayTurn, relayTurn } from '#streams/postgres/transport/relayed.ts';
import { pullTogether } from '#streams/pull.ts';
import type { FeedBatch, StreamFeed, StreamStore } from '#streams/stream.ts';
import type { KafkaConnection } from './connect.ts';
import { type Span, spansOn } from './ends.ts';
import { KafkaError, kafkaError } from './errors.ts';
import { factMessage } from './fact-message.ts';
import { headerText } from './headers.ts';
import { messagesAt } from './messages-at.ts';
import { partitionOf } from './partition.ts';
import type { WireSchemas } from './registry.ts';
import type { RelayEvent } from './relay-event.ts';
import { publishHeads } from './relay-heads.ts';
import { AnewError, type Outgoing, sendFacts } from './relay-send.ts';

export interface RelayOptions {
  readonly connection: KafkaConnection;
  readonly schemas: Pick<WireSchemas, 'idOf'>;
  /** The home notes what was sent; one connection of it is held as long as the relay runs. */
  readonly databases: LedgerDatabases;
  readonly store: Pick<StreamStore, 'ledgerId' | 'head' | 'proof'>;
  readonly feed: StreamFeed;
  /** Ends the relay: what is under way is finished and noted first. */
  readonly signal: AbortSignal;
  readonly onEvent?: (event: RelayEvent) => void;
  /** Between two announcements of heads; 1,000 unless told. */
  readonly headsEveryMs?: number;
}

export const EVENTS_TOPIC = 'ledger.events.v1';
export const HEADS_TOPIC = 'ledger.heads.v1';

const PAGE_FACTS = 500;
const PAGES_AHEAD = 16;
const RETRY_MS = 200;
const RETRY_MS_MAX = 5_000;

/** Runs until the signal. Throws what is neither a `KafkaError` nor a `StreamError`: a defect. */
export const relayLedger = async (options: RelayOptions): Promise<void> => {
  const { signal, onEvent } = options;
  for (let delayMs = RETRY_MS; !signal.aborted; delayMs = Math.min(delayMs * 2, RETRY_MS_MAX)) {
    const sentOnce = (): void => {
      delayMs = RETRY_MS;
    };
    try {
      await lead(options, sentOnce);
    } catch (error) {
      if (!(error instanceof KafkaError || error instanceof StreamError)) throw error;
      onEvent?.({ type: 'waiting', error, delayMs });
      await pause(delayMs, undefined, { signal }).catch(() => undefined);
    }
  }
};

/** The relay from its turn to the signal, or to the first failure. */
const lead = async (options: RelayOptions, sentOnce: () => void): Promise<void> => {
  const { connection, databases, signal, onEvent } = options;
  const topic = connection.topic(EVENTS_TOPIC);
  await using turn = await relayTurn(databases.home.pool, topic, signal);
  if (!turn) return;
  const producer = connection.kafka.producer({ allowAutoTopicCreation: false, maxInFlightRequests: 1 });
  try {
    const schemaIdOf = await schemaIds(options.schemas);
    await producer.connect();
    await relay({ ...options, turn, producer, schemaIdOf, sentOnce });
  } catch (error) {
    const failure = error instanceof StreamError ? error : kafkaError(error);
    if (failure instanceof AnewError) {
      await turn.forget(topic);
      onEvent?.({ type: 'anew', topic, partition: failure.partition });
    }
    throw failure;
  } finally {
    await producer.disconnect().catch(() => undefined);
  }
};

interface Leading extends RelayOptions {
  readonly turn: RelayTurn;
  readonly producer: Producer;
  readonly schemaIdOf: (subject: string) => number;
  readonly sentOnce: () => void;
}

const relay = async (leading: Leading): Promise<void> => {
  const { connection, feed, signal, onEvent, sentOnce } = leading;
  const events = await standing(leading, EVENTS_TOPIC);
  const heads = await standing(leading, HEADS_TOPIC);
  onEvent?.({ type: 'leading', topic: events.topic });
  const announcing = publishHeads({
    ...leading,
    topic: heads.topic,
    sent: events.sent,
    announced: heads.sent,
  });
  const course: Course = {
    ...leading,
    partition: partitionOf(events.partitions),
    cursors: new Map(events.sent.map((each) => [each.tenant, each])),
    halted: new Set(),
    belongings: belongingsOn(leading.databases, leading.store.ledgerId),
  };
  const sending = { ...leading, topic: connection.topic(EVENTS_TOPIC), offsets: lastOffsets(events.sent) };
  const take = async (pages: readonly Promise<readonly Outgoing[]>[]): Promise<void> => {
    const outgoing = (await Promise.all(pages)).flat();
    if (outgoing.length === 0) return;
    const began = performance.now();
    const done = await sendFacts(sending, outgoing);
    announcing.note(done);
    sentOnce();
    const seconds = (performance.now() - began) / 1_000;
    onEvent?.({ type: 'sent', facts: outgoing.length, tenants: done.length, seconds });
  };
  const from = new Map(events.sent.map(({ tenant, seq }) => [tenant, seq]));
  try {
    await pullTogether((ending) => feed.subscribe({ from, batchSize: PAGE_FACTS, signal: ending }), {
      ahead: PAGES_AHEAD,
      prepare: (batch: FeedBatch) => {
        const page = outgoingOf(course, batch);
        // Awaited when it is taken; until then a failure is not unhandled.
        page.catch(() => undefined);
        return page;
      },
      take,
      signal: AbortSignal.any([signal, announcing.failed]),
    });
  } finally {
    // Heads are announced a last time once everything that was taken is sent.
    await announcing.stop();
  }
};

const lastOffsets = (sent: readonly Relayed[]): Map<number, number> => {
  const offsets = new Map<number, number>();
  for (const { partition = 0, offset = -1 } of sent)
    offsets.set(partition, Math.max(offset, offsets.get(partition) ?? -1));
  return offsets;
};

/** The ids of all events, asked for once: a registry that is away later stops nothing. */
const schemaIds = async (schemas: Pick<WireSchemas, 'idOf'>): Promise<(subject: string) => number> => {
  const ids = new Map<string, number>();
  for (const subject of subjects()) ids.set(subject.name, await schemas.idOf(subject));
  return (name) => ids.get(name) as number;
};

interface Standing {
  /** As the cluster calls it. */
  readonly topic: string;
  readonly partitions: number;
  readonly sent: readonly Relayed[];
}

/** What was sent to a topic, if the topic still has it; nothing, loudly, if it ends before, or has others there. */
const standing = async (
  { connection, turn, onEvent }: Pick<Leading, 'connection' | 'turn' | 'onEvent'>,
  declaredTopic: string,
): Promise<Standing> => {
  const topic = connection.topic(declaredTopic);
  const spans = await spansOn(connection, topic);
  const sent = await turn.sent(topic);
  const missing =
    sent.find(({ partition = 0, offset = -1 }) => (spans.get(partition)?.end ?? 0) <= offset) ??
    (await replaced(connection, { topic, spans, sent }));
  if (!missing) return { topic, partitions: spans.size, sent };
  await turn.forget(topic);
  onEvent?.({ type: 'anew', topic, partition: missing.partition ?? 0 });
  return { topic, partitions: spans.size, sent: await turn.sent(topic) };
};

/** The last one sent to a partition in whose place another message stands; it may also be gone, which says nothing. */
const replaced = async (
  connection: KafkaConnection,
  { topic, spans, sent }: Pick<Standing, 'topic' | 'sent'> & { readonly spans: ReadonlyMap<number, Span> },
): Promise<Relayed | undefined> => {
  const last = new Map<number, Relayed & { readonly offset: number }>();
  for (const each of sent) {
    const { partition = 0, offset = -1 } = each;
    const known = last.get(partition)?.offset ?? (spans.get(partition)?.low ?? 0) - 1;
    if (offset > known) last.set(partition, { ...each, offset });
  }
  const wanted = new Map(Array.from(last, ([partition, { offset }]) => [partition, offset]));
  const found = await messagesAt(connection, topic, wanted);
  return [...found].flatMap(([partition, { key, value, headers }]) => {
    const its = last.get(partition);
    // A fact says its hash in a header, a head in its value.
    const said = headerText(headers, 'hash') ?? String(value);
    return !its || (String(key) === its.tenant && said.includes(its.hash)) ? [] : [its];
  })[0];
};

interface Course extends Leading {
  readonly partition: (tenant: TenantId) => number;
  /** The last fact of each tenant that was taken up. */
  readonly cursors: Map<TenantId, { readonly seq: Seq; readonly hash: Sha256 }>;
  readonly halted: Set<TenantId>;
  readonly belongings: BelongingsOf;
}

const outgoingOf = async (course: Course, { tenant, facts }: FeedBatch): Promise<readonly Outgoing[]> => {
  const { cursors, halted, partition, schemaIdOf, store, onEvent, belongings } = course;
  const before = cursors.get(tenant)?.hash ?? GENESIS_HASH;
  const [first] = facts;
  const last = facts.at(-1);
  if (!first || !last || halted.has(tenant)) return [];
  if (first.prevHash !== before) {
    halted.add(tenant);
    const message = `${tenant}/${first.seq} does not follow the fact that was sent before it: the store holds another history than ${EVENTS_TOPIC}`;
    onEvent?.({ type: 'halted', tenant, seq: first.seq, message });
    return [];
  }
  cursors.set(tenant, { seq: last.seq, hash: last.hash });
  const { shares, requestHashes } = await belongings({ tenant, from: first.seq, to: last.seq });
  return facts.map((fact) => ({
    tenant,
    seq: fact.seq,
    hash: fact.hash,
    partition: partition(tenant),
    message: factMessage(fact, {
      ledgerId: store.ledgerId,
      schemaIdOf,
      share: shares.get(fact.seq),
      requestHash: requestHashes.get(fact.seq),
    }),
  }));
};
