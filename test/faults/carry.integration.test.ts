// `restore --from kafka`, `copy` and `tenant move` as processes that are killed wherever they are, and started again: in the
// end both stores hold the same facts, and every signature over them is sound.
import { rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { migrateDatabase } from '#deploy/processes/ledger/database.ts';
import { type LocalKeys, localKeys } from '#proofs/keys/local.ts';
import { tenantId } from '#schemas/ids.ts';
import { EVENTS_TOPIC, relayLedger } from '#streams/kafka/relay.ts';
import { connect, type Pool, RUNTIME_ROLE } from '#streams/postgres/connect.ts';
import { oneDatabase } from '#streams/postgres/databases.ts';
import { postgresStreamFeed } from '#streams/postgres/feed.ts';
import { postgresStreamStore } from '#streams/postgres/store.ts';
import { relayLag } from '#streams/postgres/transport/relayed.ts';
import type { Head } from '#streams/stream.ts';
import { append, drafts } from '#test/contracts/ledger-adapter.ts';
import { inProcess } from '#test/deploy/processes/in-process.ts';
import { dataFolder, endAll, type Program, start } from '#test/deploy/processes/program.ts';
import { kafkaPair } from '#test/support/kafka.ts';
import { expectLedgerSound } from '#test/support/ledger-sound.ts';
import { ledgerTopics } from '#test/support/ledger-topic.ts';
import { type FreshDatabase, freshDatabase } from '#test/support/postgres.ts';
import { createTenant } from '#test/support/transport.ts';

const TENANTS = ['acme', 'birch'].map(tenantId);
const FACTS = 4_000;
const APPENDED_AT_ONCE = 1_000;
/** Parts of all facts in the target, at which the process is killed; at the first it has its schema, and nothing else. */
const KILLED_AT = [0, 0.25, 0.5, 0.8];

type Environment = Readonly<Record<string, string>>;

describe('faults: what carries a ledger is killed and goes on', function () {
  this.timeout(400_000);
  const dataDir = dataFolder();
  const made: FreshDatabase[] = [];
  let source: FreshDatabase;
  let keys: LocalKeys;

  const empty = async (): Promise<FreshDatabase> => {
    const database = await freshDatabase();
    made.push(database);
    return database;
  };

  /** A store on the database, as a service has it. */
  const withLedger = async <T>(
    { url }: FreshDatabase,
    work: (ledger: {
      readonly pool: Pool;
      readonly store: Awaited<ReturnType<typeof postgresStreamStore>>;
    }) => Promise<T>,
  ): Promise<T> => {
    await using stack = new AsyncDisposableStack();
    const pool = connect({ url, max: 4, role: RUNTIME_ROLE, name: 'oracle' });
    stack.defer(() => pool.end());
    const store = stack.use(await postgresStreamStore({ pool, signer: keys.signer }));
    return await work({ pool, store });
  };

  before(async () => {
    keys = await localKeys({ folder: join(dataDir, 'keys') });
    source = await empty();
    await migrateDatabase(source.url);
    await withLedger(source, async ({ store }) => {
      for (const tenant of TENANTS) {
        await createTenant(store, tenant);
        for (let facts = 0; facts < FACTS; facts += APPENDED_AT_ONCE)
          await append(store, tenant, ...drafts(APPENDED_AT_ONCE));
      }
    });
  });
  after(async () => {
    await endAll();
    rmSync(dirname(dataDir), { recursive: true, force: true });
    for (const database of made) await database[Symbol.asyncDispose]();
  });

  const environment = ({ url }: FreshDatabase, more: Environment = {}): Environment => ({
    DATABASE_URL: url,
    PROV_LEDGER_DATA_DIR: dataDir,
    ...more,
  });

  /** Facts that a database holds, those nobody is shown yet too; -1 where it has no schema. */
  const factsIn = async (owner: Pool): Promise<number> => {
    const { rows } = await owner
      .query<{ facts: number }>('SELECT coalesce(sum(seq), 0)::int AS facts FROM ledger.heads')
      .catch(() => ({ rows: [] }));
    return rows[0]?.facts ?? -1;
  };

  /** SIGKILL once the condition holds; false when the process came to its end before that. */
  const killedWhen = async (program: Program, reached: () => Promise<boolean>): Promise<boolean> => {
    let over = false;
    void program.ended.then(() => {
      over = true;
    });
    while (!over && !(await reached())) await pause(5);
    program.child.kill('SIGKILL');
    await program.ended;
    return program.child.signalCode === 'SIGKILL';
  };

  /** Killed at each of the places, and then left alone; how often it was killed before its end. */
  const killedOnItsWay = async (
    target: FreshDatabase,
    begin: () => Program,
    total: number,
  ): Promise<number> => {
    const owner = connect({ url: target.url, max: 1, name: 'watching' });
    let kills = 0;
    try {
      for (const part of KILLED_AT)
        if (await killedWhen(begin(), async () => (await factsIn(owner)) >= part * total)) kills += 1;
    } finally {
      await owner.end();
    }
    const { code, stderr } = await begin().ended;
    // Where the last kill came too late there is nothing left to do, and it says so.
    if (code !== 0) expect(stderr).to.match(/has a ledger already/);
    return kills;
  };

  const headsOf = (database: FreshDatabase): Promise<readonly Head[]> =>
    withLedger(database, ({ store }) => store.heads());

  const expectEqual = async (target: FreshDatabase): Promise<void> => {
    expect(await headsOf(target)).to.deep.equal(await headsOf(source));
    await withLedger(target, ({ store }) => expectLedgerSound({ store, keys: keys.keys }));
  };

  const total = async (): Promise<number> => (await headsOf(source)).reduce((sum, { seq }) => sum + seq, 0);

  it('copy: killed again and again, the copy is whole in the end', async () => {
    const target = await empty();
    const begin = (): Program =>
      start('cli.ts', ['copy', '--quiet', '--from', 'postgres', '--to', target.url], {
        env: environment(source),
      });
    expect(await killedOnItsWay(target, begin, await total())).to.be.at.least(2);
    await expectEqual(target);
  });

  it('restore --from kafka: killed again and again, the ledger is whole in the end', async function () {
    const pair = await kafkaPair(this);
    this.timeout(400_000);
    const { connection, schemas } = await ledgerTopics(pair);
    await withLedger(source, async ({ pool, store }) => {
      await using feed = postgresStreamFeed({ pool });
      const ending = new AbortController();
      const databases = oneDatabase(pool);
      const over = relayLedger({ connection, schemas, databases, store, feed, signal: ending.signal });
      const left = async () => (await relayLag(databases, connection.topic(EVENTS_TOPIC))).facts;
      for (const deadline = Date.now() + 120_000; (await left()) > 0; await pause(50))
        expect(Date.now(), 'relayed in time').to.be.lessThan(deadline);
      ending.abort();
      await over;
    });
    const target = await empty();
    const env = environment(target, {
      PROV_LEDGER_KAFKA_BROKERS: pair.broker,
      PROV_LEDGER_REGISTRY_URL: pair.registryUrl,
      PROV_LEDGER_KAFKA_PREFIX: connection.topic(''),
    });
    const begin = (): Program => start('cli.ts', ['restore', '--quiet', '--from', 'kafka'], { env });
    expect(await killedOnItsWay(target, begin, await total())).to.be.at.least(2);
    await expectEqual(target);
  });

  it('tenant move: killed at each of its steps, the tenant is in one place and whole in the end', async () => {
    const home = await empty();
    const east = await empty();
    const env = environment(home, { PROV_LEDGER_SHARDS: `east=${east.url}` });
    const cli = async (...args: readonly string[]): Promise<string> => {
      const { code, stdout, stderr } = await inProcess(args, { env });
      expect(code, `${args.join(' ')}: ${stderr}`).to.equal(0);
      return stdout;
    };
    await cli('copy', '--quiet', '--from', source.url, '--to', 'postgres');
    await cli('migrate');
    const before = (await headsOf(home)).find(({ tenant }) => tenant === 'acme');
    let kills = 0;
    let [to, from] = ['east', 'home'];
    for (const step of ['the move is on record', 'its facts are there', 'closed', 'given it up']) {
      const program = start('cli.ts', ['tenant', 'move', 'acme', '--to', to], { env });
      const said = program.says(new RegExp(step)).then(
        () => true,
        () => true,
      );
      if (await killedWhen(program, () => Promise.race([said, pause(1, false)]))) kills += 1;
      const { code, stderr } = await inProcess(['tenant', 'move', 'acme', '--to', to], { env });
      // The kill may have come when all was done.
      if (code !== 0) expect(stderr).to.match(new RegExp(`acme is on ${to} already`));
      const there = (await headsOf(to === 'east' ? east : home)).find(({ tenant }) => tenant === 'acme');
      expect(there, `after a kill at "${step}"`).to.deep.equal(before);
      [to, from] = [from, to];
    }
    expect(kills).to.be.at.least(2);
    expect(await cli('tenant', 'list')).to.include('acme');
    await cli('verify', 'all');
  });
});
