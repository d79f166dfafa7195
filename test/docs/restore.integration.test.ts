// docs/operations/restore.md, command by command: a ledger with two tenants is lost, and comes back into another database.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { kafkaConnection } from '#streams/kafka/connect.ts';
import { EVENTS_TOPIC, relayLedger } from '#streams/kafka/relay.ts';
import { connect, RUNTIME_ROLE } from '#streams/postgres/connect.ts';
import { oneDatabase } from '#streams/postgres/databases.ts';
import { postgresStreamFeed } from '#streams/postgres/feed.ts';
import { postgresStreamStore } from '#streams/postgres/store.ts';
import { relayLag } from '#streams/postgres/transport/relayed.ts';
import { inProcess } from '../deploy/processes/in-process.ts';
import { dataFolder, type Ended } from '../deploy/processes/program.ts';
import { kafkaPair } from '../support/kafka.ts';
import { ledgerTopics } from '../support/ledger-topic.ts';
import { type FreshDatabase, freshDatabase } from '../support/postgres.ts';
import { testSigner } from '../support/test-signer.ts';
import { blocksOf, page } from './pages.ts';

const linesOf = (wanted: string): readonly (readonly string[])[] =>
  blocksOf(page('docs/operations/restore.md'))
    .filter(({ label }) => label === wanted)
    .flatMap(({ text }) => text.trim().split('\n'))
    .map((line) => line.replace(/^prov-ledger /, '').split(' '));

describe('docs/operations/restore.md', function () {
  this.timeout(300_000);
  const dataDir = dataFolder();
  const folder = mkdtempSync(join(tmpdir(), 'prov-ledger-restore-'));
  let lost: FreshDatabase;
  const made: FreshDatabase[] = [];
  let environment: { readonly [name: string]: string } = {};

  const cli = (url: string, ...args: readonly string[]): Promise<Ended> => {
    const named = args.map((each) => (each.endsWith('.gz') ? join(folder, each) : each));
    return inProcess(named, {
      env: { DATABASE_URL: url, PROV_LEDGER_DATA_DIR: dataDir, ...environment },
    });
  };
  const ok = async (url: string, ...args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await cli(url, ...args);
    expect(code, `${args.join(' ')}: ${stdout} ${stderr}`).to.equal(0);
    return stdout;
  };
  const empty = async (): Promise<string> => {
    const database = await freshDatabase();
    made.push(database);
    return database.url;
  };
  const receipt = async (url: string): Promise<string> =>
    await ok(url, 'receipt', 'get', 'r-7', '--tenant', 'acme', '--json');

  before(async () => {
    lost = await freshDatabase();
    await ok(lost.url, 'migrate');
    const receipts = Array.from({ length: 300 }, (_, index) =>
      JSON.stringify({
        id: `r-${index}`,
        action: 'db.export',
        actor: 'alice',
        decision: 'allow',
        created_at: '2026-11-21T09:00:00Z',
      }),
    );
    writeFileSync(join(folder, 'receipts.ndjson'), `${receipts.join('\n')}\n`);
    for (const tenant of ['acme', 'globex']) {
      await ok(lost.url, 'tenant', 'create', tenant);
      await ok(lost.url, 'ingest', join(folder, 'receipts.ndjson'), '--tenant', tenant);
    }
  });
  after(async () => {
    rmSync(folder, { recursive: true });
    rmSync(dirname(dataDir), { recursive: true, force: true });
    for (const database of [...made, lost]) await database?.[Symbol.asyncDispose]();
  });

  it('from exports: proved, the same receipts, read models folded; refused into what has facts', async () => {
    for (const args of linesOf('lost')) await ok(lost.url, ...args);
    const url = await empty();
    const [restore = [], ...others] = linesOf('new');
    const said = JSON.parse(await ok(url, ...restore, '--json')) as object;
    expect(said).to.deep.include({ ok: true, resumed: false, tenants: 2, facts: 602, restored: 602 });
    for (const args of others) await ok(url, ...args);
    expect(await receipt(url)).to.equal(await receipt(lost.url));
    expect(await ok(url, 'sql', 'SELECT count(*) AS n FROM views.receipts', '--json')).to.match(/600/);
    const { code, stderr } = await cli(url, ...restore);
    expect([code, stderr]).to.deep.equal([1, stderr]);
    expect(stderr).to.match(/has a ledger already, with 2 tenants/);
    const both = await cli(url, 'restore', folder, '--from', 'kafka');
    expect([both.code, both.stderr]).to.deep.equal([2, both.stderr]);
  });

  it('into another database: the same; run again it finds nothing to do and says why', async () => {
    const url = await empty();
    const [[name = '', ...args] = []] = linesOf('copy');
    const named = args.map((each) => (each.startsWith('postgres://') ? url : each));
    const said = JSON.parse(await ok(lost.url, name, ...named, '--json')) as object;
    expect(said).to.deep.equal({ ok: true, copied: 602, facts: 602, tenants: 2 });
    await ok(url, 'verify', 'all');
    expect(await receipt(url)).to.equal(await receipt(lost.url));
    const again = await cli(lost.url, name, ...named);
    expect([again.code, again.stderr]).to.deep.equal([1, again.stderr]);
    expect(again.stderr).to.match(/has a ledger already/);
    const nowhere = await cli(lost.url, name, '--from', 'postgres', '--to', 'eventstore');
    expect([nowhere.code, nowhere.stderr]).to.deep.equal([2, nowhere.stderr]);
    expect(nowhere.stderr).to.match(/set EVENTSTORE_URL/);
  });

  it('from Kafka: the same', async function () {
    const pair = await kafkaPair(this);
    const { connection, schemas } = await ledgerTopics(pair);
    const prefix = connection.topic('');
    const ending = new AbortController();
    const pool = connect({ url: lost.url, max: 6, role: RUNTIME_ROLE });
    await using stack = new AsyncDisposableStack();
    stack.defer(() => pool.end());
    const store = stack.use(await postgresStreamStore({ pool, ...testSigner() }));
    const feed = stack.use(postgresStreamFeed({ pool }));
    const over = relayLedger({
      connection,
      schemas,
      databases: oneDatabase(pool),
      store,
      feed,
      signal: ending.signal,
      headsEveryMs: 50,
    });
    const topic = kafkaConnection({ brokers: [pair.broker], topicPrefix: prefix }).topic(EVENTS_TOPIC);
    for (const deadline = Date.now() + 120_000; Date.now() < deadline; await pause(20))
      if ((await relayLag(oneDatabase(pool), topic)).facts === 0) break;
    ending.abort();
    await over;
    environment = {
      PROV_LEDGER_KAFKA_BROKERS: pair.broker,
      PROV_LEDGER_REGISTRY_URL: pair.registryUrl,
      PROV_LEDGER_KAFKA_PREFIX: prefix,
    };
    const url = await empty();
    const [restore = [], ...others] = linesOf('kafka');
    const said = JSON.parse(await ok(url, ...restore, '--json')) as object;
    expect(said).to.deep.include({ ok: true, tenants: 2, facts: 602, unsigned: [] });
    for (const args of others) await ok(url, ...args);
    expect(await receipt(url)).to.equal(await receipt(lost.url));
  });
});
