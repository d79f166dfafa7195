// Loaded by mocha before the tests (package.json, `mocha.require`): what a run started, it stops.

import { stopTestServers } from './postgres.ts';

export const mochaHooks = {
  async afterAll(this: Mocha.Context): Promise<void> {
    this.timeout(60_000);
    await stopTestServers();
  },
};
