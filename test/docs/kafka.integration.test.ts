// docs/operations/kafka.md, command by command in its order, from nothing to a dead letter replayed.
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { connect } from '#streams/postgres/connect.ts';
import { ownParts } from '#test/support/kafka.ts';
import { type FreshDatabase, freshDatabase } from '#test/support/postgres.ts';
import { inProcess } from '../deploy/processes/in-process.ts';
import { dataFolder, type Ended, endAll, start } from '../deploy/processes/program.ts';
import { blocksOf, PROJECT, page } from './pages.ts';

const blocks = blocksOf(page('docs/operations/kafka.md'));

/** A command's words; what stands in quotes is one. */
const wordsOf = (line: string): readonly string[] =>
  Array.from(line.matchAll(/"([^"]*)"|\S+/g), ([word, quoted]) => quoted ?? word).slice(1);

describe('docs/operations/kafka.md', function () {
  this.timeout(240_000);
  const dataDir = dataFolder();
  let database: FreshDatabase;
  let env: Record<string, string>;
  before(async function () {
    // `dev kafka` is what the page begins with; where it cannot run, this page is pending.
    await ownParts(this);
    database = await freshDatabase();
    env = {
      DATABASE_URL: database.url,
      PROV_LEDGER_DATA_DIR: dataDir,
      PROV_LEDGER_OPERATORS_PORT: '0',
    };
    expect((await inProcess(['migrate'], { env })).code).to.equal(0);
  });
  after(async () => {
    await endAll();
    rmSync(dirname(dataDir), { recursive: true, force: true });
    await database?.[Symbol.asyncDispose]();
  });

  const taken = async (count: number): Promise<void> => {
    const pool = connect({ url: database.url, max: 1 });
    try {
      for (const deadline = Date.now() + 60_000; Date.now() < deadline; await pause(100)) {
        const { rows } = await pool.query<{ n: number }>(
          'SELECT coalesce(sum(received), 0)::int AS n FROM transport.flow',
        );
        if (rows[0]?.n === count) return;
      }
      throw new Error(`${count} messages were never taken`);
    } finally {
      await pool.end();
    }
  };

  it('leads from nothing to messages flowing and a dead letter replayed', async () => {
    const answers: string[] = [];
    const said = new Map<string, Ended>();
    for (const { language, label, text } of blocks.filter((block) => block.language === 'sh')) {
      expect(language).to.equal('sh');
      const lines = text.trim().split('\n');
      if (label === 'dev') {
        const dev = start('cli.ts', wordsOf(lines[0] as string), { env });
        for (const name of ['PROV_LEDGER_KAFKA_BROKERS', 'PROV_LEDGER_REGISTRY_URL'])
          env[name] = (await dev.says(new RegExp(`export ${name}=(\\S+)`)))[1] as string;
      } else if (label === 'ingest') {
        await start('cli.ts', wordsOf(lines[0] as string), { env }).says(/taking messages/);
      } else if (label === 'send') {
        const program = blocks.find((block) => block.label === 'send.mjs')?.text ?? '';
        const sent = spawnSync(process.execPath, ['--input-type=module'], {
          cwd: PROJECT,
          env: { ...process.env, ...env },
          input: program,
          encoding: 'utf8',
        });
        expect(sent.status, sent.stderr).to.equal(0);
        await taken(4);
      } else
        for (const line of lines) {
          const args = wordsOf(line);
          const ended = await inProcess(args, { env });
          const name = args.slice(0, 2).join(' ');
          answers.push(`${args[0] === 'sql' ? 'sql' : name} ${ended.code}`);
          expect(ended.code, `${line}\n${ended.stdout}${ended.stderr}`).to.equal(0);
          said.set(`${name} ${answers.filter((each) => each.startsWith(name)).length}`, ended);
        }
    }
    expect(answers).to.deep.equal([
      'schemas publish 0',
      'topics apply 0',
      'topics diff 0',
      'tenant create 0',
      'sql 0',
      'dlq list 0',
      'dlq show 0',
      'tenant create 0',
      'dlq replay 0',
      'dlq list 0',
      'verify tenant 0',
    ]);
    expect(said.get('dlq list 1')?.stdout).to.match(/1 .*dead.*globex\/nightly.*no-such-tenant/);
    expect(said.get('dlq list 1')?.stdout).to.match(/2 .*held.*globex\/nightly.*behind-another/);
    expect(said.get('dlq replay 1')?.stdout).to.match(/letter 1 is taken; 2 accepted/);
    expect(said.get('dlq list 2')?.stdout).to.equal('no letters\n');
  });
});
