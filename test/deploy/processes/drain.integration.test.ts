// The last seconds of a service, as a load balancer and its callers see them.

import { rmSync } from 'node:fs';
import { request } from 'node:http';
import { dirname } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { type FreshDatabase, freshDatabase } from '#test/support/postgres.ts';
import { inProcess } from './in-process.ts';
import { dataFolder, endAll, start } from './program.ts';

describe('prov-ledger serve, told to stop', function () {
  this.timeout(300_000);
  const dataDir = dataFolder();
  let database: FreshDatabase;
  let env: { readonly [name: string]: string };
  let token: string;
  before(async () => {
    database = await freshDatabase();
    env = {
      DATABASE_URL: database.url,
      PROV_LEDGER_DATA_DIR: dataDir,
      PROV_LEDGER_HTTP_PORT: '0',
      PROV_LEDGER_DRAIN_SECONDS: '2',
    };
    for (const args of [['migrate'], ['tenant', 'create', 'acme']])
      expect((await inProcess(args, { env })).code, args.join(' ')).to.equal(0);
    token = (await inProcess(['token', 'create', 'acme'], { env })).stdout.trim();
  });
  after(async () => {
    await endAll();
    rmSync(dirname(dataDir), { recursive: true });
    await database[Symbol.asyncDispose]();
  });

  const serve = async (over: object = {}) => {
    const program = start('cli.ts', ['serve'], { env: { ...env, ...over } });
    const [, url = ''] = await program.says(/listening on (http:\S+)/);
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const body = JSON.stringify({ action: 'db.export', actor: 'alice', decision: 'allow' });
    const post = () => fetch(`${url}/receipts`, { method: 'POST', headers, body });
    return { program, url, post, headers };
  };

  it('is a lame duck first: /readyz says 503 while everything is still served, then it closes', async () => {
    const { program, url, post } = await serve({ PROV_LEDGER_LAME_DUCK_SECONDS: '4' });
    expect((await fetch(`${url}/readyz`)).status).to.equal(200);
    program.child.kill('SIGTERM');
    let ready = 200;
    while (ready === 200) {
      ready = (await fetch(`${url}/readyz`)).status;
      await pause(20);
    }
    expect(ready).to.equal(503);
    expect((await post()).status, 'a receipt after /readyz said 503').to.equal(201);
    expect((await fetch(`${url}/healthz`)).status).to.equal(200);
    const { code, stderr } = await program.ended;
    expect(code).to.equal(0);
    expect(stderr).to.contain('"msg":"drained"');
    expect(await fetch(url).catch(() => 'refused')).to.equal('refused');
  });

  it('ends within its deadline, whatever a caller does not finish', async () => {
    const { program, url, headers } = await serve();
    const cut = new Promise((resolve) => {
      const sending = request(`${url}/receipts`, {
        method: 'POST',
        headers: { ...headers, 'content-length': '1000' },
      });
      sending.on('error', resolve).on('response', resolve);
      sending.write('{"action":');
    });
    await pause(300);
    const stoppedAt = performance.now();
    program.child.kill('SIGTERM');
    const { code } = await program.ended;
    expect(code).to.equal(0);
    // Two seconds are given; the rest is a busy machine's.
    expect(performance.now() - stoppedAt).to.be.lessThan(20_000);
    await cut;
  });
});
