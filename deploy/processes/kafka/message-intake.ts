// Messages into the ledger, as a part of a process: the member of the consumer group, and what goes on beside it. Letters
// go out to their topics, those that waited for the registry are taken, hours that are over are stated.
import { setTimeout as pause } from 'node:timers/promises';
import { conflictRecord, flowRecord, INGESTING_ACTOR } from '#gateway/kafka/records.ts';
import { ensureOperators } from '#gateway/tenancy/operators.ts';
import type { Instant } from '#schemas/ids.ts';
import { StreamError } from '#streams/errors.ts';
import { type KafkaConnection, kafkaConnection } from '#streams/kafka/connect.ts';
import { type Consumption, consumeMessages } from '#streams/kafka/consume.ts';
import { deadLetters } from '#streams/kafka/dead-letters.ts';
import { KafkaError } from '#streams/kafka/errors.ts';
import { ingested } from '#streams/kafka/topics.ts';
import { type Intake, postgresIntake } from '#streams/postgres/transport/intake.ts';
import type { SettleOptions } from '#streams/postgres/transport/settle.ts';
import { stateFlow } from '#streams/postgres/transport/statements.ts';
import { replayWaiting } from '#streams/postgres/transport/waiting.ts';
import type { Configuration } from '../../configuration.ts';
import { brokersOf } from '../../kafka-settings.ts';
import { errorFields, type Log } from '../../telemetry/logs.ts';
import { type IntakeLedger, settling } from '../ledger/settling.ts';
import { type IntakeState, intakeState } from './intake-state.ts';

export interface MessageIntake extends AsyncDisposable {
  /** What keeps it from taking messages, in words for an operator. */
  readonly missing: () => readonly string[];
  /** Messages of the partitions at hand that were not taken yet. */
  readonly lag: () => number;
  /** Partitions that the group has given to this process. */
  readonly partitions: () => number;
  /** Settles when it has ended by itself, which is a failure. */
  readonly failed: Promise<unknown>;
}

export interface MessageIntakeOptions {
  readonly configuration: Configuration;
  readonly ledger: IntakeLedger;
  readonly log: Log;
  /** Heads that the heads file has and the ledger has not: while there are any, nothing is taken. */
  readonly lostHeads?: () => number;
}

const JOIN_AGAIN_MS = 2_000;
const LETTERS_EVERY_MS = 1_000;
const WAITING_EVERY_MS = 5_000;
const STATE_EVERY_MS = 60_000;

/**
 * Begins at once, and goes on trying while no broker answers: `missing` says what it waits for. Throws `CliError` when the
 * configuration lacks something.
 */
export const startMessageIntake = (options: MessageIntakeOptions): MessageIntake => {
  const { configuration, ledger, log } = options;
  const connection = kafkaConnection({
    ...brokersOf(configuration),
    onLog: (level, message) => log(level === 'error' ? 'warn' : 'debug', `kafka: ${message}`),
  });
  const settle = settling(configuration, ledger);
  const state = intakeState(log);
  const ending = new AbortController();
  let consumption: Consumption | undefined;
  const joining = join({ options, connection, settle, state, signal: ending.signal }).then((joined) => {
    consumption = joined;
  });
  const failed = Promise.withResolvers<unknown>();
  joining.catch(failed.resolve);
  const letters = deadLetters(ledger.pool, connection);
  const topics = ingested.map(({ name }) => connection.topic(name));
  const chore = (what: string, everyMs: number, work: () => Promise<void>): Promise<void> =>
    repeatedly({ what, everyMs, log, signal: ending.signal }, work);
  const chores = [
    chore('letters are not sent yet', LETTERS_EVERY_MS, async () => {
      for (const topic of topics) await letters.publish(topic);
    }),
    chore('letters that wait for the registry or a gate are not taken yet', WAITING_EVERY_MS, async () => {
      const taken = await replayWaiting(settle);
      if (taken > 0)
        log('info', 'letters that waited for the registry or a gate are taken', { letters: taken });
    }),
    chore('the flow of messages is not stated yet', STATE_EVERY_MS, () => statements(options, settle)),
  ];
  return {
    failed: failed.promise,
    missing: state.missing,
    partitions: state.partitions,
    lag: () => consumption?.lag() ?? 0,
    [Symbol.asyncDispose]: async () => {
      ending.abort();
      // A store that does not answer must not keep the process: what is under way is stored, or was never taken.
      const within = pause(configuration.drainSeconds * 1_000, undefined, { ref: false });
      await Promise.race([joining.then(() => consumption?.stop()).catch(() => undefined), within]);
      await Promise.race([Promise.all(chores), within]);
      await letters[Symbol.asyncDispose]();
    },
  };
};

const statements = async (
  { ledger, log }: MessageIntakeOptions,
  { pool, together }: SettleOptions,
): Promise<void> => {
  const at = Date.now() as Instant;
  await ensureOperators(ledger.store, { actor: INGESTING_ACTOR, at });
  const rows = await stateFlow({ pool, together, requestOf: (row) => flowRecord(row, at) });
  if (rows > 0) log('info', 'the flow of messages is stated', { rows });
};

interface Repeating {
  readonly what: string;
  readonly everyMs: number;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** A failure is told once, and again when another kind of it comes. */
const repeatedly = async (
  { what, everyMs, log, signal }: Repeating,
  work: () => Promise<void>,
): Promise<void> => {
  let told: string | undefined;
  while (!signal.aborted) {
    try {
      await work();
      told = undefined;
    } catch (error) {
      const { name, message } = error as Error;
      if (told !== `${name} ${message}`) log('warn', what, errorFields(error));
      told = `${name} ${message}`;
    }
    await pause(everyMs, undefined, { signal }).catch(() => undefined);
  }
};

interface Joining {
  readonly options: MessageIntakeOptions;
  readonly connection: KafkaConnection;
  readonly settle: SettleOptions;
  readonly state: IntakeState;
  readonly signal: AbortSignal;
}

const join = async ({
  options,
  connection,
  settle,
  state,
  signal,
}: Joining): Promise<Consumption | undefined> => {
  const { configuration, log, lostHeads = () => 0 } = options;
  const { pool, together, read, gates, noteConflict = conflictRecord } = settle;
  const intake = closedWhileLost(postgresIntake({ pool, together, gates, noteConflict }), lostHeads);
  while (!signal.aborted) {
    try {
      return await consumeMessages({
        connection,
        groupId: configuration.kafkaGroup,
        topics: ingested.map(({ name }) => connection.topic(name)),
        intake,
        read,
        onEvent: state.onEvent,
      });
    } catch (error) {
      if (!(error instanceof KafkaError)) throw error;
      if (state.waitsFor(error.code)) log('warn', 'messages are not taken yet', errorFields(error));
      await pause(JOIN_AGAIN_MS, undefined, { signal }).catch(() => undefined);
    }
  }
  return undefined;
};

/** The same intake, closed while heads are missing, as the store is. */
const closedWhileLost = (intake: Intake, lost: () => number): Intake => ({
  ...intake,
  commit: async (pieces) => {
    if (lost() > 0)
      throw new StreamError('unavailable', 'the ledger lacks facts that it had: no message is taken');
    return await intake.commit(pieces);
  },
});
