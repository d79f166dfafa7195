import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { connect } from '#streams/postgres/connect.ts';
import { type FreshDatabase, freshDatabase } from '#test/support/postgres.ts';
import { inProcess } from './in-process.ts';
import { dataFolder, type Ended, endAll, run, start } from './program.ts';

const receipt = (id: string, over: object = {}): string =>
  JSON.stringify({
    id,
    action: 'db.export',
    actor: 'alice',
    decision: 'allow',
    created_at: '2026-11-21T09:00:00Z',
    ...over,
  });

const receiptLines = (from: number, to: number): string =>
  Array.from({ length: to - from }, (_, index) => `${receipt(`r${from + index}`)}\n`).join('');

describe('prov-ledger as a user runs it', function () {
  this.timeout(60_000);
  const dataDir = dataFolder();
  const folder = mkdtempSync(join(tmpdir(), 'prov-ledger-files-'));
  let database: FreshDatabase;
  let env: { readonly [name: string]: string };
  before(async () => {
    database = await freshDatabase();
    env = { DATABASE_URL: database.url, PROV_LEDGER_DATA_DIR: dataDir, PROV_LEDGER_HTTP_PORT: '0' };
  });
  after(async () => {
    await endAll();
    rmSync(folder, { recursive: true });
    rmSync(dirname(dataDir), { recursive: true });
    await database[Symbol.asyncDispose]();
  });
  const cli = async (...args: readonly string[]): Promise<Ended> => await inProcess(args, { env });
  const ok = async (...args: readonly string[]): Promise<Ended> => {
    const ended = await cli(...args);
    expect(ended.code, `${args.join(' ')}: ${ended.stderr}`).to.equal(0);
    return ended;
  };
  const json = async (...args: readonly string[]) => JSON.parse((await ok(...args, '--json')).stdout);
  const path = (name: string): string => join(folder, name);

  it('a database that was not migrated is not touched: exit 3, and what to run', async () => {
    const { code, stderr } = await cli('status');
    expect(stderr).to.match(/^prov-ledger: the database lacks \d+ migrations: run `prov-ledger migrate`\n$/);
    expect(code).to.equal(3);
    const { findings } = JSON.parse((await cli('doctor', '--json')).stdout);
    expect(findings.find(({ check }: { check: string }) => check === 'schema')).to.include({
      state: 'failed',
    });
  });

  it('migrate brings it up, and has nothing to do after that', async () => {
    expect((await json('migrate')).applied).to.have.length.greaterThan(1);
    expect((await ok('migrate')).stdout).to.match(/nothing to do/);
  });

  it('a tenant, a file with its receipts, and the same file again', async () => {
    await ok('tenant', 'create', 'acme', '--name', 'Acme GmbH');
    writeFileSync(path('good.ndjson.gz'), gzipSync(receiptLines(0, 500)));
    expect(await json('ingest', path('good.ndjson.gz'), '--tenant', 'acme')).to.include({
      recorded: 500,
      skipped: 0,
      rejected: 0,
    });
    expect(await json('ingest', path('good.ndjson.gz'), '--tenant', 'acme')).to.include({
      recorded: 0,
      skipped: 500,
    });
    writeFileSync(path('more.ndjson'), `${receiptLines(490, 520)}{"broken":\n`);
    const more = await cli(
      'ingest',
      path('more.ndjson'),
      '--tenant',
      'acme',
      '--rejects',
      path('rejects.ndjson'),
      '--json',
    );
    expect(more.code).to.equal(1);
    expect(JSON.parse(more.stdout)).to.include({ recorded: 20, repeated: 10, rejected: 1 });
    expect(more.stderr).to.match(/line 31: not-json/);
    expect(JSON.parse(readFileSync(path('rejects.ndjson'), 'utf8'))).to.include({
      line: 31,
      code: 'not-json',
    });
  });

  it('the read models have them at once, for SQL that may only read', async () => {
    expect(
      (await json('sql', "select count(*) as receipts from receipts where tenant = 'acme'")).rows,
    ).to.deep.equal([{ receipts: 520 }]);
    expect((await json('status')).facts).to.equal(521);
    for (const query of [
      'update ledger.heads set seq = 0',
      'rollback; drop schema ledger cascade',
      'select * from ledger.facts',
    ]) {
      expect((await cli('sql', query)).code, query).to.equal(2);
    }
    expect((await json('sql', 'select current_user as name')).rows).to.deep.equal([
      { name: 'prov_ledger_auditor' },
    ]);
    expect((await json('status')).facts).to.equal(521);
  });

  it('an analyst is made, named and dropped; a password may come from a file', async () => {
    const { password, role, tenant } = await json('analyst', 'create', 'acme');
    expect({ tenant, length: password.length }).to.deep.equal({ tenant: 'acme', length: 32 });
    const given = await run(
      'cli.ts',
      ['analyst', 'create', 'acme', '--role', `${role}_b`, '--password-stdin'],
      { env, input: 'sixteen or more characters\n' },
    );
    expect(given.code, given.stderr).to.equal(0);
    expect(given.stdout + given.stderr).to.not.include('sixteen or more');
    const bad = await inProcess(['analyst', 'create', 'acme', '--password-stdin'], {
      env,
      input: 'short\n',
    });
    expect([bad.code, bad.stderr]).to.deep.equal([
      2,
      'prov-ledger: that is no password for an analyst: use 16 to 200 printable ASCII characters\n',
    ]);
    const roles = async (): Promise<unknown> =>
      (await json('analyst', 'list', 'acme')).analysts.map((analyst: { role: string }) => analyst.role);
    expect(await roles()).to.have.members([role, `${role}_b`]);
    expect((await cli('analyst', 'create', 'acme', '--role', role)).stderr).to.match(
      /choose another name with --role/,
    );
    for (const each of [role, `${role}_b`]) await ok('analyst', 'drop', each);
    expect(await roles()).to.deep.equal([]);
    expect((await cli('analyst', 'drop', role)).code).to.equal(1);
  });

  it('a halted read model is named with the command that lets it try again', async () => {
    const owner = connect({ url: database.url, max: 1 });
    await owner.query(
      `UPDATE projections.checkpoints SET status = 'halted', fault_seq = seq + 1, fault_id = 'x', fault_message = 'planted', fault_at = now()
       WHERE projection = 'receipts_daily' AND tenant = 'acme'`,
    );
    await owner.end();
    const resume = 'projections resume receipts_daily --tenant acme';
    expect((await ok('projections', 'status', 'acme')).stdout)
      .to.include('planted')
      .and.include(resume);
    expect((await cli('doctor')).stdout).to.include(`prov-ledger ${resume}`);
    await ok(...resume.split(' '));
    const again = await cli(...resume.split(' '));
    expect([again.code, again.stderr]).to.deep.equal([
      1,
      'prov-ledger: receipts_daily of acme has not halted: it is current, as of fact 521\n',
    ]);
    const unknown = await cli('projections', 'resume', 'nothing', '--tenant', 'acme');
    expect(unknown.stderr).to.match(/no read model nothing; there are .*receipts, receipts_daily, tenants/);
  });

  it('a receipt, an export and the whole ledger verify; an export in the making is never seen', async () => {
    writeFileSync(path('jwks.json'), (await ok('keys', 'list', '--json')).stdout);
    await ok('receipt', 'get', 'r17', '--tenant', 'acme', '--out', path('r17.json'));
    const nothing = {
      env: {
        PATH: '',
        PROV_LEDGER_DATA_DIR: path('none'),
        DATABASE_URL: 'postgresql://nobody@127.0.0.1:1/none',
      },
    };
    const offline = await run(
      'cli.ts',
      ['verify', 'receipt', path('r17.json'), '--jwks', path('jwks.json')],
      nothing,
    );
    expect(offline.code, offline.stdout).to.equal(0);
    await ok('export', 'acme', '--out', path('acme.ndjson.gz'));
    expect(existsSync(path('acme.ndjson.gz.partial'))).to.equal(false);
    const { stdout } = await run(
      'cli.ts',
      ['verify', 'export', path('acme.ndjson.gz'), '--jwks', path('jwks.json'), '--json'],
      nothing,
    );
    expect(JSON.parse(stdout)).to.include({ ok: true, facts: 521 });
    expect(existsSync(path('none'))).to.equal(false);
    expect(await json('verify', 'all')).to.include({ ok: true, facts: 521 });
    expect((await cli('export', 'acme', '--out', path('no/such/folder.ndjson'))).code).to.equal(3);
  });

  it('after a rotation older receipts verify, and new ones are signed by the new key', async () => {
    const { active, retired } = await json('keys', 'rotate');
    expect(active).not.to.equal(retired);
    await ok('tenant', 'rename', 'acme', '--name', 'Acme AG');
    expect((await json('head', 'acme')).proof.kid).to.equal(active);
    expect(await json('verify', 'tenant', 'acme')).to.include({ ok: true, facts: 522 });
  });

  it('tail follows what others record, until ctrl-C: exit 130', async () => {
    const tail = start('cli.ts', ['tail', 'acme', '--json', '--count', '1'], { env });
    await tail.says('"seq":522');
    await ok('tenant', 'rename', 'acme', '--name', 'Acme SE');
    await tail.says('"seq":523');
    tail.child.kill('SIGINT');
    const { code, stdout } = await tail.ended;
    expect(code).to.equal(130);
    expect(
      stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line).seq),
    ).to.deep.equal([522, 523]);
  });

  it('ctrl-C during an ingest finishes what is under way; the next run goes on from there', async () => {
    writeFileSync(
      path('long.ndjson'),
      `${receiptLines(10_000, 10_100)}{"broken":\n${receiptLines(10_100, 40_000)}`,
    );
    const args = ['ingest', path('long.ndjson'), '--tenant', 'acme', '--in-flight', '50', '--json'];
    const ingest = start('cli.ts', args, { env });
    await ingest.says('line 101: not-json');
    ingest.child.kill('SIGINT');
    const { code, stdout } = await ingest.ended;
    expect(code).to.equal(130);
    const first = JSON.parse(stdout);
    expect(first).to.include({ interrupted: true, rejected: 1 });
    expect(first.recorded).to.be.within(1, 29_999);
    const second = await cli(...args, '--quiet');
    expect(second.code).to.equal(1);
    const rest = { skipped: first.recorded, recorded: 30_000 - first.recorded, repeated: 0, rejected: 1 };
    expect(JSON.parse(second.stdout)).to.include(rest);
  });

  it('serve answers until it is told to end, and drains', async () => {
    const service = start('cli.ts', ['serve', '--json'], { env });
    const [, url = ''] = await service.says(/"url":"([^"]+)"/);
    const { token } = await json('token', 'create', 'acme');
    const post = async (body: string) =>
      await fetch(`${url}/receipts`, {
        method: 'POST',
        body,
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      });
    expect((await post(receipt('over-http'))).status).to.equal(201);
    expect((await fetch(`${url}/readyz`)).status).to.equal(200);
    const { tokens } = await json('token', 'list', 'acme');
    await ok('token', 'revoke', 'acme', tokens[0].token_id);
    service.child.kill('SIGTERM');
    expect((await service.ended).code).to.equal(0);
  });

  it('what is done ends, though something in the process would go on for ever', async () => {
    const endless = '--import=data:text/javascript,setInterval(Object,1000)';
    const { code, stdout } = await run('cli.ts', ['--version'], { env: { NODE_OPTIONS: endless } });
    expect(code).to.equal(0);
    expect(stdout).to.match(/^\d+\.\d+\.\d+\n$/);
  });

  it('doctor finds everything well', async () => {
    const { code, stdout } = await cli('doctor', '--json');
    const bad = JSON.parse(stdout).findings.filter(
      ({ state, check }: { state: string; check: string }) => state === 'failed' && check !== 'durability',
    );
    expect(bad).to.deep.equal([]);
    // The tests' server runs without fsync, and doctor says so.
    expect(code).to.equal(process.env['PROV_TEST_DATABASE_URL'] === undefined ? 1 : 0);
  });
});
