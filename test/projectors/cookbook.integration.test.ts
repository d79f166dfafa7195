// docs/sql-cookbook.md is run: its example ledger is loaded, every query gives the answer printed below it, and on a
// large table the planner takes the indexes that the page names. UPDATE_GOLDEN=1 prints the answers anew.
import { readFileSync, writeFileSync } from 'node:fs';
import { expect } from 'chai';
import { projectors } from '#projectors/index.ts';
import { postgresRowSink } from '#projectors/postgres/sink.ts';
import { runProjectors } from '#projectors/run.ts';
import type { Recorded } from '#schemas/event.ts';
import type { TenantId } from '#schemas/ids.ts';
import { chainsOf, feedOf, type ProjectionDatabase, projectionDatabase } from './chains.ts';
import { exampleLedger } from './example-ledger.ts';

const PAGE = new URL('../../docs/sql-cookbook.md', import.meta.url);
const page = readFileSync(PAGE, 'utf8');

interface Question {
  readonly title: string;
  readonly sql: string;
  readonly indexes: readonly string[];
  /** The Markdown table behind the query, and where on the page it stands or will stand. */
  readonly answer: string;
  readonly from: number;
  readonly to: number;
}

const questions: readonly Question[] = [
  ...page.matchAll(/^## (.+)$[^]*?^```sql\n([^]*?)^```\n(\n(?:\|.*\n)+)?(?:\n<!-- index: (.+) -->)?/gm),
].map((match) => {
  const [whole, title = '', sql = '', answer = '', indexes = ''] = match;
  const from = match.index + whole.indexOf(sql) + sql.length + '```\n'.length;
  return {
    title,
    sql,
    answer: answer.trim(),
    indexes: indexes.split(' ').filter(Boolean),
    from,
    to: from + answer.length,
  };
});

/** As psql would print it, under a line of column names. */
const table = (names: readonly string[], rows: readonly (readonly (string | null)[])[]): string =>
  [names, names.map(() => '---'), ...rows]
    .map((cells) => `| ${cells.map((cell) => cell ?? '').join(' | ')} |`)
    .join('\n')
    .replace(/^\| (--- \| )*--- \|$/m, `|${names.map(() => '---|').join('')}`);

describe('docs/sql-cookbook.md', () => {
  let db: ProjectionDatabase;
  before(async () => {
    db = await projectionDatabase(projectors);
    const chains = chainsOf(...exampleLedger());
    const sink = postgresRowSink({ pool: db.pool });
    await runProjectors({
      feed: feedOf(chains),
      sink,
      projectors,
      signal: new AbortController().signal,
      untilCaughtUp: true,
    });
    for (const [tenant, facts] of chains) await setHead(tenant, facts.at(-1) as Recorded);
  });
  after(() => db[Symbol.asyncDispose]());

  // Acme has recorded three facts since, the last one two and a half seconds later.
  const setHead = (tenant: TenantId, { seq, hash, recordedAt }: Recorded): Promise<unknown> => {
    const more = tenant === 'acme' ? 3 : 0;
    const at = new Date(recordedAt + (more ? 2500 : 0)).toISOString();
    return db.owner.query(
      'INSERT INTO ledger.heads (tenant, seq, hash, recorded_at) VALUES ($1, $2, $3, $4)',
      [tenant, seq + more, Buffer.from(hash, 'hex'), at],
    );
  };

  const answerTo = async (sql: string): Promise<string> => {
    const result = await db.pool.query<(string | null)[]>({
      text: sql,
      rowMode: 'array',
      types: { getTypeParser: () => (text: string) => text },
    } as never);
    return table(
      result.fields.map(({ name }) => name),
      result.rows as never,
    );
  };

  it('has questions', () => {
    expect(questions.length).to.equal([...page.matchAll(/^## /gm)].length);
    expect(questions.length).to.be.greaterThan(8);
  });

  if (process.env['UPDATE_GOLDEN']) {
    it('prints the answers', async () => {
      let text = page;
      for (const { sql, from, to } of questions.toReversed())
        text = `${text.slice(0, from)}\n${await answerTo(sql)}\n${text.slice(to)}`;
      writeFileSync(PAGE, text);
    });
    return;
  }

  for (const { title, sql, answer } of questions) {
    it(`answers: ${title}`, async () => {
      expect(answer.split('\n').length, 'an answer of at least one row is printed').to.be.greaterThan(2);
      expect(await answerTo(sql)).to.equal(answer);
    });
  }

  describe('on a large table', () => {
    before(async function () {
      this.timeout(60_000);
      await db.owner.query(`
        INSERT INTO projections.receipts_v1 (tenant, receipt_id, seq, fact_id, action, actor, decision, created_at, recorded_at,
          evidence_hash, policy_version, op_id, op_parent_id, schema_version)
        SELECT CASE WHEN n % 10 = 0 THEN 'globex' ELSE 'acme' END, 'more-' || n, n + 100, md5(n::text), 'action ' || n % 20, 'actor ' || n % 300, 'allow',
          timestamptz '2026-11-05 00:00Z' + n * interval '1 minute', timestamptz '2026-11-05 00:00Z' + n * interval '1 minute',
          md5(n::text), '2027.' || n % 50, 'op-' || n, 'op-' || n / 3, '1'
        FROM generate_series(1, 60000) n`);
      await db.owner.query(`
        INSERT INTO projections.receipts_daily_v1 (tenant, day, action, decision, receipts, first_created_at, last_created_at, last_seq)
        SELECT 'acme', date '2027-01-01' + n / 20, 'action ' || n % 20, 'allow', 1, 'epoch', 'epoch', 1 FROM generate_series(1, 20000) n`);
      await db.owner.query('ANALYZE');
    });

    for (const { title, sql, indexes } of questions.filter((question) => question.indexes.length > 0)) {
      it(`uses ${indexes.join(', ')}: ${title}`, async () => {
        const { rows } = await db.pool.query<{ 'QUERY PLAN': readonly { readonly Plan: PlanNode }[] }>(
          `EXPLAIN (FORMAT JSON) ${sql}`,
        );
        // Who may see what, and which build is shown, is looked up once a query, in tables of a few lines.
        const nodes = nodesOf(rows[0]?.['QUERY PLAN'][0]?.Plan as PlanNode).filter(
          (node) => !['analysts', 'read_models'].includes(node['Relation Name'] ?? ''),
        );
        expect(nodes.map((node) => node['Index Name']).filter(Boolean)).to.include.members([...indexes]);
        expect(
          nodes.filter((node) => node['Node Type'] === 'Seq Scan').map((node) => node['Relation Name']),
        ).to.deep.equal([]);
      });
    }

    it('has a question for every index', async () => {
      const { rows } = await db.pool.query<{ name: string }>(
        `SELECT indexname::text AS name FROM pg_indexes WHERE schemaname = 'projections' AND tablename LIKE 'receipts%' ORDER BY 1`,
      );
      expect([...new Set(questions.flatMap(({ indexes }) => indexes))].sort()).to.deep.equal(
        rows.map(({ name }) => name),
      );
    });
  });
});

interface PlanNode {
  readonly 'Node Type': string;
  readonly 'Index Name'?: string;
  readonly 'Relation Name'?: string;
  readonly Plans?: readonly PlanNode[];
}

const nodesOf = (plan: PlanNode): readonly PlanNode[] => [plan, ...(plan.Plans ?? []).flatMap(nodesOf)];
