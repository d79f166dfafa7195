// What became of the messages that were sent: every one of them, once, in the order of its key, and the counts add up.
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { messageReader } from '#gateway/kafka/read-message.ts';
import { conflictRecord } from '#gateway/kafka/records.ts';
import type { Instant } from '#schemas/ids.ts';
import type { KafkaConnection } from '#streams/kafka/connect.ts';
import { wireSchemas } from '#streams/kafka/registry.ts';
import type { Pool } from '#streams/postgres/connect.ts';
import { appendTogether } from '#streams/postgres/together.ts';
import { readPartitions } from '#streams/postgres/transport/flow.ts';
import type { Gates } from '#streams/postgres/transport/gates.ts';
import { type Letter, listLetters, waitingForRegistry } from '#streams/postgres/transport/letters.ts';
import { discardLetter } from '#streams/postgres/transport/settle.ts';
import { withAdmin } from '#test/support/topics.ts';
import type { Cluster } from './kafka-cluster.ts';
import type { Sent } from './kafka-load.ts';
import type { Site } from './site.ts';

export const TOPIC = 'provenance.receipts.v1';

export interface Taken {
  readonly received: number;
  readonly accepted: number;
  readonly duplicate: number;
  readonly deadLettered: number;
}

/** No gate moves here. */
const NO_GATES: Gates = { gateOf: () => undefined, standing: async () => [] };

export type Tell = (line: string) => void;

const STANDS_STILL_AFTER_MS = 300_000;
const TELL_EVERY_MS = 10_000;

/** Resolves when `left` says that nothing is left; throws when that has not changed for minutes. */
export const untilNone = async (what: string, left: () => Promise<number>, tell?: Tell): Promise<void> => {
  let [last, lastAt] = [Number.NaN, Date.now()];
  for (const progress = progressOf(what, tell); ; ) {
    const now = await left();
    if (now === 0) return;
    progress(now);
    if (now !== last) [last, lastAt] = [now, Date.now()];
    if (Date.now() > lastAt + STANDS_STILL_AFTER_MS) throw new Error(`${what}: ${now} for minutes`);
    await pause(200);
  }
};

/** Says now and then how many are left, how many a second that goes, and how long it will take at that. */
const progressOf = (what: string, tell: Tell = () => undefined): ((left: number) => void) => {
  let [first, began, saidAt] = [Number.NaN, Date.now(), Date.now()];
  return (left) => {
    if (Number.isNaN(first)) [first, began] = [left, Date.now()];
    if (Date.now() < saidAt + TELL_EVERY_MS) return;
    saidAt = Date.now();
    const rate = Math.max(0, first - left) / ((saidAt - began) / 1_000);
    tell(`${what}: ${left} left, ${Math.round(rate)}/s, ${rate > 0 ? Math.ceil(left / rate) : '?'} s to go`);
  };
};

/** How many messages the brokers hold, all partitions together. */
const held = (connection: KafkaConnection): Promise<number> =>
  withAdmin(connection, async (admin) =>
    (await admin.fetchTopicOffsets(connection.topic(TOPIC))).reduce((sum, { high }) => sum + Number(high), 0),
  );

/** Until every message is taken, and none waits for a registry that was away. */
export const untilTaken = async (pool: Pool, connection: KafkaConnection, tell?: Tell): Promise<void> => {
  const wanted = await held(connection);
  const taken = async (): Promise<number> =>
    (await readPartitions(pool)).reduce((sum, { next_offset }) => sum + next_offset, 0);
  await untilNone('messages that are not taken', async () => Math.abs(wanted - (await taken())), tell);
  await untilNone(
    'letters that wait for the registry',
    async () => (await waitingForRegistry(pool, 1_000)).length,
    tell,
  );
};

/** As a person would, after all: what was held behind them goes in, in its order. */
export const giveUpPoison = async ({ site, cluster: { registry }, pool, log }: Around): Promise<void> => {
  const { signer } = site.keys;
  const ledgerId = await site.withStore(async (store) => store.ledgerId);
  const settle = {
    pool,
    together: appendTogether({ pool, ledgerId, signer }),
    gates: NO_GATES,
    noteConflict: conflictRecord,
    read: messageReader({
      schemas: wireSchemas({ url: registry.url }),
      eventsOf: () => ['receipts.ReceiptRecorded'],
      clock: Date.now as () => Instant,
    }),
  };
  const dead = async (): Promise<number> =>
    (
      await pool.query<{ count: number }>(
        `SELECT count(*)::int AS count FROM transport.letters WHERE state = 'dead'`,
      )
    ).rows[0]?.count ?? 0;
  const progress = progressOf('letters that nobody has given up', log);
  for (let left = await dead(); left > 0; left = await dead()) {
    const some = await listLetters(pool, { states: ['dead'], limit: 1_000 });
    // Each settlement locks the place of its partition.
    const lanes = [...Map.groupBy(some, ({ topic, partition }) => `${partition} ${topic}`).values()];
    let open = left;
    const giveUp = async (letters: readonly Letter[]): Promise<void> => {
      for (const { letter } of letters) {
        await discardLetter(settle, letter);
        open -= 1;
        progress(open);
      }
    };
    await Promise.all(lanes.map(giveUp));
  }
};

/** What a run is made of, and who is told how far it is. */
export interface Around {
  readonly site: Site;
  readonly cluster: Cluster;
  readonly pool: Pool;
  readonly log: Tell;
}

/** Throws when a message was lost, doubled or put out of order, or when the counts do not add up. */
export const expectTaken = async (
  pool: Pool,
  { connection, sent }: { readonly connection: KafkaConnection; readonly sent: Sent },
): Promise<Taken> => {
  const partitions = await readPartitions(pool);
  const sum = (of: (row: (typeof partitions)[number]) => number): number =>
    partitions.reduce((all, row) => all + of(row), 0);
  const received = sum((row) => row.received);
  expect(
    sum((row) => Math.abs(row.missing)),
    'offsets passed without a message',
  ).to.equal(0);
  expect(received, 'messages received').to.equal(await held(connection));
  const fates = {
    accepted: sum((row) => row.accepted),
    duplicate: sum((row) => row.duplicate),
    deadLettered: sum((row) => row.dead_lettered),
  };
  expect(
    sum((row) => row.conflict + row.held),
    'in conflict, or held',
  ).to.equal(0);
  expect(fates.accepted + fates.duplicate + fates.deadLettered, 'the equation').to.equal(received);
  const wanted = sent.counts.reduce((all, count) => all + count, 0);
  expect(fates.accepted, 'receipts accepted').to.equal(wanted);
  expect(await rowsOf(pool), 'each key’s receipts, once, in their order').to.deep.equal(
    sent.counts.flatMap((count, key) => (count === 0 ? [] : [{ key, facts: count, last: count, behind: 0 }])),
  );
  return { received, ...fates };
};

/** Of each key: its facts, the highest count, and how many facts come after one with a higher count. */
const rowsOf = async (pool: Pool): Promise<readonly object[]> => {
  const { rows } = await pool.query<object>(
    `SELECT key, count(*)::int AS facts, max(n)::int AS last, count(*) FILTER (WHERE n <= before)::int AS behind FROM (
       SELECT key, n, lag(n, 1, 0) OVER (PARTITION BY key ORDER BY seq) AS before FROM (
         SELECT split_part(payload->>'id', '-', 1)::int AS key, split_part(payload->>'id', '-', 2)::int AS n, seq
         FROM ledger.fact_texts WHERE type = 'receipts.ReceiptRecorded') AS receipts) AS ordered
     GROUP BY key ORDER BY key`,
  );
  return rows;
};
