// Loaded by mocha before the tests (package.json, `mocha.require`): what a run started, it stops.

import { stopKafkaPair } from './kafka.ts';
import { stopNeo4j } from './neo4j.ts';
import { stopTestServers } from './postgres.ts';

export const mochaHooks = {
  async afterAll(this: Mocha.Context): Promise<void> {
    this.timeout(60_000);
    await stopKafkaPair();
    await stopNeo4j();
    await stopTestServers();
  },
};
