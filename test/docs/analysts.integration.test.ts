// docs/operations/analysts.md, command by command in its order: what stands in `sh` is run as a user runs it, what psql
// would ask is asked over a connection with the role and the password that the commands before gave.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { expect } from 'chai';
import { connect } from '#streams/postgres/connect.ts';
import { inProcess } from '../deploy/processes/in-process.ts';
import { dataFolder, type Ended } from '../deploy/processes/program.ts';
import { type FreshDatabase, freshDatabase } from '../support/postgres.ts';
import { type Block, blocksOf, page } from './pages.ts';

const PAGE = page('docs/operations/analysts.md');
const blocks = blocksOf(PAGE);

const receipt = (id: string): string =>
  `${JSON.stringify({ id, action: 'db.export', actor: 'alice', decision: 'allow', created_at: '2026-11-21T09:00:00Z' })}\n`;

describe('docs/operations/analysts.md', function () {
  this.timeout(180_000);
  const dataDir = dataFolder();
  const folder = mkdtempSync(join(tmpdir(), 'prov-ledger-analysts-'));
  let database: FreshDatabase;
  before(async () => {
    database = await freshDatabase();
    await cli('migrate');
    for (const tenant of ['acme', 'globex']) {
      writeFileSync(join(folder, `${tenant}.ndjson`), receipt(`of-${tenant}`));
      await cli('tenant', 'create', tenant);
      await cli('ingest', join(folder, `${tenant}.ndjson`), '--tenant', tenant);
    }
  });
  after(async () => {
    await asOwner('DROP ROLE IF EXISTS acme_bi; DROP ROLE IF EXISTS dashboards');
    rmSync(folder, { recursive: true });
    rmSync(dirname(dataDir), { recursive: true, force: true });
    await database[Symbol.asyncDispose]();
  });

  const cli = async (...args: readonly string[]): Promise<Ended> => {
    const env = { DATABASE_URL: database.url, PROV_LEDGER_DATA_DIR: dataDir };
    const ended = await inProcess(args, { env });
    expect(ended.code, `${args.join(' ')}: ${ended.stderr}`).to.equal(0);
    return ended;
  };

  const ask = async (url: string, sql: string): Promise<readonly unknown[]> => {
    const pool = connect({ url, max: 1 });
    try {
      return (await pool.query(sql)).rows;
    } finally {
      await pool.end();
    }
  };
  const asOwner = (sql: string): Promise<readonly unknown[]> => ask(database.url, sql);
  const urlOf = (user: string, password: string): string => {
    const url = new URL(database.url);
    Object.assign(url, { username: user, password });
    return url.href;
  };

  /** The page's moment is in the past of these facts. */
  const nowIn = (line: string): string =>
    line.replace(/(--time )\S+/, (_, option: string) => `${option}${new Date().toISOString()}`);

  const inFolder = (line: string): string =>
    line.replace(/(views export )(\S+)/, (_, command: string, name: string) => command + join(folder, name));

  /** `prov-ledger … > file`. */
  const shell = async (line: string): Promise<string> => {
    const [, command = '', file] = /^prov-ledger ([^>]+?)(?: > (\S+))?$/.exec(inFolder(nowIn(line))) ?? [];
    expect(command, line).to.not.equal('');
    const { stdout, stderr } = await cli(...command.split(' '));
    if (file !== undefined) writeFileSync(join(folder, file), stdout);
    return `${stdout}${stderr}`;
  };

  const psql = async (line: string): Promise<readonly unknown[]> => {
    const [, user = '', sql = ''] = /user=(\w+)" -c "([^"]+)"$/.exec(line.trim()) ?? [];
    expect([user, sql], line).to.not.include('');
    return await ask(urlOf(user, readFileSync(join(folder, 'password.txt'), 'utf8').trim()), sql);
  };

  const play: { readonly [language: string]: (block: Block) => Promise<void> } = {
    sh: async ({ text }) => {
      for (const line of text.trim().split('\n'))
        expect(await shell(line), line).to.match(/acme|dropped|db\.export/);
    },
    psql: async ({ text }) => {
      expect(await psql(text)).to.deep.equal([{ receipt_id: 'of-acme', actor: 'alice', decision: 'allow' }]);
      expect(await psql(text.replace("tenant = 'acme'", 'true'))).to.have.length(1);
    },
    duckdb: async ({ text }) => {
      const database = await DuckDBInstance.create(':memory:');
      const connection = await database.connect();
      const answer = await connection.runAndReadAll(text.replace("'first/", `'${join(folder, 'first')}/`));
      expect(answer.getRowObjectsJson()).to.deep.equal([{ action: 'db.export', receipts: 1 }]);
      connection.closeSync();
      database.closeSync();
    },
    sql: async ({ text }) => {
      await asOwner(text);
      const seen = await ask(
        urlOf('dashboards', 'a password of your own'),
        'SELECT tenant FROM views.receipts ORDER BY 1',
      );
      expect(seen).to.deep.equal([{ tenant: 'acme' }, { tenant: 'globex' }]);
    },
  };

  for (const block of blocks) {
    it(`${block.heading}: ${block.text.split('\n')[0]}`, async () => {
      const player = play[block.language];
      expect(player, block.language).to.be.a('function');
      await player?.(block);
    });
  }

  it('has been played', () => {
    const played = 'sh psql sh psql sh sh duckdb sh sql sh';
    expect(blocks.map(({ language }) => language).join(' ')).to.equal(played);
  });

  it('says who reaches what as the database has it', async () => {
    const { relations } = (
      await asOwner(
        `SELECT array_agg(relname::text) AS relations FROM pg_class WHERE relrowsecurity AND relname !~ '_(gate|rows)$'`,
      )
    )[0] as { readonly relations: readonly string[] };
    expect(relations).to.have.members(['heads', 'checkpoints', 'analysts', 'flow', 'snapshot_positions']);
    for (const name of relations)
      expect(PAGE).to.match(new RegExp(`(?:ledger|projections|transport)\\.${name}`));
  });
});
