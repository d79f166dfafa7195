// Real input, end to end: 81,883 commits of twelve public repositories become receipts, are projected, answer the
// questions analysts ask, verify as a chain, and one of them verifies with nothing but its file and the public key.
import { createReadStream, existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { createGunzip } from 'node:zlib';
import { expect } from 'chai';
import { claimId } from '#commands/run.ts';
import { receiptBundle } from '#proofs/bundle.ts';
import { jwks } from '#proofs/keys/public-key.ts';
import { verifyReceipt } from '#proofs/verifier.ts';
import { verifyStoredChain } from '#streams/postgres/verify/chain.ts';
import { type ImportLedger, importLedger, TENANT } from './import-ledger.ts';

const FILE = fileURLToPath(new URL('../../../../shared/data/commits.ndjson.gz', import.meta.url));
const MAPPING = new URL('../../../gateway/ingest/mappings/git-commits.json', import.meta.url);
const COMMITS = 81_883;

describe('81,883 real commits', function () {
  this.timeout(240_000);
  let ledger: ImportLedger | undefined;

  before(async function () {
    if (!existsSync(FILE)) return this.skip();
    ledger = await importLedger();
    const source = createReadStream(FILE).pipe(createGunzip());
    const mapping: unknown = JSON.parse(await readFile(MAPPING, 'utf8'));
    const summary = await ledger.importLines(source, { mapping, chunkBytes: 4 << 20 });
    expect(summary.lineFaults.slice(0, 3)).to.deep.equal([]);
    expect(summary).to.deep.include({ recorded: COMMITS, repeated: 0, faults: 0 });
  });
  after(async () => {
    await ledger?.[Symbol.asyncDispose]();
  });

  const rows = async (sql: string): Promise<readonly Record<string, unknown>[]> =>
    (await (ledger as ImportLedger).pool.query<Record<string, unknown>>(sql)).rows;

  it('stand in the chain, and the whole chain verifies', async () => {
    const { pool, url, store, keys } = ledger as ImportLedger;
    const result = await verifyStoredChain({ pool, url, ledgerId: store.ledgerId, tenant: TENANT, keys });
    expect(result).not.to.have.property('fault');
    expect(result).to.deep.include({ facts: COMMITS + 1 });
  });

  it('are counted by repository', async () => {
    expect(
      await rows(`SELECT inputs ->> 'repository' AS repository, count(*) AS commits FROM views.receipts
        WHERE tenant = 'acme' GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 3`),
    ).to.deep.equal(await expectedTop());
    expect(
      await rows(`SELECT receipts, receipts_denied FROM views.tenants WHERE tenant = 'acme'`),
    ).to.deep.equal([{ receipts: COMMITS, receipts_denied: 0 }]);
  });

  it('say who acted most on one day', async () => {
    const [top] = await rows(
      `SELECT day::text, sum(receipts) AS n FROM views.receipts_daily WHERE tenant = 'acme' GROUP BY day ORDER BY n DESC, day LIMIT 1`,
    );
    const [same] =
      await rows(`SELECT to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day, count(*)::text AS n FROM views.receipts
      WHERE tenant = 'acme' GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1`);
    expect(top).to.deep.equal(same);
  });

  it('show their lineage: every parent that is named first is the commit before it', async () => {
    const [orphans] =
      await rows(`SELECT count(*) AS n FROM views.receipts c WHERE c.tenant = 'acme' AND c.op_parent_id IS NOT NULL
      AND NOT EXISTS (SELECT FROM views.receipts p WHERE p.tenant = c.tenant AND p.op_id = c.op_parent_id)`);
    const [depth] = await rows(`WITH RECURSIVE line AS (
        SELECT op_id, op_parent_id, 1 AS depth FROM views.receipts WHERE tenant = 'acme' AND seq = (SELECT max(seq) FROM views.receipts WHERE tenant = 'acme')
        UNION ALL
        SELECT p.op_id, p.op_parent_id, line.depth + 1 FROM line JOIN views.receipts p ON p.tenant = 'acme' AND p.op_id = line.op_parent_id WHERE line.depth < 500)
      SELECT max(depth) AS depth FROM line`);
    expect(orphans).to.deep.equal({ n: await expectedOrphans() });
    expect(depth?.['depth']).to.be.greaterThan(100);
  });

  it('verify one by one, offline, with nothing but a file and the public key', async () => {
    const { store, keys } = ledger as ImportLedger;
    const line = await lineAt(40_000);
    const fact = await store.find(TENANT, claimId(TENANT, `git:${line.repository}@${line.commit}`));
    if (!fact) throw new Error('the commit is not there');
    const proof = await store.proof(TENANT, fact.seq);
    if (!proof) throw new Error('the commit has no proof');
    const file = JSON.stringify(receiptBundle(fact, proof));
    expect(verifyReceipt(file, jwks(keys))).to.include({ ok: true });
    expect(
      verifyReceipt(
        file.replace(
          line.tree,
          line.tree.replace(/^./, (digit) => (digit === '0' ? '1' : '0')),
        ),
        jwks(keys),
      ),
    ).to.include({ ok: false });
  });
});

interface Commit {
  readonly repository: string;
  readonly commit: string;
  readonly tree: string;
  readonly parents: readonly string[];
}

let commits: readonly Commit[] | undefined;

/** The file, read without any of our code. */
const allCommits = async (): Promise<readonly Commit[]> => {
  if (commits) return commits;
  const parts: Buffer[] = [];
  for await (const part of createReadStream(FILE).pipe(createGunzip())) parts.push(part as Buffer);
  commits = Buffer.concat(parts)
    .toString()
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Commit);
  return commits;
};

const lineAt = async (index: number): Promise<Commit> => (await allCommits())[index] as Commit;

const expectedTop = async () => {
  const counts = Map.groupBy(await allCommits(), (commit) => commit.repository);
  return [...counts]
    .map(([repository, group]) => ({ repository, commits: group.length }))
    .sort((a, b) => b.commits - a.commits)
    .slice(0, 3);
};

const expectedOrphans = async (): Promise<number> => {
  const all = await allCommits();
  const known = new Set(all.map((commit) => commit.commit));
  return all.filter(({ parents: [parent] }) => parent !== undefined && !known.has(parent)).length;
};
