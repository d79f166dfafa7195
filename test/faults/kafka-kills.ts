// Takes messages while the broker, the ingesting processes and PostgreSQL are killed at random moments and the group is
// shaken, and then asks: did every message become what it had to, once, in the order of its key?
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { type DevKafka, startDevKafka } from '#deploy/dev/kafka.ts';
import type { Parts } from '#deploy/dev/parts.ts';
import { startDevRegistry } from '#deploy/dev/registry.ts';
import { messageReader } from '#gateway/kafka/read-message.ts';
import { conflictRecord } from '#gateway/kafka/records.ts';
import type { Instant } from '#schemas/ids.ts';
import { type Subject, subjectOf } from '#schemas/registry/subjects.ts';
import { topicsAdmin } from '#streams/kafka/admin.ts';
import { type KafkaConnection, kafkaConnection } from '#streams/kafka/connect.ts';
import { wireSchemas } from '#streams/kafka/registry.ts';
import { connect, type Pool, RUNTIME_ROLE } from '#streams/postgres/connect.ts';
import { appendTogether } from '#streams/postgres/together.ts';
import { readPartitions } from '#streams/postgres/transport/flow.ts';
import type { Gates } from '#streams/postgres/transport/gates.ts';
import { listLetters } from '#streams/postgres/transport/letters.ts';
import { discardLetter } from '#streams/postgres/transport/settle.ts';
import { type Program, start } from '#test/deploy/processes/program.ts';
import { type Sent, sendLoad } from './kafka-load.ts';
import { killServer, openSite, type Site, siteFolder } from './site.ts';

export type KafkaVictim = 'ingest' | 'broker' | 'postgres' | 'group';

export interface KafkaKillOptions {
  readonly parts: Parts;
  readonly messages: number;
  readonly victims: readonly KafkaVictim[];
  readonly random: () => number;
  readonly log?: (line: string) => void;
}

export interface KafkaKillFigures {
  readonly messages: number;
  readonly received: number;
  readonly accepted: number;
  readonly duplicate: number;
  readonly deadLettered: number;
  readonly kills: number;
  /** Processes that left the group or came to it. */
  readonly memberships: number;
  readonly keys: number;
  readonly seconds: number;
}

/** No gate moves here. */
const NO_GATES: Gates = { gateOf: () => undefined, standing: async () => [] };

const TOPIC = 'provenance.receipts.v1';
const MEMBERS = 2;
const UNAVAILABLE = 3;
const TAKEN_WITHIN_MS = 300_000;

interface Cluster extends AsyncDisposable {
  readonly kafka: DevKafka;
  readonly connection: KafkaConnection;
  readonly registryUrl: string;
  readonly schemaId: number;
}

const openCluster = async (parts: Parts): Promise<Cluster> => {
  await using opening = new AsyncDisposableStack();
  const folder = siteFolder();
  opening.defer(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  const kafka = await startDevKafka({ parts, dataDir: join(folder, 'kafka') });
  opening.defer(() => kafka.kill());
  const registry = await startDevRegistry({ parts });
  opening.defer(() => registry.kill());
  const connection = kafkaConnection({ brokers: [kafka.broker] });
  const schemaId = await wireSchemas({ url: registry.url }).publish(
    subjectOf('receipts.ReceiptRecorded') as Subject,
  );
  await using admin = await topicsAdmin(connection);
  await admin.apply();
  const open = opening.move();
  return {
    kafka,
    connection,
    registryUrl: registry.url,
    schemaId,
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
};

/** Members of the group: processes that are started again when they could not start. */
const openGroup = (site: Site, cluster: Cluster) => {
  const members: Program[] = [];
  let memberships = 0;
  const begin = (): Program => {
    memberships += 1;
    return start('cli.ts', ['kafka-ingest'], {
      env: {
        ...site.environment,
        PROV_LEDGER_OPERATORS_PORT: '0',
        PROV_LEDGER_KAFKA_BROKERS: cluster.kafka.broker,
        PROV_LEDGER_REGISTRY_URL: cluster.registryUrl,
      },
    });
  };
  const ending = new Set<Program>();
  const keep = (index: number): void => {
    const program = begin();
    members[index] = program;
    // A database that recovers ends a process that starts on it, with 3: its supervisor starts it again.
    void program.ended.then(async ({ code }) => {
      await pause(500);
      if (code === UNAVAILABLE && !ending.has(program)) keep(index);
    });
  };
  for (let member = 0; member < MEMBERS; member += 1) keep(member);
  const end = async (index: number, signal: NodeJS.Signals): Promise<void> => {
    const member = members[index] as Program;
    ending.add(member);
    memberships += 1;
    member.child.kill(signal);
    await member.ended;
  };
  return {
    memberships: () => memberships,
    replace: async (index: number, signal: NodeJS.Signals): Promise<void> => {
      await end(index, signal);
      keep(index);
    },
    /** Throws when one of them has ended by itself. */
    alive: async (): Promise<void> => {
      for (const { child, ended } of members)
        if (child.exitCode !== null && child.exitCode !== UNAVAILABLE)
          throw new Error(`kafka-ingest ended: ${(await ended).stderr.slice(-2_000)}`);
    },
    [Symbol.asyncDispose]: async (): Promise<void> => {
      await Promise.all(members.map((_, index) => end(index, 'SIGKILL')));
    },
  };
};

/** Throws when a message was lost, doubled or put out of order, or when the counts do not add up. */
export const runKafkaKills = async (options: KafkaKillOptions): Promise<KafkaKillFigures> => {
  const { parts, messages, victims, random, log = () => undefined } = options;
  await using site = await openSite();
  await using cluster = await openCluster(parts);
  const { connection, schemaId } = cluster;
  const began = performance.now();
  let memberships = 0;
  let sent: Sent;
  {
    await using group = openGroup(site, cluster);
    const sending = sendLoad({ connection, topic: TOPIC, schemaId, messages, random });
    for (const victim of victims) {
      await pause(300 + random() * 1_500);
      log(`killing: ${victim}`);
      if (victim === 'broker') {
        await cluster.kafka.kill();
        await cluster.kafka.restart();
      } else if (victim === 'postgres') await killServer(site.server);
      else await group.replace(Math.floor(random() * MEMBERS), victim === 'ingest' ? 'SIGKILL' : 'SIGTERM');
      await group.alive();
    }
    sent = await sending;
    log(`sent: ${sent.duplicates} duplicates, ${sent.poison} that cannot be taken`);
    await untilTaken(site, connection);
    await group.alive();
    memberships = group.memberships();
  }
  const seconds = Math.round((performance.now() - began) / 1_000);
  const pool = connect({ url: site.server.url, role: RUNTIME_ROLE, max: 4, name: 'oracle' });
  try {
    await giveUpPoison(site, cluster, pool);
    const flow = await expectTaken(pool, { connection, sent });
    await site.sound({ proofsPerTenant: 50 });
    return { messages, ...flow, kills: victims.length, memberships, keys: sent.counts.length, seconds };
  } finally {
    await pool.end();
  }
};

/** Offsets of the topic's ends, all partitions together: how many messages the brokers really hold. */
const held = async ({ kafka }: KafkaConnection): Promise<number> => {
  const admin = kafka.admin();
  await admin.connect();
  const offsets = await admin.fetchTopicOffsets(TOPIC);
  await admin.disconnect();
  return offsets.reduce((sum, { high }) => sum + Number(high), 0);
};

const untilTaken = async ({ server }: Site, connection: KafkaConnection): Promise<void> => {
  const wanted = await held(connection);
  const pool = connect({ url: server.url, role: RUNTIME_ROLE, max: 1, name: 'oracle' });
  try {
    let [last, lastAt] = [-1, Date.now()];
    for (;;) {
      const taken = (await readPartitions(pool)).reduce((sum, { next_offset }) => sum + next_offset, 0);
      if (taken === wanted) return;
      if (taken > last) [last, lastAt] = [taken, Date.now()];
      if (Date.now() > lastAt + TAKEN_WITHIN_MS) throw new Error(`standing still at ${taken} of ${wanted}`);
      await pause(200);
    }
  } finally {
    await pool.end();
  }
};

/** As a person would, after all: what was held behind them goes in, in its order. */
const giveUpPoison = async (site: Site, { registryUrl }: Cluster, pool: Pool): Promise<void> => {
  const { signer } = site.keys;
  const ledgerId = await site.withStore(async (store) => store.ledgerId);
  const settle = {
    pool,
    together: appendTogether({ pool, ledgerId, signer }),
    gates: NO_GATES,
    noteConflict: conflictRecord,
    read: messageReader({
      schemas: wireSchemas({ url: registryUrl }),
      eventsOf: () => ['receipts.ReceiptRecorded'],
      clock: Date.now as () => Instant,
    }),
  };
  for (;;) {
    const dead = await listLetters(pool, { states: ['dead'], limit: 1_000 });
    if (dead.length === 0) return;
    for (const { letter } of dead) await discardLetter(settle, letter);
  }
};

const expectTaken = async (
  pool: Pool,
  { connection, sent }: { readonly connection: KafkaConnection; readonly sent: Sent },
) => {
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
