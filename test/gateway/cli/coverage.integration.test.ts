import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { projectors } from '#projectors/index.ts';
import { instantText, type Seq } from '#schemas/ids.ts';
import { oneDatabase } from '#streams/postgres/databases.ts';
import { type PostgresStore, postgresStreamStore } from '#streams/postgres/store.ts';
import { testSigner } from '#test/support/test-signer.ts';
import { ACME, type ProjectionDatabase, projectionDatabase } from '../../projectors/chains.ts';
import { appendReceipts, openTenant } from '../../projectors/ledger-facts.ts';
import { type Ran, runIn } from './world.ts';

describe('prov-ledger coverage report', function () {
  this.timeout(60_000);
  let db: ProjectionDatabase;
  let store: PostgresStore;
  let out: string;
  let recordedAt: number;

  before(async () => {
    db = await projectionDatabase(projectors);
    store = await postgresStreamStore({ pool: db.pool, signer: testSigner().signer });
    out = join(mkdtempSync(join(tmpdir(), 'prov-ledger-coverage-')), 'coverage');
    await openTenant(store, ACME);
    await appendReceipts(store, ACME, { from: 2, count: 99 });
    for await (const page of store.read(ACME, { to: 1 as Seq })) recordedAt = page[0]?.recordedAt ?? 0;
  });
  after(async () => {
    await store?.[Symbol.asyncDispose]();
    await db?.[Symbol.asyncDispose]();
    if (out) rmSync(join(out, '..'), { recursive: true, force: true });
  });

  const DAY_MS = 86_400_000;
  const dateOf = (at: number): string => instantText(at as never).slice(0, 10);
  const report = async (daysLater: number, ...argv: readonly string[]): Promise<Ran> =>
    await runIn(
      { store, feed: undefined as never, keys: [] },
      ['coverage', 'report', '--out', out, ...argv],
      {
        clock: () => (recordedAt + daysLater * DAY_MS) as never,
        open: async () =>
          ({ store, databases: oneDatabase(db.pool), [Symbol.asyncDispose]: async () => undefined }) as never,
      },
    );
  const fileOf = (at: number): string => join(out, `coverage-${dateOf(at).replaceAll('-', '')}.json`);

  it('writes yesterday, for every tenant, and the same bytes when it is run again', async () => {
    const { code, stderr, stdout } = await report(1);
    expect(code, stderr).to.equal(0);
    expect(stdout).to.match(/^\d{4}-\d\d-\d\d: 100 %, (\d+) of \1 write operations attested -> /);
    const text = readFileSync(fileOf(recordedAt), 'utf8');
    const { date, coverage, tenants } = JSON.parse(text);
    expect(date).to.equal(dateOf(recordedAt));
    expect(coverage.uncovered).to.deep.equal([]);
    expect(tenants).to.have.length(1);
    // The day may end between the first fact and the last.
    expect(tenants[0].tenant).to.equal('acme');
    expect(tenants[0].facts).to.be.within(1, 100);
    expect(tenants[0].routes[0]).to.deep.include({ write_path: 'open', divergent: null });
    expect(tenants[0].difference).to.equal(null);
    await report(1);
    expect(readFileSync(fileOf(recordedAt), 'utf8')).to.equal(text);
  });

  it('says what changed since the day before', async () => {
    expect((await report(3, '--date', dateOf(recordedAt + DAY_MS))).code).to.equal(0);
    const [before] = JSON.parse(readFileSync(fileOf(recordedAt), 'utf8')).tenants;
    const [tenant] = JSON.parse(readFileSync(fileOf(recordedAt + DAY_MS), 'utf8')).tenants;
    expect(tenant.facts + before.facts).to.be.within(100, 101);
    expect(tenant.difference).to.deep.include({ facts: tenant.facts - before.facts, alarms: 0 });
  });

  it('says what is wrong: a day that is not over, no date, a damaged report before', async () => {
    const today = await report(0, '--date', dateOf(recordedAt));
    expect(today.stderr).to.include('is not over yet in UTC');
    const none = await report(1, '--date', 'yesterday');
    expect(none.stderr).to.include('use a date like 2026-11-20');
    writeFileSync(fileOf(recordedAt), '{}');
    const damaged = await report(3, '--date', dateOf(recordedAt + DAY_MS));
    expect(damaged.stderr).to.match(/coverage-\d{8}\.json is no coverage report; make it anew/);
    expect([today.code, none.code, damaged.code]).to.deep.equal([2, 2, 2]);
  });
});
