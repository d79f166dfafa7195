// A fixture loaded into a real PostgreSQL and replayed from there comes to what the file comes to; what was tampered with in
// the store is named.
import { expect } from 'chai';
import { projections } from '#commands/projections.ts';
import { runCommand } from '#commands/run.ts';
import { exportLines } from '#gateway/export/chain-text.ts';
import { lineChunks } from '#gateway/ingest/chunks.ts';
import type { AnyProjector } from '#projectors/batch.ts';
import { PROJECTION_MIGRATIONS } from '#projectors/postgres/read-models.ts';
import { skipsIn } from '#projectors/rebuild/skips.ts';
import { jwks, keyFromJwk } from '#proofs/keys/public-key.ts';
import { exportFeed } from '#replay-harness/export-feed.ts';
import type { Expectation } from '#replay-harness/fixtures/format.ts';
import { recordFixture } from '#replay-harness/fixtures/record.ts';
import { type LedgerFeedOptions, ledgerFeed } from '#replay-harness/ledger-feed.ts';
import { LoadFault, loadFixture } from '#replay-harness/load.ts';
import { instant, type Seq, tenantId } from '#schemas/ids.ts';
import { connect, type Pool, RUNTIME_ROLE } from '#streams/postgres/connect.ts';
import { LEDGER_MIGRATIONS, migrate } from '#streams/postgres/migrate.ts';
import { postgresStreamStore } from '#streams/postgres/store.ts';
import { type FreshDatabase, freshDatabase } from '#test/support/postgres.ts';
import { testSigner } from '#test/support/test-signer.ts';
import { plantedProjector, replayBench } from './replayed.ts';

describe('a replay of a stored ledger', function () {
  this.timeout(120_000);
  const bench = replayBench();
  const { signer } = testSigner();
  let database: FreshDatabase;
  let owner: Pool;
  let pool: Pool;
  let store: Awaited<ReturnType<typeof postgresStreamStore>>;
  let text: string;
  let wanted: Expectation | undefined;

  const load = (fixture: string) =>
    loadFixture({
      pool,
      store,
      signer,
      pieces: lineChunks(
        (async function* () {
          yield Buffer.from(fixture);
        })(),
        { chunkBytes: 50_000 },
      ),
    });
  const feed = (options: Partial<LedgerFeedOptions> = {}) =>
    ledgerFeed({
      pool,
      url: database.url,
      ledgerId: store.ledgerId,
      keys: [signer.publicJwk],
      chunkFacts: 100,
      ...options,
    });

  before(async () => {
    database = await freshDatabase();
    owner = connect({ url: database.url, max: 2 });
    await migrate(owner, [LEDGER_MIGRATIONS, PROJECTION_MIGRATIONS]);
    pool = connect({ url: database.url, role: RUNTIME_ROLE });
    store = await postgresStreamStore({ pool, signer });
    text = bench.generate({ events: 1_500 });
    wanted = await load(text);
  });
  after(async () => {
    await store[Symbol.asyncDispose]();
    await pool.end();
    await owner.end();
    await database[Symbol.asyncDispose]();
  });

  it('comes to what the file comes to, with any chunks and threads', async () => {
    const { outcome } = await bench.replay(text);
    expect(wanted?.chains).to.deep.equal(outcome.chains);
    for (const [chunkFacts, workers] of [
      [7, 0],
      [100, 2],
      [5_000, 1],
    ] as const) {
      const stored = await bench.replay(await feed({ chunkFacts }), { workers });
      expect(stored.fault).to.equal(undefined);
      expect(stored.outcome.chains).to.deep.equal(outcome.chains);
      expect(stored.outcome.models).to.deep.equal(outcome.models);
    }
  });

  it('goes on from where it was stopped, at one position of the ledger', async () => {
    const stop = new AbortController();
    const first = await bench.replay(await feed(), { signal: stop.signal, onProgress: () => stop.abort() });
    expect(first.verdict).to.equal('interrupted');
    const second = await bench.replay(await feed(), { from: first.state });
    expect(second.outcome.chains).to.deep.equal(wanted?.chains);
    expect(second.outcome.models).to.deep.equal(wanted?.models);
  });

  it('takes no more than it is told, whole commit batches always', async () => {
    const { outcome, fault } = await bench.replay(await feed({ events: 10 }));
    expect(fault).to.equal(undefined);
    expect(outcome.facts).to.be.within(10, wanted?.facts ?? 0);
  });

  it('a fixture is loaded into an empty ledger only', async () => {
    const error = await load(text).catch((caught: unknown) => caught);
    expect(error).to.be.instanceOf(LoadFault);
  });

  it('a signature that does not hold is found, with a key that is not trusted as well', async () => {
    const other = testSigner().signer;
    const untrusted = await ledgerFeed({
      pool,
      url: database.url,
      ledgerId: store.ledgerId,
      keys: [other.publicJwk],
    });
    expect((await bench.replay(untrusted)).fault).to.include({ code: 'unsigned', seq: 1 });
  });

  it('passes over the facts that a tenant has decided to pass over', async () => {
    const poisoned = plantedProjector((_, { tenant, seq }) => {
      if (tenant === 'tenant-001' && seq >= 20 && seq <= 24) throw new Error('no such thing');
      return { value: String(seq) };
    });
    const halts = async (): Promise<readonly unknown[]> => {
      const options = { projectors: [poisoned], workers: 0 };
      return (await bench.replay(await feed({ skips: skipsIn(store) }), options)).halts;
    };
    const [halt] = (await halts()) as readonly { readonly seq: number }[];
    expect(halt).to.include({ tenant: 'tenant-001', projection: 'planted' });
    for (let seq = 20; seq <= 24; seq += 1)
      await runCommand(
        { store, decider: projections },
        { type: 'SkipFact', projection: 'planted', seq: seq as Seq, reason: 'a test' },
        {
          tenant: tenantId('tenant-001'),
          actor: 'test',
          at: instant('2027-01-01T00:00:00Z'),
          key: `skip ${seq}`,
        },
      );
    expect(await halts()).to.deep.equal([]);
    await expectSkipsRecorded(poisoned);
    await expectSkipsExported(poisoned);
  });

  /** A part of the chain that ends before the decisions is replayed as the whole is. */
  const expectSkipsRecorded = async (poisoned: AnyProjector): Promise<void> => {
    const texts = recordFixture({
      store,
      ranges: [{ tenant: tenantId('tenant-001'), from: 10 as Seq, to: 30 as Seq }],
      projectors: [poisoned],
      skips: skipsIn(store),
      folder: bench.folder,
    });
    const recorded = (await Array.fromAsync(texts)).join('');
    const replayed = await bench.replay(recorded, { projectors: [poisoned] });
    expect(replayed).to.deep.include({ verdict: 'sound', halts: [], compared: true });
    const forgotten = recorded.replace(/,"skips":[^\n]*\}\]/, '');
    expect((await bench.replay(forgotten, { projectors: [poisoned] })).verdict).to.equal('differs');
  };

  /** An export holds the decisions behind the facts that they are about. */
  const expectSkipsExported = async (poisoned: AnyProjector): Promise<void> => {
    const tenant = tenantId('tenant-001');
    const to = (await store.head(tenant))?.seq as Seq;
    const keys = [keyFromJwk(signer.publicJwk)];
    for (const from of [1, 8].map((seq) => seq as Seq)) {
      const texts = exportLines(store, { tenant, from, to, jwks: jwks(keys) });
      const lines = (await Array.fromAsync(texts)).join('').trimEnd().split('\n');
      const exported = exportFeed({
        name: 'test',
        keys,
        lines: async function* () {
          yield* lines;
        },
      });
      const { verdict, halts, outcome } = await bench.replay(exported, { projectors: [poisoned] });
      expect({ verdict, halts, facts: outcome.facts }).to.deep.equal({
        verdict: 'sound',
        halts: [],
        facts: to - from + 1,
      });
    }
  };

  describe('what was tampered with in the store is found and named', () => {
    const OF = "tenant_no = (SELECT tenant_no FROM ledger.heads WHERE tenant = 'tenant-001')";
    const facts = (change: string, seq: number): string =>
      `UPDATE ledger.facts SET ${change} WHERE ${OF} AND seq = ${seq}`;
    const payloadByte = (byte: string): string =>
      `payload = overlay(payload placing '${byte}'::bytea from 20)`;
    // The first fact of a range goes another way than those behind it.
    const tamperings: readonly [what: string, code: string, seq: number, change: readonly string[]][] = [
      ['a byte of a payload', 'hash-mismatch', 1, [facts(payloadByte('~'), 1)]],
      ['a byte of a payload behind the first', 'hash-mismatch', 30, [facts(payloadByte('~'), 30)]],
      ['a payload that is no UTF-8', 'hash-mismatch', 1, [facts(payloadByte('\\xff'), 1)]],
      ['a payload that is no UTF-8 behind the first', 'hash-mismatch', 30, [facts(payloadByte('\\xff'), 30)]],
      ['a hash', 'hash-mismatch', 30, [facts('hash = sha256(hash)', 30)]],
      ['a time', 'hash-mismatch', 30, [facts("occurred_at = occurred_at + interval '1 ms'", 30)]],
      ['an actor', 'hash-mismatch', 30, [facts("actor = 'nobody'", 30)]],
      [
        'a reordered pair',
        'hash-mismatch',
        30,
        [facts('seq = 1000000', 30), facts('seq = 30', 31), facts('seq = 31', 1_000_000)],
      ],
      ['a missing fact', 'seq-gap', 31, [`DELETE FROM ledger.facts WHERE ${OF} AND seq = 30`]],
      [
        'a signature',
        'unsigned',
        1,
        [
          `UPDATE ledger.batches SET signature = overlay(signature placing '\\x00'::bytea from 9)
           WHERE batch_no = (SELECT batch_no FROM ledger.facts WHERE ${OF} AND seq = 1)`,
        ],
      ],
    ];
    before(async () => {
      await owner.query('ALTER TABLE ledger.facts DISABLE TRIGGER immutable');
      await owner.query('ALTER TABLE ledger.batches DISABLE TRIGGER immutable');
      await owner.query('CREATE TABLE kept_facts AS SELECT * FROM ledger.facts');
      await owner.query('CREATE TABLE kept_batches AS SELECT * FROM ledger.batches');
    });
    afterEach(async () => {
      for (const table of ['facts', 'batches']) {
        await owner.query(`DELETE FROM ledger.${table}`);
        await owner.query(`INSERT INTO ledger.${table} SELECT * FROM kept_${table}`);
      }
    });
    for (const [what, code, seq, changes] of tamperings) {
      it(what, async () => {
        for (const change of changes) expect((await owner.query(change)).rowCount).to.equal(1);
        const { verdict, fault } = await bench.replay(await feed());
        expect(verdict).to.equal('unsound');
        expect(fault).to.include({ code, seq });
      });
    }

    it('and what was not is sound', async () => {
      expect(await bench.replay(await feed())).to.include({ verdict: 'sound', fault: undefined });
    });
  });
});
