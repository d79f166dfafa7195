import { streamFeedContract } from '#test/contracts/stream-feed.contract.ts';
import { streamStoreContract } from '#test/contracts/stream-store.contract.ts';
import { type RealServer, realEventStore } from '#test/support/eventstore.ts';
import { eventStore } from './eventstore-adapter.ts';

describe('streams/eventstore on a real EventStoreDB (EVENTSTORE_URL, or Docker)', function () {
  this.timeout(120_000);
  let server: RealServer | undefined;
  before(async function () {
    this.timeout(300_000);
    server = await realEventStore();
  });
  // Each by its name, and not the suite as one.
  beforeEach(function () {
    if (!server) this.skip();
  });
  after(async () => await server?.[Symbol.asyncDispose]());
  const real = eventStore('eventstore', () => server as RealServer, false);
  streamStoreContract(real);
  streamFeedContract(real);
});
