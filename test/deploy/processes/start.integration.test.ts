import { once } from 'node:events';
import { existsSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { dataFolder, endAll, type Program, run, start } from './program.ts';

describe('npm start', function () {
  this.timeout(60_000);
  const dataDir = dataFolder();
  const env = { PROV_LEDGER_DATA_DIR: dataDir };
  const begin = (over: { readonly [name: string]: string } = {}): Program =>
    start('start.ts', [], { env: { ...env, PROV_LEDGER_HTTP_PORT: '0', ...over } });
  const stop = async (program: Program, signal: 'SIGINT' | 'SIGTERM') => {
    program.child.kill(signal);
    return await program.ended;
  };
  const headOf = async (url: string, token: string) => {
    const answer = await fetch(`${url}/ledger/demo/head`, { headers: { authorization: `Bearer ${token}` } });
    return (await answer.json()) as { readonly seq: number; readonly hash: string };
  };
  after(async () => {
    await endAll();
    rmSync(dirname(dataDir), { recursive: true, force: true });
  });

  let token: string;
  let first: { readonly seq: number; readonly hash: string };

  it('the first start makes a tenant, a token and real receipts, and shows lines that work when pasted', async () => {
    const program = begin();
    const [, url = ''] = await program.says(/listening on\s+(http:\S+)/);
    [, token = ''] = await program.says(/token\s+(plt_demo\.\S+)/);
    await program.says(/loaded\s+\d+ receipts from/);
    await program.says(/chain\s+[\d,]+ facts verified, \d+ signatures? checked/);
    const [, body = ''] = await program.says(/curl -s \S+ .* -d '([^']+)'/);
    const answer = await fetch(`${url}/receipts`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body,
    });
    expect(answer.status).to.equal(201);
    expect(statSync(join(dataDir, 'demo-token')).mode & 0o777).to.equal(0o600);
    expect(readFileSync(join(dataDir, 'demo-token'), 'utf8').trim()).to.equal(token);
    const [, question = ''] = await program.says(/prov-ledger\.mjs sql "([^"]+)"/);
    const beside = await run('cli.ts', ['sql', question, '--json'], { env });
    expect(beside.code, beside.stderr).to.equal(0);
    expect(JSON.parse(beside.stdout).rows[0]).to.include({ action: 'git.commit' });
    const second = await run('start.ts', [], { env });
    expect(second).to.include({ code: 1 });
    expect(second.stderr).to.match(/runs already .* as process \d+/);
    first = await headOf(url, token);
    const { code, stdout } = await stop(program, 'SIGINT');
    expect(stdout).to.match(/draining/);
    expect(code).to.equal(0);
    expect(existsSync(join(dataDir, 'postgres-18', 'postmaster.pid'))).to.equal(false);
  });

  it('the second start keeps everything, is quick, and drains on SIGTERM', async () => {
    const program = begin();
    const [, url = ''] = await program.says(/listening on\s+(http:\S+)/);
    const [, again] = await program.says(/token\s+(plt_demo\.\S+)/);
    const [, seconds] = await program.says(/started in\s+([\d.]+) s/);
    await program.says(/nothing new: the receipts of the first start are there/);
    expect(again).to.equal(token);
    const { seq, hash } = await headOf(url, token);
    expect({ seq, hash }).to.deep.equal({ seq: first.seq, hash: first.hash });
    expect(Number(seconds)).to.be.lessThan(8);
    expect((await stop(program, 'SIGTERM')).code).to.equal(0);
  });

  it('does not take another port than the one that was asked for', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as { port: number };
    const { code, stderr } = await begin({ PROV_LEDGER_HTTP_PORT: String(port) }).ended;
    taken.close();
    expect(code).to.equal(3);
    expect(stderr).to.match(/the port is taken: choose another/);
  });

  it('the demonstration publishes, finds and verifies a receipt, and ends with 0', async () => {
    const { code, stdout, stderr } = await run('start.ts', ['--demo'], { env });
    expect(code, stderr).to.equal(0);
    for (const step of [
      /201: demo-\S+ is fact \d+/,
      /views\.receipts: npm run demo asked for demo\.publish: allow/,
      /ok {5}signature/,
      /refused: /,
      /done: published, found and verified/,
    ]) {
      expect(stdout).to.match(step);
    }
  });

  it('lists every fault of the environment, and starts nothing', async () => {
    const { code, stderr } = await run('start.ts', [], {
      env: { ...env, DATABASE_URL: 'mysql://x', PROV_LEDGER_HTTP_PORT: 'many' },
    });
    expect(code).to.equal(2);
    expect(stderr).to.match(/DATABASE_URL.*\n.*PROV_LEDGER_HTTP_PORT/);
  });
});
