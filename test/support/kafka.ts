// A real Kafka and a real schema registry for tests: one pair per mocha run, started when first asked for. In this order:
// PROV_TEST_KAFKA and PROV_TEST_REGISTRY, Java programs from a cache (fetched by Maven), containers. Where none can be
// had, the tests that need them are pending, and say so. Runs may share a pair (shared-parts.ts): topics have names of
// their own, and nobody kills it.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startDevKafka } from '#deploy/dev/kafka.ts';
import { javaParts, type Parts, PartsFault } from '#deploy/dev/parts.ts';
import { startDevRegistry } from '#deploy/dev/registry.ts';
import { type Missing, partAddresses } from './shared-parts.ts';

export interface KafkaPair {
  readonly broker: string;
  readonly registryUrl: string;
}

interface Started extends KafkaPair {
  readonly stop: () => Promise<void>;
}

let started: Promise<Started | Missing> | undefined;

const start = async (): Promise<Started | Missing> => {
  const { PROV_TEST_KAFKA: broker, PROV_TEST_REGISTRY: registryUrl } = await partAddresses();
  if (broker && registryUrl) return { broker, registryUrl, stop: async () => undefined };
  try {
    return await startJavaPair();
  } catch (error) {
    if (!(error instanceof PartsFault) || error.code === 'not-started') throw error;
    const { startContainers } = await import('#deploy/dev/containers.ts');
    return await startContainers().then(
      (pair) => ({ ...pair, stop: async () => await pair[Symbol.asyncDispose]() }),
      (cause: Error) => ({ missing: `${error.message}; and no container engine answers (${cause.message})` }),
    );
  }
};

const startJavaPair = async (): Promise<Started> => {
  const parts = await javaParts();
  const folder = mkdtempSync(join(tmpdir(), 'prov-ledger-kafka-'));
  const [kafka, registry] = await Promise.all([
    startDevKafka({ parts, dataDir: folder }),
    startDevRegistry({ parts }),
  ]);
  return {
    broker: kafka.broker,
    registryUrl: registry.url,
    stop: async () => {
      await Promise.all([kafka.kill(), registry.kill()]);
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
};

/** Started when first asked for. */
export const openKafkaPair = async (): Promise<KafkaPair | Missing> => {
  started ??= start();
  return await started;
};

/** The pair; without one the test, or the suite in whose `before` this is called, becomes pending. */
export const kafkaPair = async (test: Mocha.Context): Promise<KafkaPair> => {
  test.timeout(240_000);
  const pair = await openKafkaPair();
  if (!('missing' in pair)) return pair;
  if (test.test) test.test.title += ` (no Kafka here: ${pair.missing})`;
  return test.skip();
};

/** For a broker of the test's own, to kill and restart; without Java and its programs the test becomes pending. */
export const ownParts = async (test: Mocha.Context): Promise<Parts> => {
  try {
    return await javaParts();
  } catch (error) {
    if (error instanceof PartsFault) return test.skip();
    throw error;
  }
};

/** Called by the root hook. */
export const stopKafkaPair = async (): Promise<void> => {
  const pair = await started?.catch(() => undefined);
  if (pair && 'stop' in pair) await pair.stop();
};
