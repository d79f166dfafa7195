// The developer's graph database: one process, on the loopback address, without passwords.
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { freePort, type JavaServer, startJavaServer } from './java-process.ts';
import { accepts } from './listening.ts';
import type { GraphParts } from './parts.ts';

export interface DevNeo4j extends JavaServer {
  /** `bolt://host:port`. */
  readonly url: string;
}

export interface DevNeo4jOptions {
  readonly parts: GraphParts;
  readonly dataDir: string;
  /** A free one unless told. */
  readonly port?: number | undefined;
}

const SERVER = fileURLToPath(new URL('Neo4jServer.java', import.meta.url));

/** What the server reaches into (its own start script opens the same). */
const OPENED = ['java.base/java.nio', 'java.base/java.io', 'java.base/sun.nio.ch'].concat(
  'java.base/java.util.concurrent',
);

/** Throws `PartsFault`. */
export const startDevNeo4j = async ({ parts, dataDir, port }: DevNeo4jOptions): Promise<DevNeo4j> => {
  const its = port ?? (await freePort());
  mkdirSync(dataDir, { recursive: true });
  const server = await startJavaServer({
    name: 'Neo4j',
    args: [
      ...OPENED.map((name) => `--add-opens=${name}=ALL-UNNAMED`),
      '-cp',
      parts.neo4j,
      SERVER,
      dataDir,
      String(its),
    ],
    isReady: () => accepts(its),
  });
  return { url: `bolt://127.0.0.1:${its}`, ...server };
};
