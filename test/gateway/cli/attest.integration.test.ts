// prov-ledger attest and graph on real stores: equal, made to differ, found and put on record, rebuilt, equal again.
import { expect } from 'chai';
import { graphProjectors } from '#projectors/graph/index.ts';
import { projectors } from '#projectors/index.ts';
import type { Graph } from '#projectors/neo4j/connect.ts';
import { ensureGraph } from '#projectors/neo4j/schema.ts';
import { neo4jSink } from '#projectors/neo4j/sink.ts';
import { postgresRowSink } from '#projectors/postgres/sink.ts';
import { runProjectors } from '#projectors/run.ts';
import { streamName } from '#schemas/ids.ts';
import { decodeFact } from '#schemas/index.ts';
import { postgresStreamFeed } from '#streams/postgres/feed.ts';
import { type PostgresStore, postgresStreamStore } from '#streams/postgres/store.ts';
import type { StreamFeed } from '#streams/stream.ts';
import { testSigner } from '#test/support/test-signer.ts';
import { ACME, type ProjectionDatabase, projectionDatabase } from '../../projectors/chains.ts';
import { appendReceipts, openTenant } from '../../projectors/ledger-facts.ts';
import { emptyGraph } from '../../projectors/neo4j/graph-database.ts';
import { type Ran, runIn } from './world.ts';

describe('gateway/cli attest and graph', function () {
  this.timeout(120_000);
  let db: ProjectionDatabase;
  let store: PostgresStore;
  let feed: StreamFeed;
  let graph: Graph;

  before(async function () {
    graph = await emptyGraph(this);
    await ensureGraph(graph, graphProjectors);
    db = await projectionDatabase(projectors);
    store = await postgresStreamStore({ pool: db.pool, signer: testSigner().signer });
    feed = postgresStreamFeed({ pool: db.pool, pollMs: 50 });
    await openTenant(store, ACME);
    await appendReceipts(store, ACME, { from: 2, count: 100 });
  });
  after(async () => {
    await feed?.[Symbol.asyncDispose]();
    await store?.[Symbol.asyncDispose]();
    await db?.[Symbol.asyncDispose]();
    await graph?.[Symbol.asyncDispose]();
  });

  let at = Date.UTC(2026, 10, 21, 10);
  const cli = async (...argv: readonly string[]): Promise<Ran> => {
    const ledger = { store, feed, keys: [] };
    return await runIn(ledger, argv, {
      clock: () => (at += 1_000) as never,
      open: async () =>
        ({
          ...ledger,
          pool: db.pool,
          graph: async () => graph,
          [Symbol.asyncDispose]: async () => undefined,
        }) as never,
    });
  };
  const run = () => ({ feed, signal: new AbortController().signal, untilCaughtUp: true });
  const tables = (): Promise<void> =>
    runProjectors({ ...run(), sink: postgresRowSink({ pool: db.pool }), projectors });
  const both = async (): Promise<void> => {
    await tables();
    await runProjectors({ ...run(), sink: neo4jSink({ graph }), projectors: graphProjectors });
  };
  const onRecord = async (): Promise<readonly string[]> =>
    (await store.readStream(ACME, streamName('attestations', 'receipts'))).map((recorded) => {
      const { type, data } = decodeFact(recorded);
      if (type === 'attestations.AttestationRecorded') return `${data.verdict} ${data.divergent}`;
      if (type === 'attestations.DriftLocated') return `${data.class} ${data.element} ${data.field}`;
      return type;
    });

  it('calls a store that has not begun a lag', async () => {
    expect((await cli('attest', 'status')).stdout).to.match(/acme\s+receipts\s+never/);
    const { code, stdout } = await cli('attest', 'run', 'acme');
    expect(stdout).to.include('not compared');
    expect(code).to.equal(0);
    expect(await onRecord(), 'neither has begun').to.deep.equal([]);
    await tables();
    expect((await cli('attest', 'run', 'acme')).stdout).to.include('postgres is at 101 and neo4j at 0');
    expect(await onRecord()).to.deep.equal(['lag 0']);
  });

  it('finds both equal', async () => {
    await both();
    expect((await cli('graph', 'status')).stdout).to.match(/acme\s+receipts_graph\s+current/);
    const { code, stdout, stderr } = await cli('attest', 'run');
    expect(`${stdout}${stderr}`).to.match(/receipts of acme at \d+: clean, 201 elements/);
    expect(code).to.equal(0);
    expect(await onRecord()).to.deep.equal(['lag 0', 'clean 0']);
  });

  it('finds what was changed in the graph, and puts it on record', async () => {
    await both();
    await graph.query("MATCH (r:Receipt {tenant: 'acme', receipt_id: 'r-50'}) SET r.decision = 'maybe'");
    await graph.query("MATCH (:Receipt {tenant: 'acme', receipt_id: 'r-60'})-[e:ASKED_BY]->() DELETE e");
    const { code, stdout, stderr } = await cli('attest', 'run', 'acme');
    expect(code, stderr).to.equal(1);
    expect(stdout)
      .to.match(/2 differences/)
      .and.to.include('value: Receipt r-50, decision: text:allow in the tables, text:maybe in the graph');
    expect(stdout).to.include('missing: ASKED_BY r-60 -> test');
    expect((await onRecord()).slice(2)).to.have.members([
      'divergent 2',
      'value ["Receipt","r-50",""] decision',
      'missing ["ASKED_BY","r-60","test"] undefined',
    ]);
    const status = await cli('attest', 'status', '--json');
    expect(status.code).to.equal(1);
    expect(JSON.parse(status.stdout).attestations[0]).to.include({ verdict: 'divergent', divergent: 2 });
  });

  it('finds them equal after the graph was rebuilt', async () => {
    const rebuilt = await cli('graph', 'rebuild', 'receipts_graph');
    expect(rebuilt.code, rebuilt.stderr).to.equal(0);
    await both();
    const { code, stdout } = await cli('attest', 'run', 'acme', '--no-record', '--json');
    expect(code).to.equal(0);
    expect(JSON.parse(stdout).attestations[0]).to.include({ verdict: 'clean', elements: 201 });
    expect((await onRecord()).filter((said) => said.startsWith('clean'))).to.have.length(1);
  });

  it('says which writes are attested', async () => {
    const { stdout } = await cli('attest', 'coverage');
    expect(stdout).to.match(/^\d+ %: 2 of \d+ write operations are attested\n/);
    expect(stdout).to.include('not attested: tenants.TokenIssued');
  });

  it('says what is missing: a graph, a name, a halt', async () => {
    const none = await cli('graph', 'rebuild', 'nope');
    expect(none.stderr).to.include('there is no graph nope; there are receipts_graph');
    const halted = await cli('graph', 'resume', 'receipts_graph', '--tenant', 'acme');
    expect(halted.stderr).to.include('has not halted');
    const away = await runIn({ store, feed, keys: [] }, ['graph', 'status']);
    expect(away.stderr).to.include('set NEO4J_URL');
    expect([none.code, halted.code, away.code]).to.deep.equal([2, 1, 2]);
  });
});
