// A lost ledger back from its topics, with a real broker: the facts, their proofs, and what must stop it.
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { type Seq, tenantId } from '#schemas/ids.ts';
import { CarryError, type CarryErrorCode, trustIn } from '#streams/carry.ts';
import { announcedHeads } from '#streams/kafka/announced-heads.ts';
import { type BringOptions, type Brought, bringFromTopic } from '#streams/kafka/bring.ts';
import { EVENTS_TOPIC, HEADS_TOPIC, relayLedger } from '#streams/kafka/relay.ts';
import { beginArrival, postgresShareTaker } from '#streams/postgres/arrival.ts';
import { oneDatabase } from '#streams/postgres/databases.ts';
import { postgresStreamFeed } from '#streams/postgres/feed.ts';
import { relayLag } from '#streams/postgres/transport/relayed.ts';
import { append, drafts } from '#test/contracts/ledger-adapter.ts';
import { openPostgres, type PostgresUnderTest } from '#test/streams/postgres/postgres-adapter.ts';
import { type KafkaPair, kafkaPair } from '#test/support/kafka.ts';
import {
  everythingOn,
  type LedgerTopics,
  ledgerTopics,
  type TopicMessage,
} from '#test/support/ledger-topic.ts';
import { testSigner } from '#test/support/test-signer.ts';
import { type TransportLedger, transportLedger } from '#test/support/transport.ts';

const tenants = ['acme', 'other', 'third'].map(tenantId);
const [acme = tenantId('acme')] = tenants;
const NEVER = new AbortController().signal;

describe('streams/kafka/bring', function () {
  this.timeout(240_000);
  let pair: KafkaPair;
  let topics: LedgerTopics;
  let ledger: TransportLedger;
  let target: PostgresUnderTest;

  before(async function () {
    pair = await kafkaPair(this);
    topics = await ledgerTopics(pair);
    ledger = await transportLedger(...tenants);
    for (const tenant of tenants)
      for (const count of [1, 700, 2]) await append(ledger.store, tenant, ...drafts(count));
    await relayAll();
  });
  beforeEach(async () => {
    target = await openPostgres();
  });
  afterEach(() => target?.[Symbol.asyncDispose]());
  after(() => ledger?.[Symbol.asyncDispose]());

  const relayAll = async (): Promise<void> => {
    const ending = new AbortController();
    const { pool, store } = ledger;
    await using feed = postgresStreamFeed({ pool });
    const { signal } = ending;
    const over = relayLedger({
      ...topics,
      databases: oneDatabase(pool),
      store,
      feed,
      signal,
      headsEveryMs: 50,
    });
    for (const deadline = Date.now() + 120_000; Date.now() < deadline; await pause(20))
      if ((await relayLag(oneDatabase(pool), topics.connection.topic(EVENTS_TOPIC))).facts === 0) break;
    ending.abort();
    await over;
  };

  /** Sends messages as they are onto topics of their own. */
  const sentAnew = async (
    change: (messages: readonly TopicMessage[]) => readonly TopicMessage[],
  ): Promise<LedgerTopics> => {
    const fresh = await ledgerTopics(pair);
    const producer = fresh.connection.kafka.producer();
    await producer.connect();
    for (const topic of [EVENTS_TOPIC, HEADS_TOPIC]) {
      const messages = await everythingOn(topics.connection, topic);
      const sent = (topic === EVENTS_TOPIC ? change(messages) : messages) as never[];
      await producer.send({ topic: fresh.connection.topic(topic), acks: -1, messages: sent });
    }
    await producer.disconnect();
    return fresh;
  };

  const bring = async (over: Partial<BringOptions & LedgerTopics> = {}): Promise<Brought | undefined> => {
    const from = { ...topics, ...over };
    const announced = await announcedHeads(from.connection, ledger.keys, NEVER);
    if (!announced) throw new Error('there is no signal');
    const { ledgerId, heads } = announced;
    const arrival = await beginArrival(target.owner, { source: 'the topic', ledgerId });
    const taker = postgresShareTaker(target.pool(), ledgerId);
    const trust = trustIn(ledgerId, ledger.keys);
    const brought = await bringFromTopic({ ...from, taker, trust, heads, signal: NEVER, ...over });
    if (brought) await arrival.end();
    return brought;
  };

  const expectSame = async (): Promise<void> => {
    const store = await target.storeWith({ pool: target.pool(), ...testSigner() });
    expect(await store.heads()).to.deep.equal(await ledger.store.heads());
    for (const tenant of tenants) {
      const read = async (from: typeof store | typeof ledger.store) =>
        (await Array.fromAsync(from.read(tenant))).flat().map(({ parsed: _, ...fact }) => fact);
      expect(await read(store)).to.deep.equal(await read(ledger.store));
      for (const seq of [1, 2, 400, 702, 704] as Seq[])
        expect(await store.proof(tenant, seq)).to.deep.equal(await ledger.store.proof(tenant, seq));
    }
  };

  const refused = async (over: Partial<BringOptions & LedgerTopics>): Promise<[CarryErrorCode, string]> => {
    const error = await bring(over).then(
      () => new Error('nothing was refused'),
      (cause: Error) => cause,
    );
    if (!(error instanceof CarryError)) throw error;
    return [error.code, error.message];
  };

  it('every fact, every proof, and the heads that were announced', async () => {
    expect(await bring()).to.deep.equal({ facts: 3 * 704, repeated: 0, unsigned: [] });
    await expectSame();
  });

  it('stopped in the midst it goes on; little memory means more passes and no other result', async () => {
    const stopping = new AbortController();
    const stopped = await bring({ signal: stopping.signal, onProgress: () => stopping.abort() });
    expect(stopped).to.equal(undefined);
    expect(await target.store.heads()).to.deep.equal([]);
    const payload = '{"text":"hello"}'.length;
    const brought = await bring({ waitingBytesMax: 800 * payload });
    expect(brought?.unsigned).to.deep.equal([]);
    await expectSame();
  });

  it('messages that came twice are dropped; one that says something else is refused with its place', async () => {
    const twice = await sentAnew((messages) => messages.flatMap((each) => [each, each]));
    expect(await bring(twice)).to.deep.equal({ facts: 3 * 704, repeated: 3 * 704, unsigned: [] });
    await expectSame();
  });

  it('a gap, a broken hash, another history, no signatures: each with tenant, fact, topic, partition and offset', async () => {
    const isFact = ({ key, headers }: TopicMessage, seq: number): boolean =>
      String(key) === acme && String(headers?.['seq']) === String(seq);
    const changed = async (change: (message: TopicMessage) => readonly TopicMessage[]) => {
      const altered = await sentAnew((messages) => messages.flatMap(change));
      // What an earlier refusal came behind is stored already, and would be a repetition.
      await target[Symbol.asyncDispose]();
      target = await openPostgres();
      return await refused(altered);
    };
    const gap = await changed((each) => (isFact(each, 7) ? [] : [each]));
    expect(gap[0]).to.equal('gap');
    expect(gap[1]).to.match(
      /^acme: fact 8 comes after fact 6 \(\S+ledger\.events\.v1, partition \d, offset \d+\)/,
    );
    const forged = (each: TopicMessage) => ({ ...each, headers: { ...each.headers, actor: 'eve' } });
    const broken = await changed((each) => (isFact(each, 7) ? [forged(each)] : [each]));
    expect(broken[0]).to.equal('broken');
    expect(broken[1]).to.match(/^acme: fact 7 does not hold .*offset \d+\): its bytes are not those/);
    const other = (each: TopicMessage) => ({ ...each, headers: { ...each.headers, hash: 'ab'.repeat(32) } });
    const rewritten = await changed((each) => (isFact(each, 2) ? [each, other(each)] : [each]));
    expect(rewritten[0]).to.equal('other-history');
    const silent = ({ headers: { batch: _, ...headers } = {}, ...each }: TopicMessage) => ({
      ...each,
      headers,
    });
    const unsigned = await changed((each) => [silent(each) as TopicMessage]);
    expect(unsigned[0]).to.equal('unsigned');
    expect(unsigned[1]).to.include('sent by a release whose messages carry none');
  });

  it('a topic that ends before the heads that were announced is not enough', async () => {
    const short = await sentAnew((messages) =>
      messages.filter(({ key, headers }) => String(key) !== acme || Number(String(headers?.['seq'])) < 3),
    );
    const [code, message] = await refused(short);
    expect(code).to.equal('head-missing');
    expect(message).to.match(/^acme: its facts end at 2, and its head was announced at 704/);
  });
});
