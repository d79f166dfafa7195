import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import type { Producer } from 'kafkajs';
import { parseProof } from '#proofs/bundle-reader.ts';
import type { JsonValue } from '#proofs/canonical.ts';
import { type TenantId, tenantId } from '#schemas/ids.ts';
import type { KafkaConnection } from '#streams/kafka/connect.ts';
import { KafkaError } from '#streams/kafka/errors.ts';
import { EVENTS_TOPIC, HEADS_TOPIC, relayLedger } from '#streams/kafka/relay.ts';
import type { RelayEvent } from '#streams/kafka/relay-event.ts';
import { connect } from '#streams/postgres/connect.ts';
import { oneDatabase } from '#streams/postgres/databases.ts';
import { postgresStreamFeed } from '#streams/postgres/feed.ts';
import { relayLag } from '#streams/postgres/transport/relayed.ts';
import { append, drafts } from '#test/contracts/ledger-adapter.ts';
import { type KafkaPair, kafkaPair } from '#test/support/kafka.ts';
import { proofFault } from '#test/support/ledger-sound.ts';
import {
  applyTopics,
  everythingOn,
  expectRelayed,
  factsOnTopic,
  type LedgerTopics,
  ledgerTopics,
  type TopicMessage,
} from '#test/support/ledger-topic.ts';
import { makeAnew } from '#test/support/topics.ts';
import { type TransportLedger, transportLedger } from '#test/support/transport.ts';

const tenants = ['acme', 'other', 'third'].map(tenantId);
const [acme = tenantId('acme')] = tenants;

interface Running {
  readonly events: RelayEvent[];
  readonly stop: () => Promise<void>;
}

describe('streams/kafka/relay', function () {
  this.timeout(120_000);
  let pair: KafkaPair;
  let topics: LedgerTopics;
  let ledger: TransportLedger;
  const running: Running[] = [];

  before(async function () {
    pair = await kafkaPair(this);
  });

  beforeEach(async () => {
    topics = await ledgerTopics(pair);
    ledger = await transportLedger(...tenants);
  });

  afterEach(async () => {
    for (const each of running.splice(0)) await each.stop();
    await ledger?.[Symbol.asyncDispose]();
  });

  const relay = (connection: KafkaConnection = topics.connection): Running => {
    const ending = new AbortController();
    const events: RelayEvent[] = [];
    const feed = postgresStreamFeed({ pool: ledger.pool });
    const { pool, store } = ledger;
    const over = relayLedger({
      connection,
      schemas: topics.schemas,
      databases: oneDatabase(pool),
      store,
      feed,
      signal: ending.signal,
      onEvent: (event) => events.push(event),
      headsEveryMs: 50,
    });
    const one = {
      events,
      stop: async () => {
        ending.abort();
        await over;
        await feed[Symbol.asyncDispose]();
      },
    };
    running.push(one);
    return one;
  };

  const sentAll = async (): Promise<void> => {
    const topic = topics.connection.topic('ledger.events.v1');
    for (const deadline = Date.now() + 60_000; ; await pause(20)) {
      const { facts } = await relayLag(oneDatabase(ledger.pool), topic);
      if (facts === 0) return;
      if (Date.now() > deadline) throw new Error(`${facts} facts were not sent`);
    }
  };

  const told = async ({ events }: Running, type: RelayEvent['type']): Promise<RelayEvent> => {
    for (const deadline = Date.now() + 30_000; ; await pause(20)) {
      const found = events.find((event) => event.type === type);
      if (found) return found;
      if (Date.now() > deadline) throw new Error(`${type} was not told: ${JSON.stringify(events)}`);
    }
  };

  const write = async (tenant: TenantId, count: number): Promise<void> => {
    const result = await append(ledger.store, tenant, ...drafts(count));
    expect(result.kind).to.equal('appended');
  };

  it('sends every fact in order per tenant, once where nothing fails, and then the signed heads', async () => {
    for (const tenant of tenants) await write(tenant, 700);
    const one = relay();
    await sentAll();
    await write(acme, 3);
    await sentAll();
    await one.stop();
    const facts = await factsOnTopic(topics);
    const heads = await ledger.store.heads();
    expect(expectRelayed(facts, heads)).to.equal(0);
    expect(facts).to.have.length(3 * 701 + 3);
    const announced = new Map(
      (await everythingOn(topics.connection, HEADS_TOPIC)).map(({ key, value }) => [
        String(key),
        JSON.parse(String(value)) as { seq: number; hash: string; proof: JsonValue; ledger_id: string },
      ]),
    );
    for (const { tenant, seq, hash } of heads) {
      const said = announced.get(tenant);
      expect(said).to.include({ seq, hash, ledger_id: ledger.store.ledgerId });
      const fact = facts.find((each) => each.hash === hash);
      expect(fact && proofFault(ledger, fact, parseProof(said?.proof))).to.equal(undefined);
    }
  });

  it('loses nothing and keeps the order when answers are lost, sends fail and its session is cut', async () => {
    const hurt = failing(topics.connection);
    const one = relay(hurt);
    const failures = () => one.events.filter(({ type }) => type === 'waiting').length;
    for (let round = 0; failures() < 6 && round < 400; round += 1) {
      for (const tenant of tenants) await write(tenant, 10);
      if (round % 8 === 1) await cutTurn(ledger);
      await pause(50);
    }
    await sentAll();
    await one.stop();
    expect(failures()).to.be.at.least(6);
    const repeated = expectRelayed(await factsOnTopic(topics), await ledger.store.heads());
    expect(repeated).to.be.greaterThan(0);
  });

  it('takes its turn: a second relay waits, and goes on where the first one stopped', async () => {
    const first = relay();
    await told(first, 'leading');
    const second = relay();
    await write(acme, 10);
    await sentAll();
    expect(second.events).to.deep.equal([]);
    await first.stop();
    await told(second, 'leading');
    await write(acme, 10);
    await sentAll();
    await second.stop();
    expect(expectRelayed(await factsOnTopic(topics), await ledger.store.heads())).to.equal(0);
  });

  for (const when of ['while it runs', 'while it is away'] as const)
    it(`says that the topic was made anew ${when}, and sends everything again`, async () => {
      let one = relay();
      await write(acme, 50);
      await sentAll();
      if (when === 'while it is away') await one.stop();
      await deleteTopic(topics.connection);
      if (when === 'while it is away') one = relay();
      else await write(acme, 5);
      await applyTopics(topics.connection);
      await told(one, 'anew');
      await write(acme, 5);
      await sentAll();
      await one.stop();
      expectRelayed(await inSequence(), await ledger.store.heads());
    });

  it('says so too where the topic has grown past what it knows: another message stands in the place', async () => {
    const first = relay();
    await write(acme, 50);
    await sentAll();
    await first.stop();
    const before = await everythingOn(topics.connection, EVENTS_TOPIC);
    await makeAnew(topics.connection, EVENTS_TOPIC);
    await sendRaw(
      topics.connection,
      before.flatMap((each) => [each, each]),
    );
    const second = relay();
    await told(second, 'anew');
    await write(acme, 5);
    await sentAll();
    await second.stop();
    expectRelayed(await inSequence(), await ledger.store.heads());
  });

  /** What a reader keeps who drops what does not come next: facts sent before the loss was noticed come again. */
  const inSequence = async () => {
    const next = new Map<TenantId, number>();
    return (await factsOnTopic(topics)).filter(({ tenant, seq }) => {
      if (seq !== (next.get(tenant) ?? 1)) return false;
      next.set(tenant, seq + 1);
      return true;
    });
  };

  it('halts a tenant whose store holds another history than was sent', async () => {
    const first = relay();
    await sentAll();
    await first.stop();
    await ledger.pool.query(`UPDATE transport.relayed SET hash = sha256('another') WHERE tenant = 'acme'`);
    const second = relay();
    await write(acme, 1);
    await write(tenantId('other'), 1);
    expect(await told(second, 'halted')).to.include({ tenant: 'acme', seq: 2 });
    // The other tenant's fact is on its way when the halt is told.
    const behind = async () =>
      (await relayLag(oneDatabase(ledger.pool), topics.connection.topic('ledger.events.v1'))).tenants;
    for (const deadline = Date.now() + 30_000; (await behind()) !== 1 && Date.now() < deadline; )
      await pause(20);
    expect(await behind()).to.equal(1);
  });
});

/** A connection whose producers fail every second time: half of them after the broker has stored the messages. */
const failing = (connection: KafkaConnection): KafkaConnection => {
  let sends = 0;
  const hurt = (producer: Producer): Producer => ({
    ...producer,
    send: async (record) => {
      if (record.topic.endsWith(EVENTS_TOPIC)) sends += 1;
      const lost = new KafkaError('unavailable', 'the answer was lost');
      if (sends % 4 === 2) throw lost;
      const answer = await producer.send(record);
      if (sends % 4 === 0) throw lost;
      return answer;
    },
  });
  const { kafka, topic } = connection;
  const standIn = Object.create(kafka) as typeof kafka;
  standIn.producer = (config) => hurt(kafka.producer(config));
  return { kafka: standIn, topic };
};

/** Ends the session that holds the turn, as a server that restarts does. */
const cutTurn = async ({ url }: TransportLedger): Promise<void> => {
  const owner = connect({ url, max: 1 });
  await owner.query(
    `SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
      WHERE l.locktype = 'advisory' AND l.classid = 7203115 AND d.datname = current_database()`,
  );
  await owner.end();
};

/** As they came, each to the partition that it was on. */
const sendRaw = async (
  { kafka, topic }: KafkaConnection,
  messages: readonly TopicMessage[],
): Promise<void> => {
  const producer = kafka.producer();
  await producer.connect();
  await producer.send({ topic: topic(EVENTS_TOPIC), acks: -1, messages: messages as never[] });
  await producer.disconnect();
};

const deleteTopic = async ({ kafka, topic }: KafkaConnection): Promise<void> => {
  const admin = kafka.admin();
  await admin.connect();
  await admin.deleteTopics({ topics: [topic('ledger.events.v1')] });
  await admin.disconnect();
};
