// Disaster and recovery as an operator meets them: a backup of a ledger in use, everything lost, and what comes back;
// and an older backup, which verifies and is found out all the same.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { BACKED_UP, readManifest } from '#streams/postgres/backup/archive.ts';
import { connect } from '#streams/postgres/connect.ts';
import { type FreshDatabase, freshDatabase } from '#test/support/postgres.ts';
import { inProcess } from '../in-process.ts';
import { dataFolder, type Ended, endAll, start } from '../program.ts';

const receipts = (from: number, to: number): string =>
  Array.from({ length: to - from }, (_, index) =>
    JSON.stringify({
      id: `r${from + index}`,
      action: 'db.export',
      actor: 'alice',
      decision: 'allow',
      created_at: '2026-11-21T09:00:00Z',
    }),
  ).join('\n');

describe('prov-ledger backup and restore', function () {
  this.timeout(300_000);
  const dataDir = dataFolder();
  const folder = mkdtempSync(join(tmpdir(), 'prov-ledger-backups-'));
  const path = (name: string): string => join(folder, name);
  let database: FreshDatabase;
  let restored: FreshDatabase;
  before(async () => {
    [database, restored] = await Promise.all([freshDatabase(), freshDatabase()]);
  });
  after(async () => {
    await endAll();
    rmSync(folder, { recursive: true });
    rmSync(dirname(dataDir), { recursive: true });
    await database[Symbol.asyncDispose]();
    await restored[Symbol.asyncDispose]();
  });
  const cli = (url: string, over: object, ...args: readonly string[]): Promise<Ended> =>
    inProcess(args, { env: { DATABASE_URL: url, PROV_LEDGER_DATA_DIR: dataDir, ...over } });
  const ok = async (url: string, ...args: readonly string[]) => {
    const ended = await cli(url, {}, ...args, '--json');
    expect(ended.code, `${args.join(' ')}: ${ended.stdout} ${ended.stderr}`).to.equal(0);
    return JSON.parse(ended.stdout);
  };
  const ingest = async (from: number, to: number): Promise<void> => {
    writeFileSync(path('r.ndjson'), receipts(from, to));
    await ok(database.url, 'ingest', path('r.ndjson'), '--tenant', 'acme');
  };

  it('comes back whole: chains proved, read models folded, heads that were kept outside held', async () => {
    await ok(database.url, 'migrate');
    await ok(database.url, 'tenant', 'create', 'acme');
    await ingest(0, 300);
    expect(await ok(database.url, 'backup', path('first'))).to.include({ facts: 301 });
    await ok(database.url, 'heads', 'export', '--out', path('heads.json'));
    const done = await ok(restored.url, 'restore', path('first'), '--heads', path('heads.json'));
    expect(done).to.include({ ok: true, facts: 301, tenants: 1 });
    const asked = await ok(restored.url, 'sql', 'SELECT count(*)::int AS n FROM views.receipts');
    expect(asked.rows).to.deep.equal([{ n: 300 }]);
  });

  it('holds every schema that cannot be worked out again', async () => {
    const pool = connect({ url: database.url, max: 1 });
    try {
      const { rows } = await pool.query<{ schema: string }>(
        `SELECT DISTINCT schemaname AS schema FROM pg_tables WHERE schemaname <> ALL (ARRAY['pg_catalog', 'information_schema'])
         ORDER BY 1`,
      );
      // Read models and sagas are folded again; `public` has the register of migrations, which the manifest repeats.
      const derived = ['projections', 'public', 'sagas'];
      expect(rows.map(({ schema }) => schema)).to.have.members([...BACKED_UP, ...derived]);
      const { tables } = await readManifest(path('first'));
      expect([...new Set(tables.map(({ schema }) => schema))]).to.have.members(BACKED_UP);
      expect(tables.map(({ schema, table }) => `${schema}.${table}`)).to.include.members([
        'ledger.facts',
        'transport.positions',
      ]);
    } finally {
      await pool.end();
    }
  });

  it('an older backup verifies, and the heads kept outside name what is missing', async () => {
    await ingest(300, 340);
    await ok(database.url, 'heads', 'export', '--out', path('heads.json'));
    expect(await ok(restored.url, 'verify', 'all')).to.include({ ok: true });
    const found = await cli(restored.url, {}, 'heads', 'check', path('heads.json'));
    expect(found.code).to.equal(1);
    expect(found.stdout).to.contain('acme: rolled back to fact 301; it had 341 facts');
  });

  it('a service on it is not ready, takes nothing in, and shows the figure', async () => {
    const over = {
      DATABASE_URL: restored.url,
      PROV_LEDGER_DATA_DIR: dataDir,
      PROV_LEDGER_HEADS_FILE: path('heads.json'),
      PROV_LEDGER_HTTP_PORT: '0',
    };
    const token = (await cli(restored.url, {}, 'token', 'create', 'acme')).stdout.trim();
    const program = start('cli.ts', ['serve'], { env: over });
    const [, url = ''] = await program.says(/listening on (http:\S+)/);
    const [, operators = ''] = await program.says(/"operatorsUrl":"([^"]+)"/);
    const ready = await fetch(`${url}/readyz`);
    expect(ready.status).to.equal(503);
    expect(await ready.text())
      .to.contain('1 heads that the heads file has')
      .and.not.contain('acme');
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const body = JSON.stringify({ action: 'a', actor: 'b', decision: 'allow' });
    const refused = await fetch(`${url}/receipts`, { method: 'POST', headers, body });
    expect(refused.status).to.equal(503);
    expect((await fetch(`${url}/ledger/acme/head`, { headers })).status).to.equal(200);
    expect(await (await fetch(`${operators}/metrics`)).text()).to.match(/^ledger_heads_lost 1$/m);
    program.child.kill('SIGTERM');
    const { stderr } = await program.ended;
    expect(stderr).to.contain('acme: rolled back to fact 302; it had 341 facts');
    const { findings } = JSON.parse((await cli(restored.url, over, 'doctor', '--json')).stdout);
    const [finding] = findings.filter(({ check }: { readonly check: string }) => check === 'heads file');
    expect(finding).to.include({ state: 'failed' });
  });

  it('without the keys folder it says so before it touches the database', async () => {
    await using empty = await freshDatabase();
    const elsewhere = { PROV_LEDGER_KEYS_DIR: path('other-keys') };
    const refused = await cli(empty.url, elsewhere, 'restore', path('first'));
    expect(refused.code).to.equal(1);
    expect(refused.stderr).to.contain('put that folder back (PROV_LEDGER_KEYS_DIR)');
    const status = await cli(empty.url, {}, 'status');
    expect(status.stderr).to.match(/lacks \d+ migrations/);
  });

  it('is not laid over a ledger', async () => {
    const refused = await cli(restored.url, {}, 'restore', path('first'));
    expect(refused.code).to.equal(1);
    expect(refused.stderr).to.contain('has a ledger already, with 1 tenants: restore into an empty database');
  });
});
