// The read models behind the ledger itself: facts appended through the store, delivered by its feed.
import { expect } from 'chai';
import { projectors } from '#projectors/index.ts';
import { postgresRowSink } from '#projectors/postgres/sink.ts';
import { projectionStatus } from '#projectors/postgres/status.ts';
import { type Halt, runProjectors } from '#projectors/run.ts';
import { type TenantId, tenantId } from '#schemas/ids.ts';
import { oneDatabase } from '#streams/postgres/databases.ts';
import { postgresStreamFeed } from '#streams/postgres/feed.ts';
import { postgresStreamStore } from '#streams/postgres/store.ts';
import { testSigner } from '#test/support/test-signer.ts';
import { projectionDatabase } from './chains.ts';
import { appendReceipts, openTenant } from './ledger-facts.ts';

describe('the read models behind the ledger', () => {
  it('follow it live, through old tenants and new ones, and after a restart', async () => {
    await using db = await projectionDatabase(projectors);
    await using store = await postgresStreamStore({ pool: db.pool, signer: testSigner().signer });
    await using feed = postgresStreamFeed({ pool: db.pool, pollMs: 50 });
    const sink = postgresRowSink({ pool: db.pool });
    const halts: Halt[] = [];
    const tenants = ['acme', 'globex', 'initech'].map(tenantId);
    const start = (): { readonly stop: () => Promise<void> } => {
      const signal = new AbortController();
      const running = runProjectors({
        feed,
        sink,
        projectors,
        signal: signal.signal,
        batchSize: 7,
        onHalt: (halt) => halts.push(halt),
      });
      return { stop: () => (signal.abort(), running) };
    };
    const caughtUp = async (facts: number): Promise<void> => {
      for (let look = 0; look < 400; look += 1) {
        const all = await projectionStatus(oneDatabase(db.pool));
        const total = all.reduce((sum, { asOfSeq }) => sum + asOfSeq, 0);
        if (total === facts * projectors.length && all.every(({ state }) => state === 'current')) return;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      expect.fail(`not caught up: ${JSON.stringify(await projectionStatus(oneDatabase(db.pool)))}`);
    };

    for (const tenant of tenants.slice(0, 2)) await openTenant(store, tenant);
    await appendReceipts(store, tenants[0] as TenantId, { from: 2, count: 50 });
    const first = start();
    await caughtUp(52);
    await openTenant(store, tenants[2] as TenantId);
    await Promise.all(
      tenants.slice(1).map((tenant) => appendReceipts(store, tenant, { from: 2, count: 30 })),
    );
    await caughtUp(113);
    await first.stop();
    await appendReceipts(store, tenants[0] as TenantId, { from: 52, count: 9 });
    const second = start();
    await caughtUp(122);
    await second.stop();

    expect(halts).to.deep.equal([]);
    const { rows } = await db.pool.query(
      `SELECT t.tenant, t.receipts, (SELECT count(*) FROM views.receipts r WHERE r.tenant = t.tenant) AS listed,
              (SELECT sum(d.receipts) FROM views.receipts_daily d WHERE d.tenant = t.tenant)::bigint AS counted FROM views.tenants t ORDER BY 1`,
    );
    expect(rows).to.deep.equal([
      { tenant: 'acme', receipts: 59, listed: 59, counted: 59 },
      { tenant: 'globex', receipts: 30, listed: 30, counted: 30 },
      { tenant: 'initech', receipts: 30, listed: 30, counted: 30 },
    ]);
  });
});
