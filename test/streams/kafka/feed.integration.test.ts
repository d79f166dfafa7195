import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { type Seq, type TenantId, tenantId } from '#schemas/ids.ts';
import { type FeedEvent, type KafkaFeedOptions, kafkaStreamFeed } from '#streams/kafka/feed.ts';
import { EVENTS_TOPIC } from '#streams/kafka/relay.ts';
import { follow, places, upTo } from '#test/contracts/feed-follower.ts';
import { acme, append, drafts, openTenants, readAll } from '#test/contracts/ledger-adapter.ts';
import { streamFeedContract } from '#test/contracts/stream-feed.contract.ts';
import { openPostgres } from '#test/streams/postgres/postgres-adapter.ts';
import { type KafkaPair, kafkaPair } from '#test/support/kafka.ts';
import { applyTopics, everythingOn, ledgerTopics } from '#test/support/ledger-topic.ts';
import { removeWhatIsThere } from '#test/support/topics.ts';
import { transportTemplate } from '#test/support/transport.ts';
import { kafka } from './kafka-adapter.ts';
import { type RelayThread, relayThread } from './relay-thread.ts';

describe('streams/kafka/feed', function () {
  this.timeout(60_000);
  let pair: KafkaPair;
  let relays: RelayThread;
  before(async function () {
    pair = await kafkaPair(this);
    relays = relayThread();
  });
  after(async () => {
    await relays?.[Symbol.asyncDispose]();
  });

  streamFeedContract(kafka(() => ({ pair, relays })));

  const ledgerWithTopics = async () => {
    const opening = new AsyncDisposableStack();
    const ledger = opening.use(await openPostgres(transportTemplate));
    const topics = await ledgerTopics(pair);
    const relayed = async () => {
      const relay = await relays.open({
        ...pair,
        url: ledger.database.url,
        prefix: topics.connection.topic(''),
      });
      opening.use(relay);
    };
    const events: FeedEvent[] = [];
    const feed = (given: Partial<KafkaFeedOptions> = {}) =>
      opening.use(
        kafkaStreamFeed({
          ...topics,
          store: ledger.store,
          quietMs: 600_000,
          onEvent: (event) => events.push(event),
          ...given,
        }),
      );
    const told = async (type: FeedEvent['type']): Promise<void> => {
      for (let tries = 0; !events.some((event) => event.type === type); tries += 1) {
        if (tries > 500) throw new Error(`${type} was not told: ${JSON.stringify(events)}`);
        await pause(20);
      }
    };
    return {
      ...topics,
      store: ledger.store,
      relayed,
      feed,
      events,
      told,
      [Symbol.asyncDispose]: () => opening.disposeAsync(),
    };
  };

  const produced = async (
    { connection }: Awaited<ReturnType<typeof ledgerWithTopics>>,
    messages: Awaited<ReturnType<typeof everythingOn>>,
  ): Promise<void> => {
    const producer = connection.kafka.producer();
    await producer.connect();
    await producer.send({
      topic: connection.topic(EVENTS_TOPIC),
      messages: messages.map(({ key, value, headers, partition }) => ({
        key,
        value,
        partition,
        headers: headers as Record<string, Buffer>,
      })),
    });
    await producer.disconnect();
  };

  /** Of the fact at that place, when the relay has come so far. */
  const messageOf = async ({ connection }: Awaited<ReturnType<typeof ledgerWithTopics>>, seq: number) => {
    for (;;) {
      const messages = await everythingOn(connection, EVENTS_TOPIC);
      const found = messages.find(({ headers }) => String(headers?.['seq']) === String(seq));
      if (found) return found;
      await pause(100);
    }
  };

  for (const [what, spoil] of [
    ['a gap', (text: string) => String(Number(text) + 1)],
    ['a broken hash', (text: string) => (text.startsWith('0') ? `1${text.slice(1)}` : `0${text.slice(1)}`)],
  ] as const)
    it(`${what} is told and healed from the store, and nothing that is not in the store is delivered`, async () => {
      await using source = await ledgerWithTopics();
      await source.relayed();
      await openTenants(source.store, acme);
      const honest = follow(source.feed());
      await honest.facts(1);
      await append(source.store, acme, ...drafts(4));
      await honest.facts(5);
      await honest.stop();
      // The same messages, one of them spoilt, on a topic without a relay.
      await using spoilt = await ledgerWithTopics();
      const header = what === 'a gap' ? 'seq' : 'hash';
      // Silence is not what it is to hear of here.
      const feed = spoilt.feed({ store: source.store, quietMs: 600_000 });
      const options = { from: new Map([[acme, 1 as Seq]]) };
      const following = follow(feed, options);
      await following.facts(4);
      await spoilt.told('assigned');
      // One as it is: behind it the feed has nothing to hear but the topic.
      await append(source.store, acme, ...drafts(1));
      await produced(spoilt, [await messageOf(source, 6)]);
      await following.facts(5);
      await append(source.store, acme, ...drafts(1));
      const last = await messageOf(source, 7);
      const text = String(last.headers?.[header]);
      await produced(spoilt, [{ ...last, headers: { ...last.headers, [header]: spoil(text) } }]);
      await following.facts(6);
      await following.stop();
      expect(spoilt.events.map(({ type }) => type)).to.include('healed');
      expect(following.batches.flatMap(({ facts }) => facts)).to.deep.equal(
        (await readAll(source.store)).slice(1),
      );
    });

  it('a topic that was deleted costs a word and a read, and no fact', async () => {
    await using ledger = await ledgerWithTopics();
    await ledger.relayed();
    await openTenants(ledger.store, acme);
    const following = follow(ledger.feed({ quietMs: 1_000 }));
    await following.facts(1);
    await ledger.told('assigned');
    const admin = ledger.connection.kafka.admin();
    await admin.connect();
    await admin.deleteTopics({ topics: [ledger.connection.topic(EVENTS_TOPIC)] });
    await admin.disconnect();
    await append(ledger.store, acme, ...drafts(3));
    await following.facts(4, 30_000);
    await ledger.told('late');
    await applyTopics(ledger.connection);
    await append(ledger.store, acme, ...drafts(3));
    await following.facts(7, 30_000);
    await following.stop();
    expect(places(following.batches, acme)).to.deep.equal(upTo(7));
  });

  it('what retention removed before the feed came to it is told, and comes from the store', async () => {
    await using ledger = await ledgerWithTopics();
    await ledger.relayed();
    await openTenants(ledger.store, acme);
    const ending = new AbortController();
    const { signal } = ending;
    const batches = ledger.feed({ quietMs: 1_000 }).subscribe({ from: new Map(), signal });
    const pulled = batches[Symbol.asyncIterator]();
    const seqs: number[] = [];
    const pull = async (): Promise<void> => {
      const { value } = await pulled.next();
      for (const { seq } of value?.facts ?? []) seqs.push(seq);
    };
    await pull();
    const second = pull();
    await ledger.told('assigned');
    await append(ledger.store, acme, ...drafts(1));
    await second;
    // From here on nothing is pulled: the checkpoint stands still while the topic goes on.
    await append(ledger.store, acme, ...drafts(3));
    await messageOf(ledger, 5);
    await removeWhatIsThere(ledger.connection, EVENTS_TOPIC);
    await append(ledger.store, acme, ...drafts(1));
    while (seqs.length < 6) await pull();
    ending.abort();
    await pulled.return?.(undefined);
    expect(seqs).to.deep.equal([1, 2, 3, 4, 5, 6]);
    expect(ledger.events.map(({ type }) => type)).to.include.oneOf(['healed', 'late']);
  });

  it('feeds of a group share the tenants; one that comes or goes moves them without a loss', async () => {
    await using ledger = await ledgerWithTopics();
    await ledger.relayed();
    const tenants = Array.from({ length: 12 }, (_, n) => tenantId(`tenant-${n}`));
    await openTenants(ledger.store, ...tenants);
    const done = new Map<TenantId, Seq>();
    const faults: string[] = [];
    // As projectors do: a checkpoint that moves by compare-and-swap, and drops what it has.
    const worker = () => {
      const ending = new AbortController();
      const seen = new Set<TenantId>();
      const group = { id: ledger.connection.topic('projectors'), positions: async () => new Map(done) };
      const feed = ledger.feed({ group, sessionTimeoutMs: 2_000 });
      const run = (async () => {
        for await (const { tenant, facts } of feed.subscribe({ from: new Map(), signal: ending.signal })) {
          seen.add(tenant);
          for (const { seq } of facts) {
            const before = done.get(tenant) ?? 0;
            if (seq > before + 1) faults.push(`${tenant}: ${seq} after ${before}`);
            if (seq === before + 1) done.set(tenant, seq);
          }
        }
      })();
      return {
        seen,
        stop: async () => {
          ending.abort();
          await run;
        },
      };
    };
    const write = async (rounds: number): Promise<void> => {
      for (let round = 0; round < rounds; round += 1) {
        for (const tenant of tenants) await append(ledger.store, tenant, ...drafts(3));
        await pause(20);
      }
    };
    const level = async (): Promise<void> => {
      const heads = await ledger.store.heads();
      for (let tries = 0; heads.some(({ tenant, seq }) => done.get(tenant) !== seq); tries += 1) {
        if (tries > 1_500) throw new Error(`not level: ${JSON.stringify([...done])}`);
        await pause(20);
      }
    };
    const first = worker();
    await write(5);
    const second = worker();
    await write(30);
    await level();
    second.seen.clear();
    first.seen.clear();
    await write(2);
    await level();
    expect(first.seen.size, 'the first one has some').to.be.within(1, 11);
    expect(second.seen.size, 'the second one has the others').to.equal(12 - first.seen.size);
    await first.stop();
    await write(3);
    await level();
    await second.stop();
    expect(faults).to.deep.equal([]);
  });
});
