// The list from the read model against the same question asked of the store, receipt by receipt.
import { expect } from 'chai';
import { projectors } from '#projectors/index.ts';
import { type ReceiptQuestion, receiptList } from '#projectors/postgres/receipt-list.ts';
import { postgresRowSink } from '#projectors/postgres/sink.ts';
import { runProjectors } from '#projectors/run.ts';
import { factId, type Instant, type Seq, type TenantId, tenantId } from '#schemas/ids.ts';
import { postgresStreamFeed } from '#streams/postgres/feed.ts';
import { postgresStreamStore } from '#streams/postgres/store.ts';
import { listedFrom } from '#test/gateway/http/listed-receipts.ts';
import { testSigner } from '#test/support/test-signer.ts';
import { projectionDatabase } from '../chains.ts';

const START = Date.UTC(2026, 10, 3) as Instant;

const draft = (tenant: TenantId, place: number) => {
  const occurredAt = (START + ((place * 7) % 40) * 60_000) as Instant;
  const data =
    place === 1
      ? { display_name: tenant, tenant }
      : {
          action: `action-${place % 3}`,
          actor: `actor-${place % 4}`,
          created_at: new Date(occurredAt).toISOString(),
          decision: place % 5 ? 'allow' : 'deny',
          id: `r-${place}`,
          ...(place % 6 === 0 && { op_id: `op-${place % 4}`, evidence_hash: `sha256:${'0'.repeat(64)}` }),
          tenant,
        };
  return {
    id: factId(`00000000-0000-7000-8000-${place.toString(16).padStart(12, '0')}`),
    type: place === 1 ? 'tenants.TenantCreated' : 'receipts.ReceiptRecorded',
    schemaVersion: place === 1 ? 1 : 3,
    payload: JSON.stringify(data),
    occurredAt,
    actor: 'test',
  };
};

describe('projectors/postgres: the list of receipts', () => {
  it('is what the store says, for every filter, order and page', async () => {
    await using db = await projectionDatabase(projectors);
    await using store = await postgresStreamStore({ pool: db.pool, signer: testSigner().signer });
    await using feed = postgresStreamFeed({ pool: db.pool, pollMs: 50 });
    const tenants = ['acme', 'globex'].map(tenantId);
    for (const tenant of tenants) {
      await store.append({ tenant, drafts: [draft(tenant, 1)], expect: { kind: 'new-tenant' } });
      const drafts = Array.from({ length: 60 }, (_, index) => draft(tenant, index + 2));
      await store.append({ tenant, drafts, expect: { kind: 'any' } });
    }
    const list = receiptList(db.pool);
    const [acme = tenantId('acme')] = tenants;
    expect(await list({ tenant: acme, order: 'newest', limit: 5 })).to.deep.equal({
      receipts: [],
      asOfSeq: 0,
    });
    const signal = new AbortController().signal;
    await runProjectors({
      feed,
      sink: postgresRowSink({ pool: db.pool }),
      projectors,
      signal,
      untilCaughtUp: true,
    });
    const filters: readonly Partial<ReceiptQuestion>[] = [
      {},
      { actor: 'actor-2' },
      { action: 'action-1', decision: 'deny' },
      { opId: 'op-2' },
      { evidenceHash: `sha256:${'0'.repeat(64)}` },
      { createdFrom: (START + 600_000) as Instant, createdBefore: (START + 1_200_000) as Instant },
      { after: 31 as Seq },
      { actor: "'; DROP TABLE x --" },
    ];
    let seen = 0;
    for (const tenant of tenants)
      for (const order of ['newest', 'oldest'] as const)
        for (const limit of [1, 7, 500])
          for (const filter of filters) {
            const question = { tenant, order, limit, ...filter };
            const answer = await list(question);
            expect(answer, JSON.stringify(question)).to.deep.equal(await listedFrom(store)(question));
            seen += answer.receipts.length;
          }
    expect(seen).to.be.greaterThan(500);
  });
});
