import { streamFeedContract } from '#test/contracts/stream-feed.contract.ts';
import { streamStoreContract } from '#test/contracts/stream-store.contract.ts';
import { eventStore } from './eventstore-adapter.ts';
import { type SimulatedServer, simulatedServer } from './simulated-server.ts';

describe('streams/eventstore on a simulated server', function () {
  this.timeout(120_000);
  let server: SimulatedServer;
  before(async () => {
    server = await simulatedServer();
  });
  after(() => server[Symbol.asyncDispose]());
  const simulated = eventStore('eventstore, simulated server', () => server, true);
  streamStoreContract(simulated);
  streamFeedContract(simulated);
});
