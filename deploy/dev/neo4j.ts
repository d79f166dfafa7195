// The developer's graph database: one process, on the loopback address, without passwords.
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { freePort, type JavaProcess, startJava } from './java-process.ts';
import { accepts } from './listening.ts';
import type { GraphParts } from './parts.ts';

export interface DevNeo4j extends AsyncDisposable {
  /** `bolt://host:port`. */
  readonly url: string;
  readonly pid: () => number;
  readonly stop: () => Promise<void>;
  readonly kill: () => Promise<void>;
  /** Again on the same port and data, after `stop` or `kill`. */
  readonly restart: () => Promise<void>;
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
  const start = (): Promise<JavaProcess> =>
    startJava({
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
  let running = await start();
  return {
    url: `bolt://127.0.0.1:${its}`,
    pid: () => running.pid,
    stop: () => running.stop(),
    kill: () => running.kill(),
    restart: async () => {
      running = await start();
    },
    [Symbol.asyncDispose]: () => running.stop(),
  };
};
