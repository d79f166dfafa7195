// Topics into the intake, as one member of a consumer group. Where to go on is what PostgreSQL says, never what Kafka
// remembers: at every assignment the consumer seeks the stored positions, and a piece is stored only from the position it
// was read at. The offsets committed to Kafka show other tools how far we are, and decide nothing.
import { setTimeout as pause } from 'node:timers/promises';
import type { EachBatchPayload, KafkaMessage } from 'kafkajs';
import { StreamError } from '#streams/errors.ts';
import type { Piece } from '#streams/postgres/transport/intake.ts';
import type { Place } from '#streams/postgres/transport/message.ts';
import { type ConsumeOptions, type Consuming, goOn, nameOf, type Partition } from './consuming.ts';
import { type Span, spansOf } from './ends.ts';
import { kafkaError } from './errors.ts';
import { groupCommit } from './group-commit.ts';
import { beginAnew, foundAnew, foundAnother } from './made-anew.ts';
import { fetchedOffset, gapBefore, pieceOf } from './piece.ts';

export interface Consumption {
  /** Finishes what is under way and leaves the group. */
  readonly stop: () => Promise<void>;
  /** Messages between the stored position and the end of the topic, of the partitions at hand. */
  readonly lag: () => number;
}

const PARTITIONS_AT_ONCE = 12;
const STORE_RETRY_MS = 500;

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
    retry: { initialRetryTime: 100, maxRetryTime: 2_000 },
  });
  const state: Consuming = {
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

/** Reads the stored positions of what this member was given, and goes there. */
const assigned = async (
  state: Consuming,
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

/** The store may be away for a while; the driver must not give up meanwhile. */
const untilDone = async ({ onEvent }: Consuming, work: () => Promise<void>): Promise<void> => {
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

const takeBatch = async (state: Consuming, payload: EachBatchPayload): Promise<void> => {
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

interface Storing {
  readonly place: Place;
  readonly its: Partition;
  readonly piece: Piece;
}

/** False when it is to be tried again, from the position as the store has it. */
const store = async (state: Consuming, { place, its, piece }: Storing): Promise<boolean> => {
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
