// StreamFeed: how subscriptions end, and go on after a restart.
import { getEventListeners } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import type { Seq, TenantId } from '#schemas/ids.ts';
import type { FeedBatch } from '#streams/stream.ts';
import { caughtUp, follow, places, START, upTo } from './feed-follower.ts';
import {
  acme,
  append,
  draft,
  drafts,
  type LedgerAdapter,
  openTenants,
  other,
  readAll,
} from './ledger-adapter.ts';

const ends = async (iterator: AsyncIterator<FeedBatch>, withinMs: number): Promise<void> => {
  const next = await Promise.race([iterator.next(), pause(withinMs, 'still waiting' as const)]);
  if (next === 'still waiting') throw new Error(`the subscription had not ended after ${withinMs} ms`);
  expect(next.done).to.equal(true);
};

const timersNow = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;

export const feedEndContract = (adapter: LedgerAdapter): void => {
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
      await ends(ledger.feed.subscribe({ from: START, signal: abort.signal })[Symbol.asyncIterator](), 1_000);
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
          adapter.supports.another === true && start % 8 === 7 ? (await ledger.another()).feed : ledger.feed;
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
};
