// A real Neo4j for tests: one per mocha run, started when first asked for. In this order: PROV_TEST_NEO4J (a bolt
// address without password), a Java program from a cache (fetched by Maven), a container. Where none can be had, the
// tests that need it are pending, and say so.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startDevNeo4j } from '#deploy/dev/neo4j.ts';
import { graphParts, PartsFault } from '#deploy/dev/parts.ts';
import { type Missing, partAddresses } from './shared-parts.ts';

export interface TestNeo4j {
  readonly url: string;
}

interface Started extends TestNeo4j {
  readonly stop: () => Promise<void>;
}

let started: Promise<Started | Missing> | undefined;

const start = async (): Promise<Started | Missing> => {
  const { PROV_TEST_NEO4J: url } = await partAddresses();
  if (url) return { url, stop: async () => undefined };
  try {
    return await startOwn();
  } catch (error) {
    if (!(error instanceof PartsFault) || error.code === 'not-started') throw error;
    const { startGraphContainer } = await import('#deploy/dev/containers.ts');
    return await startGraphContainer().then(
      (container) => ({ url: container.url, stop: async () => await container[Symbol.asyncDispose]() }),
      (cause: Error) => ({ missing: `${error.message}; and no container engine answers (${cause.message})` }),
    );
  }
};

const startOwn = async (): Promise<Started> => {
  const parts = await graphParts();
  const folder = mkdtempSync(join(tmpdir(), 'prov-ledger-neo4j-'));
  const server = await startDevNeo4j({ parts, dataDir: folder });
  return {
    url: server.url,
    stop: async () => {
      await server.kill();
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
};

/** Started when first asked for. */
export const openNeo4j = async (): Promise<TestNeo4j | Missing> => {
  started ??= start();
  return await started;
};

/** The server; without one the test, or the suite in whose `before` this is called, becomes pending. */
export const testNeo4j = async (test: Mocha.Context): Promise<TestNeo4j> => {
  test.timeout(240_000);
  const server = await openNeo4j();
  if (!('missing' in server)) return server;
  if (test.test) test.test.title += ` (no Neo4j here: ${server.missing})`;
  return test.skip();
};

/** Called by the root hook. */
export const stopNeo4j = async (): Promise<void> => {
  const server = await started?.catch(() => undefined);
  if (server && 'stop' in server) await server.stop();
};
