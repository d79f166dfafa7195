// prov-ledger attest and graph on real stores: equal, made to differ, found and put on record, rebuilt, equal again.
import { expect } from 'chai';
import { type BackfillOptions, backfill } from '#gateway/attestation/backfill.ts';
import { catalog, type Mapping } from '#projectors/attestation/catalog.ts';
import { graphProjectors } from '#projectors/graph/index.ts';
import { projectors } from '#projectors/index.ts';
import { attestedGraph } from '#projectors/neo4j/attested.ts';
import type { Graph } from '#projectors/neo4j/connect.ts';
import { ensureGraph } from '#projectors/neo4j/schema.ts';
import { neo4jSink } from '#projectors/neo4j/sink.ts';
import { attestedTables } from '#projectors/postgres/attested.ts';
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

  describe('backfill', () => {
    const filled = async () =>
      (await store.readStream(ACME, streamName('attestations', 'receipts'))).flatMap((recorded) => {
        const { type, data } = decodeFact(recorded);
        return type === 'attestations.BackfillCompleted' ? [data] : [];
      });
    const spans = async () =>
      (await store.readStream(ACME, streamName('attestations', 'receipts'))).flatMap((recorded) => {
        const { type, data } = decodeFact(recorded);
        return type === 'attestations.SpanDigested' ? [[data.from_seq, data.to_seq, data.operations]] : [];
      });
    const filling = (over: Partial<BackfillOptions> = {}) => {
      const mapping = catalog[0] as Mapping;
      return backfill({
        store,
        tenant: ACME,
        mapping,
        left: attestedTables({ pool: db.pool, mapping }),
        right: attestedGraph({ graph, projector: mapping.graph }),
        author: { actor: 'test', at: (at += 1_000) as never },
        signal: new AbortController().signal,
        ...over,
      });
    };

    it('goes on after the last span on record, wherever it was cut off', async () => {
      await both();
      const stopping = new AbortController();
      const cut = await filling({
        spanFacts: 16,
        signal: stopping.signal,
        onProgress: ({ done }) => done >= 48 && stopping.abort(),
      });
      expect(cut).to.deep.equal({ kind: 'interrupted' });
      expect(await spans()).to.deep.equal([
        [1, 16, 15],
        [17, 32, 16],
        [33, 48, 16],
      ]);
      expect(await filled(), 'nothing is held to a half').to.deep.equal([]);
    });

    it('refuses while a store holds something else than the ledger says, and names the store and the place', async () => {
      await graph.query("MATCH (r:Receipt {tenant: 'acme', receipt_id: 'r-20'}) SET r.decision = 'maybe'");
      const { code, stdout } = await cli('attest', 'backfill', 'receipts', '--tenant', 'acme');
      expect(code).to.equal(1);
      expect(stdout).to.include(
        'value: Receipt r-20, decision: text:allow by the ledger, text:maybe in neo4j',
      );
      expect(stdout).to.include('-> prov-ledger graph rebuild receipts_graph');
      await db.owner.query("UPDATE projections.receipts_v1 SET decision = 'maybe' WHERE receipt_id = 'r-20'");
      const alike = await cli('attest', 'run', 'acme', '--no-record', '--json');
      expect(JSON.parse(alike.stdout).attestations[0], 'the two agree').to.include({ verdict: 'clean' });
      const both = await cli('attest', 'backfill', 'receipts', '--tenant', 'acme', '--json');
      expect(both.code, 'and both are wrong').to.equal(1);
      expect(JSON.parse(both.stdout).wrong.map((each: { store: string }) => each.store)).to.deep.equal([
        'postgres',
        'neo4j',
      ]);
      await db.owner.query("UPDATE projections.receipts_v1 SET decision = 'allow' WHERE receipt_id = 'r-20'");
      await graph.query("MATCH (r:Receipt {tenant: 'acme', receipt_id: 'r-20'}) SET r.decision = 'allow'");
      expect(await filled()).to.deep.equal([]);
    });

    it('finds what no fact brought in', async () => {
      await graph.query("CREATE (:Actor {tenant: 'acme', name: 'nobody', seq: 100000})");
      const stray = await filling();
      expect(stray).to.have.nested.property('wrong[0].differences[0].element', '["Actor","nobody",""]');
      await graph.query("MATCH (a:Actor {name: 'nobody'}) DELETE a");
    });

    it('is on record once, and again after the next difference', async () => {
      const { code, stdout, stderr } = await cli('attest', 'backfill', 'receipts', '--tenant', 'acme');
      expect(code, `${stdout}${stderr}`).to.equal(0);
      expect(stdout).to.include('100 operations');
      const [first] = await filled();
      expect(first?.operations).to.equal(100);
      expect((await cli('attest', 'backfill', 'receipts', '--tenant', 'acme')).stdout).to.include(
        'earlier run',
      );
      expect(await filled()).to.have.length(1);
      const before = await spans();
      expect(before.map(([from]) => from)).to.deep.equal([
        1,
        ...before.slice(0, -1).map(([, to]) => (to ?? 0) + 1),
      ]);
      await both();
      await graph.query("MATCH (r:Receipt {tenant: 'acme', receipt_id: 'r-20'}) SET r.decision = 'maybe'");
      await cli('attest', 'run', 'acme');
      await graph.query("MATCH (r:Receipt {tenant: 'acme', receipt_id: 'r-20'}) SET r.decision = 'allow'");
      await both();
      expect(await filling()).to.include({ kind: 'recorded', operations: 100 });
      expect(await filled()).to.have.length(2);
    });

    it('keeps to a rate', async () => {
      const from = performance.now();
      const gone: number[] = [];
      await filling({ factsPerSecond: 400, onProgress: ({ done }) => gone.push(done) });
      expect(performance.now() - from).to.be.at.least(((gone.at(-1) ?? 0) * 1_000) / 400 - 1);
      expect(gone.at(-1)).to.be.greaterThan(100);
    });

    it('says what is not in the catalog', async () => {
      const { code, stderr } = await cli('attest', 'backfill', 'nope', '--tenant', 'acme');
      expect(code).to.equal(2);
      expect(stderr).to.include('the mapper catalog has no route nope; it has receipts');
    });
  });

  it('says which writes are attested', async () => {
    const { stdout } = await cli('attest', 'coverage');
    expect(stdout).to.match(/^100 %: (\d+) of \1 write operations are attested\n/);
    expect(stdout).to.include('puts nothing on record: pauseProjection').and.not.include('not attested');
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
