// Facts can be neither changed nor taken away: the running program has not the right, the owner meets a trigger.
import { expect } from 'chai';
import type { Pool } from '#streams/postgres/connect.ts';
import { acme, append, drafts, openTenants, refused } from '#test/contracts/ledger-adapter.ts';
import { expectLedgerSound } from '#test/support/ledger-sound.ts';
import { openPostgres } from './postgres-adapter.ts';

const INSUFFICIENT_PRIVILEGE = '42501';

const refusal = async (
  pool: Pool,
  sql: string,
): Promise<{ readonly code?: string; readonly message?: string }> =>
  await pool.query(sql).then(
    () => ({ message: `went through: ${sql}` }),
    (error: { readonly code: string; readonly message: string }) => ({
      code: error.code,
      message: error.message,
    }),
  );

const CHANGES: readonly string[] = ['facts', 'batches', 'identity'].flatMap((table) => [
  `UPDATE ledger.${table} SET ${{ facts: 'seq = seq', batches: 'root = root', identity: 'id = id' }[table]}`,
  `UPDATE ledger.${table} SET ${{ facts: 'seq = 9', batches: `kid = ''`, identity: 'id = gen_random_uuid()' }[table]} WHERE false`,
  `DELETE FROM ledger.${table}`,
  `DELETE FROM ledger.${table} WHERE false`,
  `TRUNCATE ledger.${table}`,
  `TRUNCATE ledger.${table} CASCADE`,
]);

const OF_HEADS: readonly string[] = [
  'DELETE FROM ledger.heads',
  'TRUNCATE ledger.heads',
  'TRUNCATE ledger.heads CASCADE',
];

/** What only the role's lack of rights stops. */
const OF_RUNTIME: readonly string[] = [
  `UPDATE ledger.heads SET tenant = 'x'`,
  'UPDATE ledger.heads SET tenant_no = DEFAULT',
  'INSERT INTO ledger.identity (id) VALUES (gen_random_uuid())',
  'ALTER TABLE ledger.facts DISABLE TRIGGER immutable',
  'DROP TRIGGER immutable ON ledger.facts',
  'DROP TABLE ledger.facts',
  'CREATE TABLE ledger.mine (n integer)',
  'CREATE OR REPLACE FUNCTION ledger.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$',
  'SET session_replication_role = replica',
  'ALTER SEQUENCE ledger.batch_no RESTART',
  `SELECT setval('ledger.batch_no', 1)`,
  `INSERT INTO public.prov_ledger_migrations (set_name, number, name, sha256) VALUES ('ledger', 9, 'x', 'x')`,
];

describe('facts are immutable in PostgreSQL', () => {
  it('the runtime role has no right to change, remove, or unprotect anything', async () => {
    await using ledger = await openPostgres();
    await openTenants(ledger.store, acme);
    await append(ledger.store, acme, ...drafts(3));
    const runtime = ledger.pool();
    for (const sql of [...CHANGES, ...OF_HEADS, ...OF_RUNTIME]) {
      expect(await refusal(runtime, sql), sql).to.have.property('code', INSUFFICIENT_PRIVILEGE);
    }
    expect((await expectLedgerSound(ledger)).facts).to.equal(4);
  });

  it('the owner is stopped by a trigger that says why', async () => {
    await using ledger = await openPostgres();
    await openTenants(ledger.store, acme);
    await append(ledger.store, acme, ...drafts(3));
    for (const sql of [...CHANGES, ...OF_HEADS]) {
      const { code, message } = await refusal(ledger.owner, sql);
      expect(code, sql).to.equal(INSUFFICIENT_PRIVILEGE);
      expect(message, sql).to.match(/^facts are immutable: (UPDATE|DELETE|TRUNCATE) on ledger\.\w+ refused$/);
    }
    expect((await expectLedgerSound(ledger)).facts).to.equal(4);
  });

  it('the oracle notices what an owner can do who takes the triggers away', async () => {
    const crimes: { readonly [name: string]: { readonly sql: string; readonly fault: RegExp } } = {
      'one byte of a payload': {
        sql: `UPDATE ledger.facts SET payload = '{"text":"hullo"}' WHERE seq = 3`,
        fault: /acme\/3 .*hash-mismatch/,
      },
      'one author': {
        sql: `UPDATE ledger.facts SET actor = 'user:eve' WHERE seq = 3`,
        fault: /acme\/3 .*hash-mismatch/,
      },
      'one time': {
        sql: `UPDATE ledger.facts SET occurred_at = occurred_at + interval '1 ms' WHERE seq = 3`,
        fault: /acme\/3 .*hash-mismatch/,
      },
      'a fact taken out of the middle': {
        sql: 'DELETE FROM ledger.facts WHERE seq = 3',
        fault: /facts below the head are missing/,
      },
      'the last fact taken away': {
        sql: 'DELETE FROM ledger.facts WHERE seq = 4',
        fault: /facts below the head are missing/,
      },
      'a head put back': {
        sql: 'UPDATE ledger.heads h SET seq = 3, hash = f.hash FROM ledger.facts f WHERE f.seq = 3',
        fault: /acknowledged facts that are not stored/,
      },
      'a signature of another batch': {
        sql: 'UPDATE ledger.batches SET signature = (SELECT signature FROM ledger.batches ORDER BY batch_no LIMIT 1)',
        fault: /bad-signature/,
      },
    };
    for (const [name, { sql, fault }] of Object.entries(crimes)) {
      await using ledger = await openPostgres();
      await openTenants(ledger.store, acme);
      const list = drafts(3);
      for (const one of list) await append(ledger.store, acme, one);
      await ledger.owner.query(
        `SET session_replication_role = replica; ${sql}; SET session_replication_role = origin`,
      );
      const acknowledged = list.map(({ id }) => ({ tenant: acme, id }));
      const error = await expectLedgerSound(ledger, { acknowledged }).then(
        () => new Error('nothing was noticed'),
        (noticed: Error) => noticed,
      );
      expect(error.message, name).to.match(fault);
    }
  });

  it('a fact missing below the head stops reads and feeds as corrupt: it is never passed over', async () => {
    await using ledger = await openPostgres();
    await openTenants(ledger.store, acme);
    await append(ledger.store, acme, ...drafts(9));
    await ledger.owner.query(
      'SET session_replication_role = replica; DELETE FROM ledger.facts WHERE seq = 6; SET session_replication_role = origin',
    );
    const delivered: number[] = [];
    const feed = async (): Promise<void> => {
      for await (const { facts } of ledger.feed.subscribe({
        from: new Map(),
        batchSize: 3,
        signal: new AbortController().signal,
      })) {
        delivered.push(...facts.map(({ seq }) => seq));
      }
    };
    for (const reading of [Array.fromAsync(ledger.store.read(acme, { pageSize: 4 })), feed()]) {
      const error = await refused(reading);
      expect(error).to.have.property('code', 'corrupt');
    }
    expect(delivered).to.deep.equal([1, 2, 3]);
  });
});
