// The contract of the port StreamFeed: at least once after a position, in seq order within each tenant, promptly.
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { type Seq, type TenantId, tenantId } from '#schemas/ids.ts';
import { caughtUp, follow, places, upTo } from './feed-follower.ts';
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
import { feedEndContract } from './stream-feed-end.contract.ts';

const third: TenantId = tenantId('third');

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

    feedEndContract(adapter);
  });
};
