// Messages taken, relayed and folded while everything that does so is killed at random moments; and then: did every message
// become what it had to, once, in the order of its key, and do topics and read models say what the ledger says?
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import type { Parts } from '#deploy/dev/parts.ts';
import { type Subject, subjectOf } from '#schemas/registry/subjects.ts';
import { wireSchemas } from '#streams/kafka/registry.ts';
import { EVENTS_TOPIC } from '#streams/kafka/relay.ts';
import { connect, type Pool, RUNTIME_ROLE } from '#streams/postgres/connect.ts';
import { readRelayed } from '#streams/postgres/transport/relayed.ts';
import { makeAnew, removeWhatIsThere } from '#test/support/topics.ts';
import { type Cluster, openCluster } from './kafka-cluster.ts';
import { expectGiven, untilGiven } from './kafka-given.ts';
import { openLoad } from './kafka-load.ts';
import { expectTaken, giveUpPoison, TOPIC, untilTaken } from './kafka-taken.ts';
import { killServer, openSite, type Site } from './site.ts';
import { type Supervised, supervise } from './supervised.ts';

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
  /** Processes that left a group or came to it. */
  readonly memberships: number;
  readonly keys: number;
  /** Messages on the topic of facts, and those of them that its readers drop. */
  readonly relayed: number;
  readonly dropped: number;
  readonly seconds: number;
}

interface Scene {
  readonly site: Site;
  readonly cluster: Cluster;
  /** Of the ledger's server, as the oracle asks it. */
  readonly pool: Pool;
  readonly ingest: Supervised;
  readonly relay: Supervised;
  readonly worker: Supervised;
  readonly random: () => number;
}

/** What the relay says of a topic that lacks what it has sent. */
const ANEW = 'the topic was made anew';
const AWAY_MS = 3_000;

const replaceOne = ({ random }: Scene, of: Supervised, signal: NodeJS.Signals): Promise<void> =>
  of.replace(Math.floor(random() * of.members), signal);

/** Whoever has sent nothing yet has nothing to say of a topic that is made anew. */
const anyRelayed = async ({ pool, cluster: { connection } }: Scene): Promise<void> => {
  const noted = () => readRelayed(pool, connection.topic(EVENTS_TOPIC)).catch(() => []);
  for (const deadline = Date.now() + 120_000; (await noted()).length === 0; await pause(100))
    if (Date.now() > deadline) throw new Error('the relay has sent nothing for two minutes');
};

/** Each kind of harm; it resolves when what was harmed is back, or on its way. */
const HARMS = {
  ingest: (scene: Scene) => replaceOne(scene, scene.ingest, 'SIGKILL'),
  relay: (scene: Scene) => replaceOne(scene, scene.relay, 'SIGKILL'),
  worker: (scene: Scene) => replaceOne(scene, scene.worker, 'SIGKILL'),
  postgres: ({ site }: Scene) => killServer(site.server),
  broker: async ({ cluster: { kafka } }: Scene) => {
    await kafka.kill();
    await kafka.restart();
  },
  /** It answers nothing and is not gone: as behind a network that swallows, or in a long collection of garbage. */
  'paused broker': async ({ cluster: { kafka }, random }: Scene) => {
    process.kill(kafka.pid(), 'SIGSTOP');
    await pause(AWAY_MS + random() * AWAY_MS);
    process.kill(kafka.pid(), 'SIGCONT');
  },
  /** Those that begin meanwhile know no schema: what they read waits, and is taken by itself. */
  registry: async (scene: Scene) => {
    await scene.cluster.registry.kill();
    await replaceOne(scene, scene.ingest, 'SIGKILL');
    await replaceOne(scene, scene.relay, 'SIGKILL');
    await pause(AWAY_MS);
    await scene.cluster.registry.restart();
  },
  'topic of facts': async (scene: Scene) => {
    await anyRelayed(scene);
    await makeAnew(scene.cluster.connection, EVENTS_TOPIC);
  },
  /** A worker that is away meanwhile has its facts from the store. */
  retention: async (scene: Scene) => {
    const removed = removeWhatIsThere(scene.cluster.connection, EVENTS_TOPIC);
    await replaceOne(scene, scene.worker, 'SIGKILL');
    await removed;
  },
  /** Members that leave in order: partitions move twice, also where brokers were killed before. */
  group: async (scene: Scene) => {
    await replaceOne(scene, scene.ingest, 'SIGTERM');
    await replaceOne(scene, scene.worker, 'SIGTERM');
  },
} satisfies { readonly [victim: string]: (scene: Scene) => Promise<void> };

export type KafkaVictim = keyof typeof HARMS;

export const VICTIMS = Object.keys(HARMS) as readonly KafkaVictim[];

/** Throws when anything was lost, doubled or put out of order, or when the counts do not add up. */
export const runKafkaKills = async (options: KafkaKillOptions): Promise<KafkaKillFigures> => {
  const { parts, messages, victims, log = () => undefined } = options;
  await using stack = new AsyncDisposableStack();
  const site = stack.use(await openSite());
  const cluster = stack.use(await openCluster(parts));
  const pool = connect({ url: site.server.url, role: RUNTIME_ROLE, max: 4, name: 'oracle' });
  stack.defer(() => pool.end());
  const began = performance.now();
  const scene = stack.use(openScene(options, { site, cluster, pool }));
  const { relay } = scene;
  const { sent, memberships } = await untilLevel(options, scene).catch((error: unknown) => {
    log(scene.lastWords());
    throw error;
  });
  const seconds = Math.round((performance.now() - began) / 1_000);
  if (victims.includes('topic of facts'))
    expect(relay.said(ANEW), 'times that the relay told of a topic made anew').to.be.greaterThan(0);
  const { facts: relayed, dropped } = await expectGiven(site, cluster, {
    pool,
    cut: victims.includes('retention'),
  });
  const taken = await expectTaken(pool, { connection: cluster.connection, sent });
  await site.sound({ proofsPerTenant: 50 });
  const keys = sent.counts.length;
  return { messages, ...taken, kills: victims.length, memberships, keys, relayed, dropped, seconds };
};

/** Until all that was sent through harm is taken, or given up, and given. */
const untilLevel = async (options: KafkaKillOptions, scene: OpenScene) => {
  const { log = () => undefined } = options;
  const { site, cluster, pool, ingest, worker } = scene;
  const sent = await sendThroughHarm(options, scene);
  log(`sent: ${sent.duplicates} duplicates, ${sent.poison} that cannot be taken`);
  await untilTaken(pool, cluster.connection, log);
  const memberships = ingest.changes() + worker.changes();
  await scene.allAlive();
  await ingest[Symbol.asyncDispose]();
  await giveUpPoison({ site, cluster, pool, log });
  await untilGiven({ site, cluster, pool, log });
  await scene.allAlive();
  return { sent, memberships };
};

interface OpenScene extends Scene, AsyncDisposable {
  /** Throws when a process has ended by itself. */
  readonly allAlive: () => Promise<void>;
  /** What those that run said last. */
  readonly lastWords: () => string;
}

const openScene = (
  { random }: Pick<KafkaKillOptions, 'random'>,
  { site, cluster, pool }: Pick<Scene, 'site' | 'cluster' | 'pool'>,
): OpenScene => {
  const stack = new AsyncDisposableStack();
  const env = { ...site.environment, ...cluster.environment, PROV_LEDGER_OPERATORS_PORT: '0' };
  const ingest = stack.use(supervise({ command: 'kafka-ingest', members: 2, env }));
  const relay = stack.use(supervise({ command: 'kafka-relay', members: 1, env, heard: [ANEW] }));
  const following = { PROV_LEDGER_WORKER_FEED: 'kafka', PROV_LEDGER_WORKER_LEASE_SECONDS: '6' };
  const worker = stack.use(
    supervise({ command: 'projector-worker', members: 2, env: { ...env, ...following } }),
  );
  return {
    site,
    cluster,
    pool,
    ingest,
    relay,
    worker,
    random,
    allAlive: async () => {
      for (const each of [ingest, relay, worker]) await each.alive();
    },
    lastWords: () => [ingest, relay, worker].map((each) => each.lastWords()).join('\n'),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
};

/** A part of the messages before each harm, while it is done, and the last part after it. */
const sendThroughHarm = async (
  { messages, victims, log = () => undefined }: KafkaKillOptions,
  scene: OpenScene,
) => {
  const { cluster, random } = scene;
  const { connection, registry } = cluster;
  const receipts = subjectOf('receipts.ReceiptRecorded') as Subject;
  const schemaId = await wireSchemas({ url: registry.url }).idOf(receipts);
  await using load = await openLoad({
    connection,
    topic: connection.topic(TOPIC),
    schemaId,
    messages,
    random,
  });
  const part = Math.floor(messages / (victims.length + 1));
  for (const victim of victims) {
    const sending = load.send(part);
    sending.catch(() => undefined);
    await pause(300 + random() * 1_200);
    log(`harming: ${victim}`);
    await HARMS[victim](scene);
    await sending;
    await scene.allAlive();
  }
  await load.send(messages - part * victims.length);
  return load.sent();
};
