// The graph beside the tables, in a service: it follows the ledger, lags while Neo4j is away without anybody else
// waiting, and catches up by itself.
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { keepAttested } from '#deploy/processes/keepers/attest-keeper.ts';
import { type GraphKeeper, keepGraph } from '#deploy/processes/keepers/graph-keeper.ts';
import type { WiredLedger } from '#deploy/processes/ledger/wire.ts';
import { projectors } from '#projectors/index.ts';
import { connectGraph, type Graph } from '#projectors/neo4j/connect.ts';
import { postgresRowSink } from '#projectors/postgres/sink.ts';
import { runProjectors } from '#projectors/run.ts';
import { streamName } from '#schemas/ids.ts';
import { decodeFact } from '#schemas/index.ts';
import { oneDatabase } from '#streams/postgres/databases.ts';
import { postgresStreamFeed } from '#streams/postgres/feed.ts';
import { type PostgresStore, postgresStreamStore } from '#streams/postgres/store.ts';
import type { StreamFeed } from '#streams/stream.ts';
import { page } from '#test/docs/pages.ts';
import { type TcpProxy, tcpProxy } from '#test/faults/tcp-proxy.ts';
import { testNeo4j } from '#test/support/neo4j.ts';
import { testSigner } from '#test/support/test-signer.ts';
import { ACME, type ProjectionDatabase, projectionDatabase } from '../../../projectors/chains.ts';
import { appendReceipts, openTenant } from '../../../projectors/ledger-facts.ts';
import { emptyGraph } from '../../../projectors/neo4j/graph-database.ts';

describe('the graph that a service keeps', function () {
  this.timeout(120_000);
  let db: ProjectionDatabase;
  let store: PostgresStore;
  let feed: StreamFeed;
  let proxy: TcpProxy;
  let graph: Graph;
  /** Past the proxy, and as patient as may be with a server that has just started. */
  let direct: Graph;
  let keeper: GraphKeeper;
  let ledger: WiredLedger;
  const said: string[] = [];

  before(async function () {
    direct = await emptyGraph(this);
    proxy = await tcpProxy({ port: Number(new URL((await testNeo4j(this)).url).port) });
    graph = connectGraph({ url: `bolt://127.0.0.1:${proxy.port}`, silenceMs: 6_000 });
    db = await projectionDatabase(projectors);
    store = await postgresStreamStore({ pool: db.pool, signer: testSigner().signer });
    feed = postgresStreamFeed({ pool: db.pool, pollMs: 50 });
    await openTenant(store, ACME);
    const databases = oneDatabase(db.pool);
    ledger = { store, feed, pool: db.pool, databases } as unknown as WiredLedger;
    keeper = keepGraph({
      ledger,
      graph,
      log: (_level, text) => void said.push(text),
      project: true,
      attestSeconds: 0,
    });
  });
  after(async () => {
    await keeper?.[Symbol.asyncDispose]();
    await graph?.[Symbol.asyncDispose]();
    await direct?.[Symbol.asyncDispose]();
    await proxy?.[Symbol.asyncDispose]();
    await feed?.[Symbol.asyncDispose]();
    await store?.[Symbol.asyncDispose]();
    await db?.[Symbol.asyncDispose]();
  });

  const up = (): number => keeper.figures[0]?.read()[0]?.value ?? -1;
  const lagFacts = (): number => keeper.lag()[0]?.lagFacts ?? Number.NaN;
  const until = async (what: string, done: () => boolean | Promise<boolean>): Promise<void> => {
    for (let look = 0; look < 900; look += 1) {
      if (await done()) return;
      await pause(100);
    }
    expect.fail(`never: ${what}; it said ${said.slice(-5).join('; ')}`);
  };
  const receipts = async (): Promise<number> => {
    const [row] = await direct.query('MATCH (r:Receipt {tenant: "acme"}) RETURN toString(count(r)) AS n');
    return Number(row?.['n']);
  };

  it('follows the ledger', async () => {
    await appendReceipts(store, ACME, { from: 2, count: 20 });
    await until('20 receipts', async () => (await receipts()) === 20);
    await until('no lag', () => up() === 1 && lagFacts() === 0);
  });

  it('lags while Neo4j is away, and the ledger takes facts all the same', async () => {
    proxy.turn('refusing');
    await appendReceipts(store, ACME, { from: 22, count: 30 });
    await until('a lag of 30', () => up() === 0 && lagFacts() === 30);
    expect(keeper.lag()[0]).to.include({ projection: 'receipts_graph', haltedTenants: 0 });
  });

  it('catches up by itself, each fact once', async () => {
    proxy.turn('open');
    await until('50 receipts', async () => (await receipts()) === 50);
    await until('no lag', () => up() === 1 && lagFacts() === 0);
    const [edges] = await direct.query(
      'MATCH (:Receipt)-[e:ASKED_BY]->(:Actor) RETURN toString(count(e)) AS n',
    );
    expect(edges?.['n']).to.equal('50');
  });

  it('is away as well when it falls silent without a word, and is asked anew when it is back', async () => {
    proxy.turn('dark');
    await appendReceipts(store, ACME, { from: 52, count: 10 });
    await until('it counts as away', () => up() === 0 && lagFacts() === 10);
    proxy.turn('open');
    await until('60 receipts', async () => (await receipts()) === 60);
    await until('no lag', () => up() === 1 && lagFacts() === 0);
  });

  it('is compared with the tables without end: a change by hand is found, and put on record once it is', async () => {
    const { signal } = new AbortController();
    await runProjectors({
      feed,
      sink: postgresRowSink({ pool: db.pool }),
      projectors,
      signal,
      untilCaughtUp: true,
    });
    await using attested = keepAttested({ ledger, graph, log: () => undefined, cycleMs: 400 });
    const divergence = (): number => attested.figures[0]?.read()[0]?.value ?? -1;
    const verdicts = async (): Promise<readonly string[]> =>
      (await store.readStream(ACME, streamName('attestations', 'receipts'))).flatMap((recorded) => {
        const { type, data } = decodeFact(recorded);
        return type === 'attestations.AttestationRecorded' ? [data.verdict] : [];
      });
    await until('two clean ones', async () => (await verdicts()).length === 2);
    const edit = (to: string) =>
      direct.query("MATCH (r:Receipt {tenant: 'acme', receipt_id: 'r-9'}) SET r.action = $to", { to });
    await edit('edited');
    await until('one difference', () => divergence() === 1);
    await until('on record', async () => (await verdicts()).includes('divergent'));
    for (const how of ['refusing', 'dark'] as const) {
      const before = (await verdicts()).length;
      proxy.turn(how);
      await pause(500);
      expect((await verdicts()).length, `a store that is ${how} is no difference`).to.be.at.most(before + 1);
      proxy.turn('open');
    }
    await edit('db.export');
    await until('none', () => divergence() === 0);
    await until('clean again, twice', async () => (await verdicts()).slice(-2).join() === 'clean,clean');
    const all = await verdicts();
    expect(all.slice(0, 2)).to.deep.equal(['clean', 'clean']);
    const shown = attested.figures.map(({ name }) => name);
    for (const path of ['deploy/dashboards/prov-ledger.json', 'deploy/alerts/prov-ledger.yml']) {
      const named = page(path).match(/\battest_[a-z_]+/g) ?? [];
      expect(named, path).to.include('attest_divergence_count');
      expect(shown, path).to.include.members([...new Set(named)]);
    }
    const coverage = attested.figures.find(({ name }) => name === 'attest_coverage_pct')?.read();
    expect(coverage?.map(({ labels }) => labels)).to.deep.equal([{ tenant: 'acme' }]);
  });

  it('has figures of as many tenants as are wanted; the others are one', async () => {
    await using attested = keepAttested({ ledger, graph, log: () => undefined, cycleMs: 400, namesMax: 0 });
    await until('a figure', () => (attested.figures[0]?.read().length ?? 0) > 0);
    expect(
      attested.figures.flatMap(({ read }) => read().map(({ labels }) => labels?.['tenant'])),
    ).to.deep.equal(Array.from({ length: 4 }, () => 'other'));
  });
});
