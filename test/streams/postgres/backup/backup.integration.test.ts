// A backup of a running ledger, and what comes back of it; and every way in which one is not a backup.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import pg from 'pg';
import { readHeads } from '#proofs/heads.ts';
import type { Instant, Seq } from '#schemas/ids.ts';
import { readManifest } from '#streams/postgres/backup/archive.ts';
import { dumpLedger } from '#streams/postgres/backup/dump.ts';
import { BackupError } from '#streams/postgres/backup/errors.ts';
import { loadLedger } from '#streams/postgres/backup/load.ts';
import { connect, RUNTIME_ROLE } from '#streams/postgres/connect.ts';
import { LEDGER_MIGRATIONS, migrate } from '#streams/postgres/migrate.ts';
import { acme, append, draft, drafts, factsOf, openTenants, other } from '#test/contracts/ledger-adapter.ts';
import { expectLedgerSound } from '#test/support/ledger-sound.ts';
import { type FreshDatabase, freshDatabase } from '#test/support/postgres.ts';
import { testSigner } from '#test/support/test-signer.ts';
import { openPostgres, type PostgresUnderTest } from '../postgres-adapter.ts';

const { signer, keys } = testSigner();
const sets = [LEDGER_MIGRATIONS];

describe('streams/postgres/backup', function () {
  this.timeout(60_000);
  const folder = mkdtempSync(join(tmpdir(), 'prov-ledger-backup-'));
  const path = (name: string): string => join(folder, name);
  let ledger: PostgresUnderTest;
  let made: string;
  const dump = (to: string, over: object = {}) =>
    dumpLedger({
      url: ledger.database.url,
      folder: to,
      signer,
      program: 'prov-ledger test',
      now: () => Date.UTC(2026, 10, 21) as Instant,
      ...over,
    });
  const load = async (from: string, { url }: FreshDatabase) =>
    await loadLedger({ url, folder: from, manifest: await readManifest(from), sets });
  const faultOf = async (work: Promise<unknown>): Promise<string> => {
    const error = await work.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).to.be.instanceOf(BackupError);
    return (error as BackupError).code;
  };

  before(async () => {
    ledger = await openPostgres();
    await openTenants(ledger.store, acme, other);
    for (let round = 0; round < 3; round += 1) await append(ledger.store, acme, ...drafts(4));
    await append(ledger.store, other, ...drafts(2));
    made = path('made');
    await dump(made);
  });
  after(async () => {
    await ledger[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  });

  it('comes back whole: the same facts, proofs, claims and id, and it goes on from there', async () => {
    await using database = await freshDatabase();
    await load(made, database);
    const restored = connect({ url: database.url, max: 2 });
    try {
      const there = await ledger.on(ledger.pool('there'));
      await using back = await ledger.storeWith({ pool: restored });
      expect(back.ledgerId).to.equal(there.store.ledgerId);
      expect(await back.heads()).to.deep.equal(await there.store.heads());
      for (const seq of [1, 5, 13]) {
        const proof = await back.proof(acme, seq as Seq);
        expect(proof).to.not.equal(undefined);
        expect(proof).to.deep.equal(await there.store.proof(acme, seq as Seq));
      }
      const [first] = factsOf(await append(back, acme, draft()));
      const head = await there.store.head(acme);
      expect([first?.seq, first?.prevHash]).to.deep.equal([(head?.seq ?? 0) + 1, head?.hash]);
      await expectLedgerSound({ ...ledger, store: back });
      const triggers = await restored.query(
        "SELECT count(*)::int AS off FROM pg_trigger WHERE NOT tgisinternal AND tgenabled <> 'O'",
      );
      expect(triggers.rows).to.deep.equal([{ off: 0 }]);
    } finally {
      await restored.end();
    }
  });

  it('is of one moment, whatever is appended meanwhile', async () => {
    let ended = false;
    const busy = (async () => {
      while (!ended) await append(ledger.store, acme, ...drafts(3));
    })();
    const to = path('busy');
    try {
      const { tables } = await dump(to);
      const read = readHeads(readFileSync(join(to, 'heads.json'), 'utf8'), keys);
      if (!read.ok) throw new Error(read.fault);
      const facts = read.statement.heads.reduce((sum, { seq }) => sum + seq, 0);
      expect(tables.find(({ table }) => table === 'facts')?.rows).to.equal(facts);
    } finally {
      ended = true;
      await busy;
    }
    await using database = await freshDatabase();
    await load(to, database);
  });

  it('is not made over something, nor by a role that row-level security binds, and leaves nothing behind', async () => {
    expect(await faultOf(dump(made))).to.equal('exists');
    await ledger.owner.query(
      `ALTER TABLE ledger.heads ENABLE ROW LEVEL SECURITY; CREATE POLICY one ON ledger.heads TO ${RUNTIME_ROLE} USING (tenant = 'acme')`,
    );
    try {
      await ledger.owner.query(`GRANT SELECT ON public.prov_ledger_migrations TO ${RUNTIME_ROLE}`);
      expect(await faultOf(dump(path('hidden'), { url: withRole(ledger.database.url) }))).to.equal(
        'rows-hidden',
      );
    } finally {
      await ledger.owner.query(
        'DROP POLICY one ON ledger.heads; ALTER TABLE ledger.heads DISABLE ROW LEVEL SECURITY',
      );
    }
    expect(existsSync(path('hidden'))).to.equal(false);
    expect(existsSync(path('hidden.part'))).to.equal(false);
  });

  it('is not restored over a ledger, nor from files that are not as they were written', async () => {
    expect(await faultOf(load(made, ledger.database))).to.equal('not-empty');
    expect(await faultOf(readManifest(folder))).to.equal('no-backup');
    await using database = await freshDatabase();
    const facts = join(made, 'ledger_facts.copy.gz');
    const whole = readFileSync(facts);
    const turned = Buffer.from(whole);
    turned[turned.length >> 1] = (turned[turned.length >> 1] ?? 0) ^ 1;
    for (const bytes of [turned, whole.subarray(0, -1)]) {
      writeFileSync(facts, bytes);
      expect(await faultOf(load(made, database))).to.equal('damaged');
    }
    writeFileSync(facts, whole);
    const manifest = join(made, 'manifest.json');
    const text = readFileSync(manifest, 'utf8');
    for (const [from, to] of [
      ['"ledger_facts.copy.gz"', '"../ledger_facts.copy.gz"'],
      ['"schema": "ledger"', '"schema": "pg_catalog"'],
      ['"table": "facts"', '"table": "facts\\"; DROP"'],
      ['backup/1', 'backup/2'],
    ] as const) {
      writeFileSync(manifest, text.replace(from, to));
      expect(await faultOf(readManifest(made)), to).to.equal('malformed');
    }
    writeFileSync(manifest, text);
    await load(made, database);
  });

  it('goes into a schema that was migrated already and has no tenant', async () => {
    await using database = await freshDatabase();
    const owner = new pg.Pool({ connectionString: database.url, max: 1 });
    await migrate(owner, sets);
    await owner.end();
    await load(made, database);
  });
});

/** The same database, as a session that is no owner. */
const withRole = (text: string): string => {
  const url = new URL(text);
  url.searchParams.set('options', `-c role=${RUNTIME_ROLE}`);
  return url.href;
};
