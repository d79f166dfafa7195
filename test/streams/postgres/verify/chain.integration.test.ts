// The stored chain's verifier: a sound chain passes in one range or several; whatever somebody with all rights over
// the database changes behind the ledger's back is found and named.
import { expect } from 'chai';
import { verifyStoredChain } from '#streams/postgres/verify/chain.ts';
import { type ImportLedger, importLedger, TENANT } from '#test/gateway/ingest/import-ledger.ts';
import { receiptTexts } from '#test/load/receipts.ts';

const FACTS = 300;

const loaded = async (): Promise<ImportLedger> => {
  const ledger = await importLedger();
  await ledger.importLines([...receiptTexts({ tenant: TENANT, count: FACTS - 1 })], { chunkBytes: 16 << 10 });
  return ledger;
};

const verify = ({ pool, url, store, keys }: ImportLedger, threads = 2, least?: number) =>
  verifyStoredChain({
    pool,
    url,
    ledgerId: store.ledgerId,
    tenant: TENANT,
    keys,
    threads,
    ...(least !== undefined && { leastFactsPerThread: least }),
  });

/** Runs statements as the owner with the triggers off: what an intruder with the database password can do. */
const tamper = async ({ owner }: ImportLedger, ...statements: readonly string[]): Promise<void> => {
  const client = await owner.connect();
  await client.query('SET session_replication_role = replica');
  for (const statement of statements) await client.query(statement);
  await client.query('SET session_replication_role = DEFAULT');
  client.release();
};

describe('the stored chain', () => {
  let ledger: ImportLedger;
  before(async () => {
    ledger = await loaded();
  });
  after(async () => {
    await ledger[Symbol.asyncDispose]();
  });

  for (const threads of [1, 2, 3]) {
    it(`is sound, read by ${threads} threads`, async () => {
      const head = await ledger.store.head(TENANT);
      const result = await verify(ledger, threads, 50);
      expect(result).to.deep.include({
        facts: FACTS,
        head: { seq: head?.seq, hash: head?.hash, recordedAt: head?.recordedAt },
      });
      expect(result).not.to.have.property('fault');
      expect(result?.batches).to.be.greaterThan(5);
    });
  }

  it('is undefined for a tenant that is not there', async () => {
    const { pool, url, store, keys } = ledger;
    expect(
      await verifyStoredChain({
        pool,
        url,
        ledgerId: store.ledgerId,
        tenant: 'nobody' as typeof TENANT,
        keys,
      }),
    ).to.equal(undefined);
  });

  it('is not signed by a key that is not trusted, or for another ledger', async () => {
    const { pool, url, store } = ledger;
    expect(
      await verifyStoredChain({ pool, url, ledgerId: store.ledgerId, tenant: TENANT, keys: [] }),
    ).to.have.nested.property('fault.code', 'unknown-key');
    const other = '00000000-0000-4000-8000-000000000000';
    expect(
      await verifyStoredChain({ pool, url, ledgerId: other, tenant: TENANT, keys: ledger.keys }),
    ).to.have.nested.property('fault.code', 'bad-signature');
  });
});

describe('a stored chain somebody has changed', () => {
  const cases: readonly (readonly [string, readonly string[], string, number])[] = [
    [
      'one byte of a payload',
      [`UPDATE ledger.facts SET payload = set_byte(payload, 12, get_byte(payload, 12) # 1) WHERE seq = 200`],
      'hash-mismatch',
      200,
    ],
    [
      'an actor put in front of the payload’s',
      [`UPDATE ledger.facts SET actor = 'mallory' WHERE seq = 150`],
      'hash-mismatch',
      150,
    ],
    [
      'the time of recording',
      [`UPDATE ledger.facts SET recorded_at = recorded_at + interval '1 ms' WHERE seq = 120`],
      'hash-mismatch',
      120,
    ],
    ['a hash', [`UPDATE ledger.facts SET hash = sha256(hash) WHERE seq = 60`], 'hash-mismatch', 60],
    ['a fact taken out', [`DELETE FROM ledger.facts WHERE seq = 77`], 'seq-gap', 78],
    ['the last facts cut off', [`DELETE FROM ledger.facts WHERE seq > 290`], 'no-such-fact', 291],
    [
      'two facts exchanged',
      [
        `UPDATE ledger.facts SET seq = 0 WHERE seq = 40`,
        `UPDATE ledger.facts SET seq = 40 WHERE seq = 41`,
        `UPDATE ledger.facts SET seq = 41 WHERE seq = 0`,
      ],
      'hash-mismatch',
      40,
    ],
    [
      'a batch’s signature',
      [
        `UPDATE ledger.batches SET signature = set_byte(signature, 3, get_byte(signature, 3) # 1) WHERE batch_no = (SELECT batch_no FROM ledger.facts WHERE seq = 100)`,
      ],
      'bad-signature',
      -1,
    ],
    [
      'a batch’s root',
      [
        `UPDATE ledger.batches SET root = sha256(root) WHERE batch_no = (SELECT batch_no FROM ledger.facts WHERE seq = 100)`,
      ],
      'not-included',
      -1,
    ],
    [
      'a batch’s time',
      [
        `UPDATE ledger.batches SET signed_at = signed_at - interval '1 day' WHERE batch_no = (SELECT batch_no FROM ledger.facts WHERE seq = 100)`,
      ],
      'bad-signature',
      -1,
    ],
    [
      'a batch taken out',
      [`DELETE FROM ledger.batches WHERE batch_no = (SELECT batch_no FROM ledger.facts WHERE seq = 100)`],
      'unsigned',
      -1,
    ],
    [
      'a fact moved to another batch',
      [
        `UPDATE ledger.facts SET batch_no = (SELECT batch_no FROM ledger.facts WHERE seq = 300) WHERE seq = 100`,
      ],
      'not-included',
      -1,
    ],
  ];
  let ledger: ImportLedger;
  before(async () => {
    ledger = await loaded();
    await tamper(ledger, 'CREATE TABLE sound_facts AS TABLE ledger.facts');
    await tamper(ledger, 'CREATE TABLE sound_batches AS TABLE ledger.batches');
  });
  after(async () => {
    await ledger[Symbol.asyncDispose]();
  });
  afterEach(async () => {
    for (const table of ['facts', 'batches'])
      await tamper(ledger, `DELETE FROM ledger.${table}`, `INSERT INTO ledger.${table} TABLE sound_${table}`);
    expect(await verify(ledger), 'made sound again').not.to.have.property('fault');
  });

  for (const [what, statements, code, seq] of cases) {
    it(`${what}: ${code}`, async () => {
      await tamper(ledger, ...statements);
      const result = await verify(ledger, 2, 100);
      expect(result).to.have.nested.property('fault.code', code);
      if (seq > 0) expect(result).to.have.nested.property('fault.seq', seq);
    });
  }
});
