// The developer's pair as `prov-ledger dev kafka` runs it: Java programs, or containers where there is no Java.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { startDevKafka } from './kafka.ts';
import { javaParts, PartsFault } from './parts.ts';
import { startDevRegistry } from './registry.ts';

export interface DevPair extends AsyncDisposable {
  /** `host:port`. */
  readonly broker: string;
  readonly registryUrl: string;
}

export interface DevPairOptions {
  /** Topics and schemas are kept in here; containers keep nothing. */
  readonly dataDir: string;
  readonly kafkaPort?: number | undefined;
  readonly registryPort?: number | undefined;
}

/** Throws `PartsFault` when there is neither Java nor a container engine. */
export const startDevPair = async (options: DevPairOptions): Promise<DevPair> => {
  const { dataDir, kafkaPort, registryPort } = options;
  try {
    const parts = await javaParts();
    mkdirSync(dataDir, { recursive: true });
    await using opening = new AsyncDisposableStack();
    const kafka = opening.use(
      await startDevKafka({ parts, dataDir: join(dataDir, 'kafka'), port: kafkaPort }),
    );
    const registry = opening.use(
      await startDevRegistry({ parts, dataDir: join(dataDir, 'registry'), port: registryPort }),
    );
    const open = opening.move();
    return {
      broker: kafka.broker,
      registryUrl: registry.url,
      [Symbol.asyncDispose]: () => open.disposeAsync(),
    };
  } catch (error) {
    if (!(error instanceof PartsFault) || error.code === 'not-started') throw error;
    const { startContainers } = await import('./containers.ts');
    return await startContainers({ kafka: kafkaPort, registry: registryPort }).catch((cause: Error) => {
      throw new PartsFault(
        error.code,
        `${error.message}; and no container engine answers (${cause.message}). Install Java 17 and Maven, or Docker`,
        { cause },
      );
    });
  }
};
