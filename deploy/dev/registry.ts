// The developer's registry of schemas: Apicurio, which speaks Confluent's interface under a path of its own.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, type JavaServer, startJavaServer } from './java-process.ts';
import type { Parts } from './parts.ts';

export interface DevRegistry extends JavaServer {
  /** Where Confluent's interface begins. */
  readonly url: string;
}

export interface DevRegistryOptions {
  readonly parts: Parts;
  /** Schemas are kept in here; in memory only unless told. */
  readonly dataDir?: string | undefined;
  readonly port?: number | undefined;
}

/** Confluent's interface, below Apicurio's address. */
export const CONFLUENT_PATH = '/apis/ccompat/v7';

/** Throws `PartsFault`. */
export const startDevRegistry = async ({
  parts,
  dataDir,
  port,
}: DevRegistryOptions): Promise<DevRegistry> => {
  const its = port ?? (await freePort());
  const url = `http://127.0.0.1:${its}${CONFLUENT_PATH}`;
  if (dataDir !== undefined) mkdirSync(dataDir, { recursive: true });
  const server = await startJavaServer({
    name: 'the schema registry',
    args: [
      '-Dquarkus.http.host=127.0.0.1',
      `-Dquarkus.http.port=${its}`,
      '-Dquarkus.log.level=WARN',
      '-jar',
      parts.registryJar,
    ],
    // Without WRITE_DELAY=0 a kill right after a registration loses it.
    ...(dataDir !== undefined && {
      env: { REGISTRY_DATASOURCE_URL: `jdbc:h2:file:${join(dataDir, 'db')};WRITE_DELAY=0` },
    }),
    isReady: () => answers(url),
  });
  return { url, ...server };
};

const answers = (url: string): Promise<boolean> =>
  fetch(`${url}/subjects`, { signal: AbortSignal.timeout(2_000) }).then(
    async (response) => {
      await response.arrayBuffer();
      return response.ok;
    },
    () => false,
  );
