// Two databases as one ledger: the contracts of both ports, with a tenant in each.
import { expect } from 'chai';
import type { TenantId } from '#schemas/ids.ts';
import type { StreamError } from '#streams/errors.ts';
import { shardedStreamFeed } from '#streams/sharded/feed.ts';
import { shardedStreamStore } from '#streams/sharded/store.ts';
import type { StreamStore } from '#streams/stream.ts';
import {
  acme,
  append,
  draft,
  type LedgerAdapter,
  type LedgerUnderTest,
  openTenants,
  other,
} from '#test/contracts/ledger-adapter.ts';
import { streamFeedContract } from '#test/contracts/stream-feed.contract.ts';
import { streamStoreContract } from '#test/contracts/stream-store.contract.ts';
import { testSigner } from '#test/support/test-signer.ts';
import { openPostgres, postgres } from '../postgres/postgres-adapter.ts';

const placementOf = async (tenant: TenantId) => (tenant === acme ? 'one' : 'two');

/** `instances`: of two databases of one ledger. */
const sharded = (one: StreamStore, two: StreamStore, placed: PlacementOf = placementOf): StreamStore =>
  shardedStreamStore({
    shards: new Map([
      ['one', one],
      ['two', two],
    ]),
    placementOf: placed,
    waitForMs: 300,
  });

/** Beside one another in one database, as the feed's turns are promised there; all others in the second. */
const bothInOne = async (tenant: TenantId) => (tenant === acme || tenant === other ? 'one' : 'two');

type PlacementOf = typeof placementOf;

const openTwo = async (placed: PlacementOf): Promise<LedgerUnderTest> => {
  const one = await openPostgres();
  const two = await openPostgres();
  await two.owner.query(`ALTER TABLE ledger.identity DISABLE TRIGGER immutable;
    UPDATE ledger.identity SET id = '${one.store.ledgerId}'; ALTER TABLE ledger.identity ENABLE TRIGGER immutable`);
  const { signer, keys } = testSigner();
  const clock = () => one.clock.now;
  const second = async () => ({
    store: await two.storeWith({ pool: two.pool(), signer, clock }),
    feed: (await two.another()).feed,
  });
  const { store, feed } = await second();
  return {
    store: sharded(one.store, store, placed),
    feed: shardedStreamFeed([one.feed, feed]),
    keys: [...one.keys, ...keys],
    clock: one.clock,
    another: async () => {
      const [a, b] = [await one.another(), await second()];
      return { store: sharded(a.store, b.store, placed), feed: shardedStreamFeed([a.feed, b.feed]) };
    },
    failing: async (fault) => {
      const [a, b] = [await one.failing(fault), await second()];
      return { store: sharded(a.store, b.store, placed), feed: shardedStreamFeed([a.feed, b.feed]) };
    },
    deafFeed: async () => shardedStreamFeed([await one.deafFeed(), await two.deafFeed()]),
    idleTransaction: () => one.idleTransaction(),
    [Symbol.asyncDispose]: async () => {
      await two[Symbol.asyncDispose]();
      await one[Symbol.asyncDispose]();
    },
  };
};

describe('streams/sharded', function () {
  this.timeout(120_000);
  const adapter = (name: string, placed: PlacementOf): LedgerAdapter => ({
    name,
    open: () => openTwo(placed),
    supports: postgres.supports,
  });
  streamStoreContract(adapter('a tenant in each of two databases', placementOf));
  streamFeedContract(adapter('two databases', bothInOne));

  it('stores of two ledgers are not one', async () => {
    await using one = await openPostgres();
    await using two = await openPostgres();
    expect(() => sharded(one.store, two.store))
      .to.throw(/holds the ledger/)
      .with.property('code', 'corrupt');
  });

  it('a tenant that is placed where no store is named is unavailable, and none is made elsewhere', async () => {
    await using one = await openPostgres();
    const lone = shardedStreamStore({ shards: new Map([['one', one.store]]), placementOf });
    await openTenants(lone, acme);
    const error = await append(lone, other, draft()).catch((cause: StreamError) => cause);
    expect(error).to.have.property('code', 'unavailable');
  });
});
