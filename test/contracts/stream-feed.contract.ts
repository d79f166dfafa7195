// The contract of the port StreamFeed: at least once after a position, in seq order within each tenant, promptly.
import { expect } from 'chai';
import { getEventListeners } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { type Seq, type TenantId, tenantId } from '#schemas/ids.ts';
import type { FeedBatch, LedgerPosition, StreamFeed, SubscribeOptions } from '#streams/stream.ts';
import {
  acme,
  append,
  draft,
  drafts,
  itNeeds,
  type LedgerAdapter,
  openTenants,
  other,
  readAll,
} from './ledger-adapter.ts';

const START: LedgerPosition = new Map();
const third: TenantId = tenantId('third');

type Choice = Partial<Omit<SubscribeOptions, 'signal'>>;

const caughtUp = (feed: StreamFeed, choice: Choice = {}): Promise<readonly FeedBatch[]> =>
  Array.fromAsync(
    feed.subscribe({ from: START, ...choice, signal: new AbortController().signal, untilCaughtUp: true }),
  );

interface Following {
  readonly batches: readonly FeedBatch[];
  /** Resolves when `count` facts have come; rejects after `withinMs`. */
  readonly facts: (count: number, withinMs?: number) => Promise<void>;
  /** Aborts, and waits for the end. */
  readonly stop: () => Promise<void>;
}

/** A subscriber that takes batches as they come. */
const follow = (feed: StreamFeed, choice: Choice = {}): Following => {
  const abort = new AbortController();
  const batches: FeedBatch[] = [];
  const run = (async () => {
    for await (const batch of feed.subscribe({ from: START, ...choice, signal: abort.signal }))
      batches.push(batch);
  })();
  const count = (): number => batches.reduce((sum, { facts }) => sum + facts.length, 0);
  return {
    batches,
    facts: async (wanted, withinMs = 5_000) => {
      const end = performance.now() + withinMs;
      while (count() < wanted) {
        if (performance.now() > end) throw new Error(`${count()} of ${wanted} facts came in ${withinMs} ms`);
        await Promise.race([pause(5), run]);
      }
    },
    stop: async () => {
      abort.abort();
      await run;
    },
  };
};

const places = (batches: readonly FeedBatch[], tenant: TenantId): readonly number[] =>
  batches.filter((batch) => batch.tenant === tenant).flatMap(({ facts }) => facts.map(({ seq }) => seq));

const upTo = (last: number, first = 1): readonly number[] =>
  Array.from({ length: last - first + 1 }, (_, n) => first + n);

const ends = async (iterator: AsyncIterator<FeedBatch>, withinMs: number): Promise<void> => {
  const next = await Promise.race([iterator.next(), pause(withinMs, 'still waiting' as const)]);
  if (next === 'still waiting') throw new Error(`the subscription had not ended after ${withinMs} ms`);
  expect(next.done).to.equal(true);
};

export const streamFeedContract = (adapter: LedgerAdapter): void => {
  describe(`StreamFeed: ${adapter.name}`, () => {
    describe('what is delivered', () => {
      it('all facts of all tenants, as they are stored', async () => {
        await using ledger = await adapter.open();
        await openTenants(ledger.store, acme, other);
        await append(ledger.store, acme, ...drafts(9));
        await append(ledger.store, other, ...drafts(4));
        const batches = await caughtUp(ledger.feed, { batchSize: 4 });
        for (const tenant of [acme, other]) {
          const facts = batches.filter((batch) => batch.tenant === tenant).flatMap((batch) => batch.facts);
          expect(facts).to.deep.equal(await readAll(ledger.store, tenant));
        }
      });

      it('from a vector: each tenant after its own position, a tenant not named from its first fact', async () => {
        await using ledger = await adapter.open();
        await openTenants(ledger.store, acme, other, third);
        for (const tenant of [acme, other, third]) await append(ledger.store, tenant, ...drafts(5));
        const from = new Map([
          [acme, 4 as Seq],
          [other, 6 as Seq],
        ]);
        const batches = await caughtUp(ledger.feed, { from });
        expect(places(batches, acme)).to.deep.equal([5, 6]);
        expect(places(batches, other)).to.deep.equal([]);
        expect(places(batches, third)).to.deep.equal(upTo(6));
        expect(batches.flatMap(({ facts }) => facts).filter(({ tenant }) => tenant === acme)).to.deep.equal(
          (await readAll(ledger.store)).slice(4),
        );
      });

      it('only the tenants asked for, also one yet to come', async () => {
        await using ledger = await adapter.open();
        await openTenants(ledger.store, acme, other);
        const following = follow(ledger.feed, { tenants: new Set([other, third]) });
        await following.facts(1);
        await openTenants(ledger.store, third);
        await append(ledger.store, acme, ...drafts(3));
        await following.facts(2);
        await following.stop();
        expect(following.batches.map(({ tenant }) => tenant)).to.deep.equal([other, third]);
      });

      for (const batchSize of [1, 5, 7, 20, 21]) {
        it(`batches of ${batchSize} at most, full ones while there is more (20 facts)`, async () => {
          await using ledger = await adapter.open();
          await openTenants(ledger.store, acme);
          await append(ledger.store, acme, ...drafts(19));
          const sizes = (await caughtUp(ledger.feed, { batchSize })).map(({ facts }) => facts.length);
          const rest = 20 % batchSize;
          expect(sizes).to.deep.equal([
            ...Array(Math.floor(20 / batchSize)).fill(batchSize),
            ...(rest > 0 ? [rest] : []),
          ]);
        });
      }

      it('a limit hit exactly is not the end: what comes after is delivered', async () => {
        await using ledger = await adapter.open();
        await openTenants(ledger.store, acme);
        await append(ledger.store, acme, ...drafts(9));
        const following = follow(ledger.feed, { batchSize: 5 });
        await following.facts(10);
        await append(ledger.store, acme, ...drafts(5));
        await following.facts(15);
        await append(ledger.store, acme, draft());
        await following.facts(16);
        await following.stop();
        expect(places(following.batches, acme)).to.deep.equal(upTo(16));
      });

      it('tenants take turns, one batch each, while each has more', async () => {
        await using ledger = await adapter.open();
        const tenants = [acme, other, third];
        await openTenants(ledger.store, ...tenants);
        for (const tenant of tenants) await append(ledger.store, tenant, ...drafts(29));
        await append(ledger.store, acme, ...drafts(300));
        const order = (await caughtUp(ledger.feed, { batchSize: 10 })).map(({ tenant }) => tenant);
        for (let turn = 0; turn < 3; turn += 1) {
          expect(new Set(order.slice(turn * 3, turn * 3 + 3)), `turn ${turn}`).to.have.property('size', 3);
        }
        expect(order.slice(9)).to.deep.equal(Array(30).fill(acme));
      });

      it('a fact that comes while one tenant is far behind waits one turn, not for the whole backlog', async () => {
        await using ledger = await adapter.open();
        await openTenants(ledger.store, acme, other);
        await append(ledger.store, acme, ...drafts(499));
        const abort = new AbortController();
        const order: TenantId[] = [];
        for await (const batch of ledger.feed.subscribe({
          from: new Map([[other, 1 as Seq]]),
          batchSize: 10,
          signal: abort.signal,
        })) {
          order.push(batch.tenant);
          if (order.length === 3) await append(ledger.store, other, draft());
          if (batch.tenant === other) abort.abort();
        }
        expect(order.length).to.be.lessThan(7);
      });
    });

    describe('as it happens', () => {
      it('within a second of the append, without polling', async () => {
        await using ledger = await adapter.open();
        await openTenants(ledger.store, acme);
        const following = follow(ledger.feed);
        await following.facts(1);
        for (let n = 2; n <= 6; n += 1) {
          await pause(40);
          await append(ledger.store, acme, draft());
          await following.facts(n, 1_000);
        }
        await following.stop();
      });

      it('a new tenant appears', async () => {
        await using ledger = await adapter.open();
        const following = follow(ledger.feed);
        await pause(50);
        await openTenants(ledger.store, acme);
        await following.facts(1, 1_000);
        await openTenants(ledger.store, other);
        await following.facts(2, 1_000);
        await following.stop();
        expect(following.batches.map(({ tenant }) => tenant)).to.deep.equal([acme, other]);
      });

      itNeeds(adapter, 'another', 'also what another process appends', async () => {
        await using ledger = await adapter.open();
        await openTenants(ledger.store, acme);
        const following = follow(ledger.feed);
        await following.facts(1);
        const { store } = await ledger.another();
        await append(store, acme, ...drafts(3));
        await following.facts(4, 1_000);
        await following.stop();
      });

      itNeeds(adapter, 'deafFeed', 'also when every notification is lost', async () => {
        await using ledger = await adapter.open();
        await openTenants(ledger.store, acme);
        const following = follow(await ledger.deafFeed());
        await following.facts(1);
        await append(ledger.store, acme, ...drafts(3));
        await following.facts(4);
        await following.stop();
      });

      itNeeds(adapter, 'idleTransaction', 'also while a transaction idles in another session', async () => {
        await using ledger = await adapter.open();
        await openTenants(ledger.store, acme);
        await using _idle = await ledger.idleTransaction();
        const following = follow(ledger.feed);
        await append(ledger.store, acme, ...drafts(3));
        await following.facts(4, 2_000);
        await following.stop();
      });

      itNeeds(
        adapter,
        'another',
        'of 32 writers over two processes: every fact, in order, once',
        async function () {
          this.timeout(60_000);
          await using ledger = await adapter.open();
          await openTenants(ledger.store, acme, other);
          const stores = [ledger.store, (await ledger.another()).store];
          const following = follow(ledger.feed, { batchSize: 9 });
          const write = async (_: unknown, index: number): Promise<void> => {
            for (let round = 0; round < 5; round += 1) {
              await pause(Math.random() * 8);
              const store = stores[(index + round) % 2] ?? ledger.store;
              const result = await append(store, index % 3 === 0 ? acme : other, draft());
              expect(result.kind).to.equal('appended');
            }
          };
          await Promise.all(Array.from({ length: 32 }, write));
          await following.facts(2 + 32 * 5);
          await following.stop();
          expect(places(following.batches, acme)).to.deep.equal(upTo(1 + 11 * 5));
          expect(places(following.batches, other)).to.deep.equal(upTo(1 + 21 * 5));
        },
      );
    });

    describe('where it ends', () => {
      it('untilCaughtUp ends with what was recorded at the start, and at once when there is nothing', async () => {
        await using ledger = await adapter.open();
        expect(await caughtUp(ledger.feed)).to.deep.equal([]);
        await openTenants(ledger.store, acme);
        await append(ledger.store, acme, ...drafts(9));
        const seen: number[] = [];
        const options = {
          from: START,
          batchSize: 4,
          signal: new AbortController().signal,
          untilCaughtUp: true,
        };
        for await (const { facts } of ledger.feed.subscribe(options)) {
          seen.push(...facts.map(({ seq }) => seq));
          await append(ledger.store, acme, draft());
          if (seen.length > 50) throw new Error('it runs after its own tail');
        }
        expect(seen.slice(0, 10)).to.deep.equal(upTo(10));
        expect(await caughtUp(ledger.feed, { from: new Map([[acme, 13 as Seq]]) })).to.deep.equal([]);
      });

      it('an abort ends a waiting subscription without an error, a timer or a listener left', async () => {
        await using ledger = await adapter.open();
        await openTenants(ledger.store, acme);
        const abort = new AbortController();
        const iterator = ledger.feed.subscribe({ from: START, signal: abort.signal })[Symbol.asyncIterator]();
        expect((await iterator.next()).done).to.equal(false);
        const timers = timersNow();
        const waiting = iterator.next();
        await pause(60);
        abort.abort();
        const ended = await Promise.race([waiting, pause(1_000, undefined, { ref: false })]);
        expect(ended).to.deep.equal({ done: true, value: undefined });
        expect(getEventListeners(abort.signal, 'abort')).to.have.length(0);
        expect(timersNow()).to.be.at.most(timers);
      });

      it('an abort between two batches ends it at the next pull; one before the start delivers nothing', async () => {
        await using ledger = await adapter.open();
        await openTenants(ledger.store, acme, other);
        await append(ledger.store, acme, ...drafts(20));
        const abort = new AbortController();
        const iterator = ledger.feed
          .subscribe({ from: START, batchSize: 2, signal: abort.signal })
          [Symbol.asyncIterator]();
        expect((await iterator.next()).done).to.equal(false);
        abort.abort();
        await ends(iterator, 1_000);
        await ends(
          ledger.feed.subscribe({ from: START, signal: abort.signal })[Symbol.asyncIterator](),
          1_000,
        );
      });

      it('a subscriber that leaves its loop leaves nothing behind; closing the feed ends the others', async () => {
        await using ledger = await adapter.open();
        await openTenants(ledger.store, acme);
        const signal = new AbortController().signal;
        for (let time = 0; time < 20; time += 1) {
          for await (const batch of ledger.feed.subscribe({ from: START, signal })) {
            expect(batch.facts).to.have.length(1);
            break;
          }
        }
        expect(getEventListeners(signal, 'abort').length).to.be.at.most(1);
        const following = follow(ledger.feed);
        await following.facts(1);
        await ledger.feed[Symbol.asyncDispose]();
        await Promise.race([
          following.stop(),
          pause(2_000).then(() => Promise.reject(new Error('the feed did not end'))),
        ]);
      });

      it('a feed closed the moment it was opened closes', async () => {
        const ledger = await adapter.open();
        const closed = ledger[Symbol.asyncDispose]().then(() => 'closed');
        expect(await Promise.race([closed, pause(5_000, 'hangs', { ref: false })])).to.equal('closed');
      });

      it('a restart from any place taken goes on with the next fact', async () => {
        await using ledger = await adapter.open();
        await openTenants(ledger.store, acme, other);
        for (const tenant of [acme, other]) await append(ledger.store, tenant, ...drafts(11));
        const position = new Map<TenantId, Seq>();
        const seen: FeedBatch[] = [];
        for (let start = 0; start < 40; start += 1) {
          const feed =
            adapter.supports.another === true && start % 8 === 7
              ? (await ledger.another()).feed
              : ledger.feed;
          const options = {
            from: new Map(position),
            batchSize: 3,
            signal: new AbortController().signal,
            untilCaughtUp: true,
          };
          for await (const batch of feed.subscribe(options)) {
            seen.push(batch);
            position.set(batch.tenant, batch.facts.at(-1)?.seq as Seq);
            if (start % 3 !== 2) break;
          }
        }
        for (const tenant of [acme, other]) {
          const facts = seen.filter((batch) => batch.tenant === tenant).flatMap((batch) => batch.facts);
          expect(facts).to.deep.equal(await readAll(ledger.store, tenant));
        }
      });

      it('two subscribers do not take from each other', async () => {
        await using ledger = await adapter.open();
        await openTenants(ledger.store, acme);
        const both = [follow(ledger.feed), follow(ledger.feed, { batchSize: 2 })];
        await append(ledger.store, acme, ...drafts(9));
        for (const following of both) {
          await following.facts(10);
          await following.stop();
          expect(places(following.batches, acme)).to.deep.equal(upTo(10));
        }
      });
    });
  });
};

const timersNow = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
