// What the contract does not ask of a feed: that a connection which breaks over and over leaves nothing behind.
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { follow, places, upTo } from '#test/contracts/feed-follower.ts';
import { acme, append, drafts, openTenants } from '#test/contracts/ledger-adapter.ts';
import { openEventStore } from './eventstore-adapter.ts';
import { simulatedServer } from './simulated-server.ts';

describe('streams/eventstore: a feed whose connection breaks', () => {
  it('goes on without loss or repeat, with one subscription, however often', async function () {
    this.timeout(60_000);
    await using server = await simulatedServer();
    await using ledger = await openEventStore(server);
    await openTenants(ledger.store, acme);
    const following = follow(ledger.feed);
    await following.facts(1, 20_000);
    for (let round = 0; round < 3; round += 1) {
      await append(ledger.store, acme, ...drafts(5));
      server.cut();
      await append(ledger.store, acme, ...drafts(5));
      // Nothing rings while the subscription is away; its renewal does.
      await following.facts(1 + (round + 1) * 10, 30_000);
    }
    expect(places(following.batches, acme)).to.deep.equal(upTo(31));
    for (let look = 0; look < 200 && server.subscriptions() !== 1; look += 1) await pause(50);
    expect(server.subscriptions()).to.equal(1);
    await following.stop();
  });
});
