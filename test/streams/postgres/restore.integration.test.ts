// A ledger that was dumped and restored goes on: heads, ids, batch numbers and claims are all in the rows.
import { expect } from 'chai';
import type { Seq } from '#schemas/ids.ts';
import { connect, type Pool, RUNTIME_ROLE } from '#streams/postgres/connect.ts';
import { LEDGER_MIGRATIONS, migrate } from '#streams/postgres/migrate.ts';
import { postgresStreamStore } from '#streams/postgres/store.ts';
import { acme, append, draft, drafts, factsOf, openTenants, other } from '#test/contracts/ledger-adapter.ts';
import { expectLedgerSound } from '#test/support/ledger-sound.ts';
import { freshDatabase } from '#test/support/postgres.ts';
import { testSigner } from '#test/support/test-signer.ts';
import { openPostgres, type PostgresUnderTest } from './postgres-adapter.ts';

const TABLES = ['identity', 'heads', 'batches', 'facts'] as const;

/** Rows only, as COPY moves them: what a restore without its sequences would leave. */
const copyRows = async (from: Pool, to: Pool): Promise<void> => {
  const session = await to.connect();
  await session.query('SET session_replication_role = replica');
  await session.query('DELETE FROM ledger.identity');
  for (const table of TABLES) {
    const { rows } = await from.query<{ row: string }>(`SELECT t::text AS row FROM ledger.${table} t`);
    const overriding = table === 'heads' ? 'OVERRIDING SYSTEM VALUE' : '';
    await session.query(
      `INSERT INTO ledger.${table} ${overriding} SELECT (r::ledger.${table}).* FROM unnest($1::text[]) AS r`,
      [rows.map(({ row }) => row)],
    );
  }
  await session.query('SET session_replication_role = origin');
  session.release();
};

const filled = async (): Promise<PostgresUnderTest> => {
  const ledger = await openPostgres();
  await openTenants(ledger.store, acme, other);
  for (let round = 0; round < 3; round += 1) {
    await Promise.all([append(ledger.store, acme, ...drafts(4)), append(ledger.store, other, ...drafts(2))]);
  }
  return ledger;
};

describe('a restored ledger', () => {
  for (const sequences of ['with its sequences', 'without its sequences (rows only)']) {
    it(`in a fresh database, ${sequences}: the chain goes on, claims are kept, new tenants can be opened`, async () => {
      await using before = await filled();
      const claimed = draft();
      const [stored] = factsOf(await append(before.store, acme, claimed));
      const heads = await before.store.heads();
      await using database = await freshDatabase();
      const owner = connect({ url: database.url, max: 2, name: 'owner' });
      const runtime = connect({ url: database.url, max: 4, role: RUNTIME_ROLE });
      await using pools = new AsyncDisposableStack();
      pools.defer(() => owner.end());
      pools.defer(() => runtime.end());
      await migrate(owner, [LEDGER_MIGRATIONS]);
      await copyRows(before.owner, owner);
      if (sequences === 'with its sequences') {
        const { rows } = await before.owner.query<{ last: number }>(
          'SELECT last_value AS last FROM ledger.batch_no',
        );
        await owner.query(
          `SELECT setval('ledger.batch_no', $1), setval(pg_get_serial_sequence('ledger.heads', 'tenant_no'), 2)`,
          [rows[0]?.last],
        );
      }
      const { signer, keys } = testSigner();
      await using store = await postgresStreamStore({
        pool: runtime,
        signer,
        clock: () => before.clock.now - 60_000,
      });
      expect(store.ledgerId).to.equal(before.store.ledgerId);
      expect(await store.heads()).to.deep.equal(heads);
      expect((await append(store, acme, claimed)).kind).to.equal('repeated');
      const [next] = factsOf(await append(store, acme, draft()));
      expect([next?.seq, next?.prevHash, next?.recordedAt]).to.deep.equal([
        (stored?.seq ?? 0) + 1,
        stored?.hash,
        stored?.recordedAt,
      ]);
      await openTenants(store, 'third' as typeof acme);
      expect((await append(store, other, ...drafts(3))).kind).to.equal('appended');
      const sound = await expectLedgerSound({ store, keys: [...keys, ...before.keys] });
      expect(sound).to.deep.include({ tenants: 3, facts: 2 + 18 + 1 + 1 + 1 + 3 });
    });
  }

  it('an old copy under a program that remembers later heads: nothing is stored on top of what is not there', async () => {
    await using ledger = await filled();
    const rolledBack = await ledger.store.head(acme);
    await append(ledger.store, acme, ...drafts(2));
    // What a restore of yesterday's copy does to a running program: its heads are behind what it remembers.
    await ledger.owner.query(`SET session_replication_role = replica;
      DELETE FROM ledger.facts f USING ledger.heads h WHERE h.tenant_no = f.tenant_no AND h.tenant = 'acme' AND f.seq > ${rolledBack?.seq};
      UPDATE ledger.heads SET seq = ${rolledBack?.seq}, hash = decode('${rolledBack?.hash}', 'hex') WHERE tenant = 'acme';
      SET session_replication_role = origin`);
    const [next] = factsOf(await append(ledger.store, acme, draft()));
    expect([next?.seq, next?.prevHash]).to.deep.equal([(rolledBack?.seq ?? 0) + 1, rolledBack?.hash]);
    await expectLedgerSound(ledger);
  });

  it('proofs given out before are the same after', async () => {
    await using before = await filled();
    const proofs = await Promise.all([1, 5, 13].map((seq) => before.store.proof(acme, seq as Seq)));
    await using database = await freshDatabase();
    const owner = connect({ url: database.url, max: 2, name: 'owner' });
    await using pools = new AsyncDisposableStack();
    pools.defer(() => owner.end());
    await migrate(owner, [LEDGER_MIGRATIONS]);
    await copyRows(before.owner, owner);
    await using store = await postgresStreamStore({ pool: owner, ...testSigner() });
    expect(await Promise.all([1, 5, 13].map((seq) => store.proof(acme, seq as Seq)))).to.deep.equal(proofs);
    expect(proofs.every((proof) => proof !== undefined)).to.equal(true);
  });
});
