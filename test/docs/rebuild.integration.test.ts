// docs/operations/rebuild.md, command by command in its order, on a read model that was wrecked.
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { connect } from '#streams/postgres/connect.ts';
import { inProcess } from '../deploy/processes/in-process.ts';
import { dataFolder, type Ended } from '../deploy/processes/program.ts';
import { type FreshDatabase, freshDatabase } from '../support/postgres.ts';
import { blocksOf, page } from './pages.ts';

const blocks = blocksOf(page('docs/operations/rebuild.md'));
const lines = blocks
  .filter(({ language, label }) => language === 'sh' && label === '')
  .flatMap(({ text }) => text.trim().split('\n'))
  .map((line) => line.replace(/^prov-ledger /, '').split(' '));

describe('docs/operations/rebuild.md', function () {
  this.timeout(300_000);
  const dataDir = dataFolder();
  const folder = mkdtempSync(join(tmpdir(), 'prov-ledger-rebuild-'));
  let database: FreshDatabase;
  before(async () => {
    database = await freshDatabase();
    await cli('migrate');
    const receipts = Array.from({ length: 40 }, (_, index) =>
      JSON.stringify({
        id: `r-${index}`,
        action: `action-${index % 5}`,
        actor: 'alice',
        decision: index % 3 === 0 ? 'deny' : 'allow',
        created_at: `2026-11-${10 + (index % 7)}T09:00:00Z`,
      }),
    );
    writeFileSync(join(folder, 'receipts.ndjson'), `${receipts.join('\n')}\n`);
    await cli('tenant', 'create', 'acme');
    await cli('ingest', join(folder, 'receipts.ndjson'), '--tenant', 'acme');
  });
  after(async () => {
    rmSync(folder, { recursive: true });
    rmSync(dirname(dataDir), { recursive: true, force: true });
    await database[Symbol.asyncDispose]();
  });

  const cli = (...args: readonly string[]): Promise<Ended> =>
    inProcess(args, { env: { DATABASE_URL: database.url, PROV_LEDGER_DATA_DIR: dataDir } });

  const ask = async (sql: string): Promise<readonly Record<string, unknown>[]> => {
    const pool = connect({ url: database.url, max: 1 });
    try {
      return (await pool.query<Record<string, unknown>>(sql)).rows;
    } finally {
      await pool.end();
    }
  };
  const rows = () => ask('SELECT * FROM views.receipts_daily ORDER BY 1, 2, 3, 4');

  it('brings a wrecked read model back, proved, and says so in the ledger', async () => {
    expect((await cli('projections', 'verify', 'receipts_daily')).code).to.equal(0);
    const sane = await rows();
    expect(sane.length).to.be.greaterThan(20);
    await ask(
      `UPDATE projections.receipts_daily_v1 SET receipts = 999 WHERE day = '2026-11-10' AND action = 'action-0' AND decision = 'deny'`,
    );
    const answers: string[] = [];
    for (const args of lines) {
      const { code, stdout, stderr } = await cli(...args);
      answers.push(`${args[1]} ${code}`);
      expect(`${stdout}${stderr}`, args.join(' ')).to.not.match(/ at .*\.ts:\d/);
      if (args[1] === 'verify' && code === 1)
        expect(stdout)
          .to.match(/first row that differs: acme 2026-11-10 action-0 deny/)
          .and.match(/in the table {4}.*"receipts":999/)
          .and.match(/by the history .*"receipts":[1-9]\b/)
          .and.match(/made by {9}\d facts?, the last one \d+/);
    }
    expect(answers).to.deep.equal([
      'status 0',
      'parked 0',
      'verify 1',
      'rebuild 0',
      'verify 0',
      'rollback 0',
      'rollback 0',
      'drop-old 0',
      'pause 0',
      'resume 0',
      'list 0',
      'lag 0',
      'diff 0',
    ]);
    expect(await rows()).to.deep.equal(sane);
    const builds = await ask(
      `SELECT build, state FROM projections.builds WHERE projection = 'receipts_daily'`,
    );
    expect(builds).to.deep.equal([{ build: 2, state: 'live' }]);
    const proofs = await ask(
      `SELECT payload->>'projection' AS projection, (payload->>'as_of_seq')::int AS seq FROM ledger.fact_texts WHERE type = 'projections.RebuildProved'`,
    );
    expect(proofs).to.deep.equal([{ projection: 'receipts_daily', seq: 41 }]);
  });

  it('has a digest that psql, sort and sha256sum compute', async () => {
    const [block] = blocks.filter(({ language }) => language === 'psql');
    const [, sql = ''] = /-c "([^"]+)" \| LC_ALL=C sort \| sha256sum$/.exec(block?.text.trim() ?? '') ?? [];
    const hashes = (await ask(sql)).map(({ encode }) => encode as string).sort();
    const sum = createHash('sha256').update(hashes.map((each) => `${each}\n`).join(''));
    const { stdout } = await cli('projections', 'verify', 'receipts_daily', '--tenant', 'acme', '--json');
    const { equal } = JSON.parse(stdout) as { equal: readonly { digest: string }[] };
    expect(equal.map(({ digest }) => digest)).to.deep.equal([sum.digest('hex')]);
  });

  it('refuses what cannot be done, and says what can', async () => {
    const refused = async (...args: readonly string[]): Promise<string> => {
      const { code, stderr } = await cli('projections', ...args);
      return `${code} ${stderr.trim()}`;
    };
    expect(await refused('rebuild', 'nothing')).to.match(
      /^2 .*there is no read model nothing; there are tenants/,
    );
    expect(await refused('rebuild', 'receipts', '--tenant', 'nobody')).to.match(
      /^1 .*there is no tenant nobody/,
    );
    expect(await refused('rollback', 'receipts')).to.match(
      /^1 .*there is nothing to go back to: receipts was not rebuilt/,
    );
    expect(await refused('resume', 'receipts')).to.match(/^1 .*receipts is not paused/);
    expect(
      await refused('parked', 'skip', 'receipts', '--tenant', 'acme', '--seq', '3', '--reason', 'none'),
    ).to.match(/^1 .*receipts of acme has not halted/);
  });
});
