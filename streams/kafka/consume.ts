// Topics into the intake, as one member of a consumer group. Where to go on is what PostgreSQL says, never what Kafka
// remembers: at every assignment the consumer seeks the stored positions, and a piece is stored only from the position it
// was read at. The offsets committed to Kafka show other tools how far we are, and decide nothing.
import { setTimeout as pause } from 'node:timers/promises';
import type { Admin, Consumer, EachBatchPayload, KafkaMessage } from 'kafkajs';
import { StreamError } from '#streams/errors.ts';
import type { FlowCounts } from '#streams/postgres/transport/flow.ts';
import type { Intake, Piece, ReadMessage } from '#streams/postgres/transport/intake.ts';
import { type Message, messageHash, type Place, type Reader } from '#streams/postgres/transport/message.ts';
import type { Position } from '#streams/postgres/transport/positions.ts';
import type { KafkaConnection } from './connect.ts';
import { type Span, spansOf } from './ends.ts';
import { kafkaError } from './errors.ts';
import { type GroupCommit, groupCommit } from './group-commit.ts';

export type ConsumptionEvent =
  | ({ readonly type: 'stored'; readonly counts: FlowCounts; readonly dead: number } & Place)
  /** The group has given this member these partitions. */
  | { readonly type: 'assigned'; readonly partitions: number }
  /** The store does not answer; the same messages are tried again. */
  | { readonly type: 'waiting'; readonly error: StreamError }
  /** Retention has removed messages before they were taken: they are counted, and whoever sent them must send them again. */
  | ({ readonly type: 'lost'; readonly messages: number } & Place)
  /** The topic ends before the position, at `end`, or holds another message before it: it was made anew, and is taken from its beginning. */
  | ({ readonly type: 'anew'; readonly position: number; readonly end: number } & Place)
  | { readonly type: 'crashed'; readonly error: Error };

export interface ConsumeOptions {
  readonly connection: KafkaConnection;
  readonly groupId: string;
  /** As the cluster calls them. */
  readonly topics: readonly string[];
  readonly intake: Intake;
  readonly read: Reader;
  readonly onEvent?: (event: ConsumptionEvent) => void;
  /** Without a sign of life for so long, the group takes the partitions away; 10,000 unless told. */
  readonly sessionTimeoutMs?: number;
}

export interface Consumption {
  /** Finishes what is under way and leaves the group. */
  readonly stop: () => Promise<void>;
  /** Messages between the stored position and the end of the topic, of the partitions at hand. */
  readonly lag: () => number;
}

const PARTITIONS_AT_ONCE = 12;
const STORE_RETRY_MS = 500;
const LOOK_AGAIN_AFTER_MS = 1_000;

/** Joins the group and begins. Throws `KafkaError` when no broker answers. */
export const consumeMessages = async (options: ConsumeOptions): Promise<Consumption> => {
  const { connection, groupId, topics, sessionTimeoutMs = 10_000, onEvent } = options;
  const admin = connection.kafka.admin();
  const consumer = connection.kafka.consumer({
    groupId,
    sessionTimeout: sessionTimeoutMs,
    heartbeatInterval: Math.floor(sessionTimeoutMs / 10),
    maxWaitTimeInMs: 200,
    allowAutoTopicCreation: false,
    // Whatever made the driver give up, this process goes on: the positions are in the store.
    retry: { initialRetryTime: 100, maxRetryTime: 2_000, restartOnFailure: async () => true },
  });
  const state: State = {
    ...options,
    admin,
    consumer,
    commit: groupCommit(options.intake),
    partitions: new Map(),
    joining: Promise.resolve(),
  };
  try {
    await Promise.all([admin.connect(), consumer.connect()]);
    await consumer.subscribe({ topics: [...topics], fromBeginning: true });
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
      state.joining = assigned(state, payload.memberAssignment);
    });
    consumer.on(consumer.events.CRASH, ({ payload }) => onEvent?.({ type: 'crashed', error: payload.error }));
    await consumer.run({
      autoCommitInterval: 2_000,
      eachBatchAutoResolve: false,
      partitionsConsumedConcurrently: PARTITIONS_AT_ONCE,
      eachBatch: (payload) => takeBatch(state, payload),
    });
  } catch (error) {
    await Promise.allSettled([consumer.disconnect(), admin.disconnect()]);
    throw kafkaError(error);
  }
  return {
    lag: () =>
      [...state.partitions.values()].reduce(
        (sum, { end, position }) => sum + Math.max(0, end - position.next),
        0,
      ),
    stop: async () => {
      await Promise.allSettled([consumer.disconnect()]);
      await Promise.allSettled([admin.disconnect()]);
    },
  };
};

interface Partition {
  position: Position;
  /** The offset that the topic gives next. */
  end: number;
  /** Where the consumer was sent, after it had fetched from elsewhere. */
  sought?: number;
  /** When the last batch came, by the process's clock. */
  cameAt: number;
  /** The position before which the last message was looked for again. */
  looked?: number;
}

interface State extends ConsumeOptions {
  readonly admin: Admin;
  readonly consumer: Consumer;
  readonly commit: GroupCommit;
  readonly partitions: Map<string, Partition>;
  /** Settles once the positions of the last assignment are known. */
  joining: Promise<void>;
}

const nameOf = ({ topic, partition }: Place): string => `${partition} ${topic}`;

/** Reads the stored positions of what this member was given, and goes there. */
const assigned = async (
  state: State,
  assignment: { readonly [topic: string]: readonly number[] },
): Promise<void> => {
  const { admin, partitions, intake, onEvent } = state;
  partitions.clear();
  const places = Object.entries(assignment).flatMap(([topic, numbers]) =>
    numbers.map((partition) => ({ topic, partition })),
  );
  const spans = new Map<string, Span>();
  await untilDone(state, async () => {
    for (const topic of Object.keys(assignment))
      for (const span of await spansOf(admin, topic)) spans.set(nameOf({ topic, ...span }), span);
    for (const place of places) {
      const span = spans.get(nameOf(place)) ?? { ...place, low: 0, end: 0 };
      const stored = await intake.open(place, span.low);
      const its: Partition = { position: stored, end: span.end, cameAt: 0 };
      if (stored.next > span.end) await beginAnew(state, { place, its, span });
      partitions.set(nameOf(place), its);
      goOn(state, { place, its, low: span.low });
    }
  });
  onEvent?.({ type: 'assigned', partitions: places.length });
};

interface GoingOn {
  readonly place: Place;
  readonly its: Partition;
  readonly low?: number;
}

/**
 * To the last message that was taken, where it may still be there: nothing else shows that a topic which has grown past the
 * position is another one.
 */
const goOn = ({ consumer }: State, { place, its, low = 0 }: GoingOn): void => {
  const { next, last } = its.position;
  consumer.seek({ ...place, offset: String(last && next > low ? next - 1 : next) });
};

interface Anew {
  readonly place: Place;
  readonly its: Partition;
  readonly span: Span;
}

/**
 * What the topic holds now has other messages at the offsets already taken. A receipt that was on both has the same id, and
 * counts once.
 */
const beginAnew = async ({ intake, onEvent }: State, { place, its, span }: Anew): Promise<void> => {
  onEvent?.({ type: 'anew', ...place, position: its.position.next, end: span.end });
  its.position = await intake.beginAnew(place, its.position, span.low);
  its.end = span.end;
};

/** True when the topic was made anew, and the consumer was sent to where it is to go on. */
const foundAnew = async (state: State, place: Place, its: Partition): Promise<boolean> => {
  const span = await spanOf(state, place);
  // The word of one batch is not enough: a leader that has just taken over may lag behind what was committed.
  if (!span || its.position.next <= span.end) return false;
  await beginAnew(state, { place, its, span });
  goOn(state, { place, its });
  return true;
};

/**
 * True when another message stands in the place of the last one that was taken, or when that is to be looked at first: no
 * batch came for a while, in which the topic may have been made anew. The consumer was sent there.
 */
const foundAnother = async (state: State, { place, its, messages }: Taking): Promise<boolean> => {
  const { next, last } = its.position;
  const there = messages.find(({ offset }) => Number(offset) >= next - 1);
  const idleMs = performance.now() - its.cameAt;
  its.cameAt = performance.now();
  if (!last || !there) return false;
  if (Number(there.offset) !== next - 1) {
    // Where nothing stands there any more, looking twice would show no more.
    if (idleMs < LOOK_AGAIN_AFTER_MS || its.looked === next) return false;
    its.looked = next;
    goOn(state, { place, its });
    return true;
  }
  its.looked = next;
  if (messageHash(messageOf(place, there)).equals(last)) return false;
  const span = await spanOf(state, place);
  if (!span) return false;
  await beginAnew(state, { place, its, span });
  goOn(state, { place, its });
  return true;
};

const spanOf = async ({ admin }: State, { topic, partition }: Place): Promise<Span | undefined> =>
  (await spansOf(admin, topic)).find((span) => span.partition === partition);

/** The store may be away for a while; the driver must not give up meanwhile. */
const untilDone = async ({ onEvent }: State, work: () => Promise<void>): Promise<void> => {
  for (let tries = 0; tries < 1_000; tries += 1) {
    try {
      return await work();
    } catch (error) {
      const failure = error instanceof StreamError ? error : undefined;
      if (failure) onEvent?.({ type: 'waiting', error: failure });
      await pause(STORE_RETRY_MS);
    }
  }
};

const takeBatch = async (state: State, payload: EachBatchPayload): Promise<void> => {
  const { batch, heartbeat, isRunning, isStale, resolveOffset } = payload;
  const { topic, partition } = batch;
  const place = { topic, partition };
  await state.joining;
  while (isRunning() && !isStale()) {
    const its = state.partitions.get(nameOf(place));
    // Given to another member meanwhile.
    if (!its) return;
    its.end = Number(batch.highWatermark);
    if (its.position.next > its.end && (await foundAnew(state, place, its))) return;
    if (await foundAnother(state, { place, its, messages: batch.messages })) return;
    const messages = batch.messages.filter(({ offset }) => Number(offset) >= its.position.next);
    const last = batch.messages.at(-1);
    if (messages.length === 0) {
      if (last) resolveOffset(last.offset);
      return;
    }
    const gap = await gapBefore(state, { place, its, messages, fetched: fetchedOffset(batch) });
    if (!gap) return;
    const piece = await pieceOf(state, { place, its, messages, gap });
    const stored = await store(state, { place, its, piece });
    await heartbeat();
    if (!stored) continue;
    resolveOffset((last as KafkaMessage).offset);
    return;
  }
};

// kafkajs has it, and its types do not say so.
const fetchedOffset = (batch: EachBatchPayload['batch']): number =>
  Number((batch as unknown as { readonly fetchedOffset: string }).fetchedOffset);

interface Taking {
  readonly place: Place;
  readonly its: Partition;
  readonly messages: readonly KafkaMessage[];
}

interface Gap {
  readonly absent: number;
  readonly lost: number;
}

const NO_GAP: Gap = { absent: 0, lost: 0 };

/**
 * What lies between the position and the first message: places of the log that hold none (marks of transactions, aborted
 * or compacted messages), or messages that retention has removed. `undefined` when the batch was fetched from elsewhere,
 * and the consumer has been sent back.
 */
const gapBefore = async (
  state: State,
  { place, its, messages, fetched }: Taking & { readonly fetched: number },
): Promise<Gap | undefined> => {
  const { next } = its.position;
  const first = Number(messages[0]?.offset);
  if (first === next) return NO_GAP;
  const low = (await spanOf(state, place))?.low ?? 0;
  if (low > next) {
    const lost = Math.min(low, first) - next;
    state.onEvent?.({ type: 'lost', ...place, messages: lost });
    return { lost, absent: first - next - lost };
  }
  if (fetched > next && its.sought !== next) {
    its.sought = next;
    state.consumer.seek({ ...place, offset: String(next) });
    return undefined;
  }
  return { lost: 0, absent: first - next };
};

const pieceOf = async (
  { read }: State,
  { place, its, messages, gap }: Taking & { readonly gap: Gap },
): Promise<Piece> => {
  const readMessages: ReadMessage[] = [];
  for (const raw of messages) {
    const message = messageOf(place, raw);
    const reading = read(message);
    // A promise only where the registry must be asked: awaiting each would cost more than decoding it.
    readMessages.push({ message, reading: reading instanceof Promise ? await reading : reading });
  }
  const next = Number(messages.at(-1)?.offset) + 1;
  const inside = next - Number(messages[0]?.offset) - messages.length;
  return {
    ...place,
    position: its.position,
    next,
    messages: readMessages,
    lost: gap.lost,
    absent: gap.absent + inside,
  };
};

const messageOf = (
  { topic, partition }: Place,
  { offset, key, value, headers, timestamp }: KafkaMessage,
): Message => ({
  topic,
  partition,
  offset: Number(offset),
  key: key ?? undefined,
  value: value ?? undefined,
  headers: Object.entries(headers ?? {}).flatMap(([name, given]) =>
    (Array.isArray(given) ? given : [given]).flatMap((each) =>
      each === undefined ? [] : [[name, Buffer.from(each)] as const],
    ),
  ),
  sentAt: Number(timestamp),
});

interface Storing {
  readonly place: Place;
  readonly its: Partition;
  readonly piece: Piece;
}

/** False when it is to be tried again, from the position as the store has it. */
const store = async (state: State, { place, its, piece }: Storing): Promise<boolean> => {
  const { commit, intake, onEvent } = state;
  try {
    const outcome = await commit.add(piece);
    if (outcome.kind === 'stored') {
      its.position = outcome.position;
      onEvent?.({ type: 'stored', ...place, counts: outcome.counts, dead: outcome.dead });
      return true;
    }
    its.position = (await intake.position(place)) ?? its.position;
  } catch (error) {
    if (!(error instanceof StreamError)) throw error;
    onEvent?.({ type: 'waiting', error });
    await pause(STORE_RETRY_MS);
    // It may have been stored all the same: the position says so.
    its.position = (await intake.position(place).catch(() => undefined)) ?? its.position;
  }
  return false;
};
