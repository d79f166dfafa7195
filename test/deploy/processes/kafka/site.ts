// A ledger of its own and the real cluster, as the project's processes are told of them.
import { rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { expect } from 'chai';
import { type KafkaPair, kafkaPair } from '#test/support/kafka.ts';
import { type FreshDatabase, freshDatabase } from '#test/support/postgres.ts';
import { ownPrefix } from '#test/support/topics.ts';
import { inProcess } from '../in-process.ts';
import { dataFolder, endAll, type Program, start } from '../program.ts';

export interface KafkaSite extends AsyncDisposable {
  readonly pair: KafkaPair;
  readonly database: FreshDatabase;
  /** Of its topics, and the name of its group. */
  readonly prefix: string;
  readonly dataDir: string;
  readonly env: { readonly [name: string]: string };
  /** What `prov-ledger` says; throws unless it ends with 0. */
  cli(...args: readonly string[]): Promise<string>;
  /** A process that has figures, and where they are. */
  begin(command: string): Promise<{ readonly program: Program; readonly url: string }>;
}

/** Pending where no cluster can be had. `more`: settings beside those that every process has. */
export const kafkaSite = async (
  test: Mocha.Context,
  more: { readonly [name: string]: string } = {},
): Promise<KafkaSite> => {
  const pair = await kafkaPair(test);
  const database = await freshDatabase();
  const dataDir = dataFolder();
  const prefix = ownPrefix();
  const env = {
    DATABASE_URL: database.url,
    PROV_LEDGER_DATA_DIR: dataDir,
    PROV_LEDGER_OPERATORS_PORT: '0',
    PROV_LEDGER_KAFKA_BROKERS: pair.broker,
    PROV_LEDGER_KAFKA_PREFIX: prefix,
    PROV_LEDGER_KAFKA_GROUP: prefix,
    PROV_LEDGER_REGISTRY_URL: pair.registryUrl,
    ...more,
  };
  const cli = async (...args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await inProcess(args, { env });
    expect(code, `${args.join(' ')}: ${stderr}`).to.equal(0);
    return stdout;
  };
  await cli('migrate');
  return {
    pair,
    database,
    prefix,
    dataDir,
    env,
    cli,
    begin: async (command) => {
      const program = start('cli.ts', [command], { env });
      const [, url = ''] = await program.says(/figures (?:at|on) (http:\S+)/);
      return { program, url };
    },
    [Symbol.asyncDispose]: async () => {
      await endAll();
      await database[Symbol.asyncDispose]();
      rmSync(dirname(dataDir), { recursive: true, force: true });
    },
  };
};

/** One figure of a process; NaN where it has none of that name. */
export const figureOf = async (url: string, name: string): Promise<number> => {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'm').exec(text)?.[1] ?? Number.NaN);
};
