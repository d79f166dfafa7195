// A real Kafka, a real registry of schemas and a real Neo4j for developers and tests: Java programs from Maven, in a cache outside the
// tree. Whoever has neither Java nor Maven nor Docker is told so by name; the ledger itself needs none of them.
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);

export type PartsFaultCode =
  /** There is no Java 17 or later: install one, or Docker, or name a running broker. */
  | 'no-java'
  /** The programs are not in the cache and there is no Maven to fetch them with. */
  | 'no-maven'
  /** Maven could not fetch them. */
  | 'not-fetched'
  /** A program ended, or did not answer in time: its last lines are in the message. */
  | 'not-started';

export class PartsFault extends Error {
  override readonly name = 'PartsFault';
  readonly code: PartsFaultCode;
  constructor(code: PartsFaultCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

/** What is fetched together: the file that names it, how a folder of its versions is called, and how people call it. */
interface Bundle {
  readonly pom: string;
  readonly folder: string;
  readonly name: string;
}

const KAFKA: Bundle = { pom: 'parts.pom.xml', folder: 'parts', name: 'Kafka' };
const NEO4J: Bundle = { pom: 'neo4j.pom.xml', folder: 'neo4j', name: 'Neo4j' };

const pomOf = ({ pom }: Bundle): string => fileURLToPath(new URL(pom, import.meta.url));

/** Where the programs are: one folder per set of versions. */
const cacheFolder = (bundle: Bundle, env: NodeJS.ProcessEnv): string => {
  const text = readFileSync(pomOf(bundle), 'utf8');
  const versions = [...text.matchAll(/<version>([\d.]+(?:\.Final)?)<\/version>/g)];
  const root = env['XDG_CACHE_HOME'] || join(homedir(), '.cache');
  return join(root, 'prov-ledger', `${bundle.folder}-${versions.map(([, version]) => version).join('-')}`);
};

export interface Parts {
  /** A Java class path. */
  readonly kafka: string;
  readonly registryJar: string;
}

export interface GraphParts {
  /** A Java class path. */
  readonly neo4j: string;
}

/** Kafka and the registry; fetches them the first time (190 MB). Throws `PartsFault`. */
export const javaParts = async (env: NodeJS.ProcessEnv = process.env): Promise<Parts> => {
  const folder = await fetched(KAFKA, env);
  return {
    kafka: join(folder, 'kafka', '*'),
    registryJar: join(folder, 'registry', 'apicurio-registry-app-2.6.13.Final-runner.jar'),
  };
};

/** Neo4j; fetches it the first time (123 MB). Throws `PartsFault`. */
export const graphParts = async (env: NodeJS.ProcessEnv = process.env): Promise<GraphParts> => ({
  neo4j: join(await fetched(NEO4J, env), 'neo4j', '*'),
});

/** The folder that the bundle is in. */
const fetched = async (bundle: Bundle, env: NodeJS.ProcessEnv): Promise<string> => {
  const { name } = bundle;
  await requireJava(name);
  const folder = cacheFolder(bundle, env);
  if (existsSync(folder)) return folder;
  mkdirSync(join(folder, '..'), { recursive: true });
  // Made elsewhere and moved there whole: a fetch that was cut off leaves nothing that looks complete.
  const making = mkdtempSync(`${folder}-`);
  try {
    await run('mvn', ['-q', '-B', '-f', pomOf(bundle), `-Dout=${making}`, 'validate'], { timeout: 600_000 });
    renameSync(making, folder);
  } catch (error) {
    rmSync(making, { recursive: true, force: true });
    // Another process was faster.
    if (existsSync(folder)) return folder;
    const { code, stdout = '' } = error as { code?: string; stdout?: string };
    if (code === 'ENOENT')
      throw new PartsFault(
        'no-maven',
        `${name} is not in the cache and there is no \`mvn\` to fetch it with`,
        {
          cause: error,
        },
      );
    throw new PartsFault('not-fetched', `Maven could not fetch ${name}: ${stdout.trim().slice(0, 500)}`, {
      cause: error,
    });
  }
  return folder;
};

const requireJava = async (name: string): Promise<void> => {
  const said = await run('java', ['-version']).then(
    ({ stderr }) => stderr,
    () => '',
  );
  const version = Number(/version "(\d+)/.exec(said)?.[1] ?? 0);
  if (version < 17)
    throw new PartsFault(
      'no-java',
      version === 0
        ? `there is no \`java\`: ${name} needs Java 17 or later`
        : `${name} needs Java 17 or later, this is ${version}`,
    );
};
