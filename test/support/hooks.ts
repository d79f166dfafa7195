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

const LEFT_OPEN_MS = 10_000;

/** A run has an end, whatever its tests left open, and says what that was: it keeps users' programs from ending too. */
export const mochaGlobalTeardown = (): void => {
  setTimeout(() => {
    console.error(`still open after the last test: ${process.getActiveResourcesInfo().join(', ')}`);
    process.exit();
  }, LEFT_OPEN_MS).unref();
};
