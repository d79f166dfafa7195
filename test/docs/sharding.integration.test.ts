// docs/operations/sharding.md, command by command, on two databases.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { inProcess } from '../deploy/processes/in-process.ts';
import { dataFolder, type Ended } from '../deploy/processes/program.ts';
import { type FreshDatabase, freshDatabase } from '../support/postgres.ts';
import { blocksOf, page } from './pages.ts';

const lines = blocksOf(page('docs/operations/sharding.md'))
  .filter(({ language }) => language === 'sh')
  .flatMap(({ text }) => text.trim().split('\n'))
  .map((line) =>
    [...line.matchAll(/"([^"]+)"|(\S+)/g)].slice(1).map(([, quoted, word]) => quoted ?? word ?? ''),
  );

describe('docs/operations/sharding.md', function () {
  this.timeout(300_000);
  const dataDir = dataFolder();
  const folder = mkdtempSync(join(tmpdir(), 'prov-ledger-sharding-'));
  let home: FreshDatabase;
  let east: FreshDatabase;
  before(async () => {
    [home, east] = [await freshDatabase(), await freshDatabase()];
  });
  after(async () => {
    rmSync(folder, { recursive: true });
    rmSync(dirname(dataDir), { recursive: true, force: true });
    await home[Symbol.asyncDispose]();
    await east[Symbol.asyncDispose]();
  });

  const cli = (shards: boolean, ...args: readonly string[]): Promise<Ended> =>
    inProcess(args, {
      env: {
        DATABASE_URL: home.url,
        PROV_LEDGER_DATA_DIR: dataDir,
        ...(shards && { PROV_LEDGER_SHARDS: `east=${east.url}` }),
      },
    });
  const ok = async (shards: boolean, ...args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await cli(shards, ...args);
    expect(code, `${args.join(' ')}: ${stdout} ${stderr}`).to.equal(0);
    return stdout;
  };
  const ingest = async (shards: boolean, ...ids: readonly string[]): Promise<void> => {
    const receipts = ids.map((id) =>
      JSON.stringify({
        id,
        action: 'db.export',
        actor: 'alice',
        decision: 'allow',
        created_at: '2026-11-21T09:00:00Z',
      }),
    );
    writeFileSync(join(folder, 'r.ndjson'), `${receipts.join('\n')}\n`);
    await ok(shards, 'ingest', join(folder, 'r.ndjson'), '--tenant', 'acme');
  };

  it('a tenant moves to the second server and back; receipts, views and proofs stay what they are', async () => {
    await ok(false, 'migrate');
    await ok(false, 'tenant', 'create', 'acme');
    await ingest(false, 'r-1', 'r-2');
    const receipt = await ok(false, 'receipt', 'get', 'r-1', '--tenant', 'acme', '--json');
    const [migrate = [], move = [], list = [], verify = [], sql = [], back = []] = lines;
    await ok(true, ...migrate);
    const moved = JSON.parse(await ok(true, ...move, '--json')) as object;
    expect(moved).to.include({ tenant: 'acme', from: 'home', to: 'east', epoch: 1 });
    expect(await ok(true, ...list)).to.match(/acme .* 3 /);
    await ok(true, ...verify);
    expect(await ok(true, ...sql, '--json')).to.match(/"placed_tenant":"acme","shard":"east"/);
    expect(await ok(true, 'receipt', 'get', 'r-1', '--tenant', 'acme', '--json')).to.equal(receipt);
    // Repeated, and a new one: to where the tenant is.
    await ingest(true, 'r-1', 'r-3');
    const counted = await ok(
      true,
      'sql',
      "SELECT count(*) AS n FROM views.receipts WHERE tenant = 'acme'",
      '--json',
    );
    expect(JSON.parse(counted)).to.have.deep.property('rows', [{ n: 3 }]);
    // A service that does not know of the second server stores nothing on the first.
    writeFileSync(
      join(folder, 's.ndjson'),
      '{"id":"r-9","action":"a","actor":"b","decision":"deny","created_at":"2026-11-21T09:00:00Z"}\n',
    );
    expect((await cli(false, 'ingest', join(folder, 's.ndjson'), '--tenant', 'acme')).code).to.not.equal(0);
    await ok(true, ...back);
    expect(await ok(false, 'receipt', 'get', 'r-1', '--tenant', 'acme', '--json')).to.equal(receipt);
    await ok(false, 'receipt', 'get', 'r-3', '--tenant', 'acme');
    await ok(false, 'verify', 'all');
  });

  it('refuses what it cannot do, and says why', async () => {
    const refused = async (shards: boolean, ...args: readonly string[]): Promise<string> => {
      const { code, stderr } = await cli(shards, ...args);
      return `${code} ${stderr.trim()}`;
    };
    expect(await refused(true, 'tenant', 'move', 'acme', '--to', 'west')).to.match(
      /^1 .*there is no shard west/,
    );
    expect(await refused(false, 'tenant', 'move', 'acme', '--to', 'east')).to.match(/^2 .*is on one server/);
  });
});
