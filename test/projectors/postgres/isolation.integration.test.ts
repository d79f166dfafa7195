// One tenant's analyst against all of SQL: every view and table, under fuzzed tenants and ids.
import { expect } from 'chai';
import fc from 'fast-check';
import { VIEWS_ROLE } from '#projectors/postgres/isolation.ts';
import { type TenantId, tenantId } from '#schemas/ids.ts';
import { type Pool, RUNTIME_ROLE } from '#streams/postgres/connect.ts';
import { type Login, refusal, type TenantsApart, tenantsApart } from './tenants-apart.ts';

const NUMERIC = tenantId('numeric');
const SECRETIVE = tenantId('secretive');

const fuzzedTenants = fc.sample(
  fc.uniqueArray(
    fc
      .tuple(
        fc.constantFrom('a', 'num', 'numeric-', 'numeric', 'z'),
        fc.string({ unit: fc.constantFrom('a', 'z', '0', '-'), minLength: 1, maxLength: 8 }),
      )
      .map(([start, end]) => tenantId(start + end)),
    { minLength: 4, maxLength: 4 },
  ),
  { numRuns: 1, seed: Number(process.env['FC_SEED'] ?? Date.now()) },
)[0] as readonly TenantId[];

const fuzzedIds = (): readonly string[] =>
  fc.sample(
    fc.uniqueArray(fc.string({ unit: fc.constantFrom(...`aZ09%_'"\\:;-`), minLength: 1, maxLength: 20 }), {
      minLength: 3,
      maxLength: 30,
    }),
    1,
  )[0] as readonly string[];

/** What stands open: relations in our schemas that somebody may read past every policy. */
const unprotected = async (owner: Pool): Promise<readonly string[]> => {
  const { rows } = await owner.query<{ relation: string }>(
    `WITH ours AS (
       SELECT c.oid, c.relkind, c.relrowsecurity, c.relowner::regrole::text AS owner, format('%s.%s', n.nspname, c.relname) AS relation, n.nspname,
              EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname ~ '^tenant' AND NOT a.attisdropped) AS has_tenant,
              has_any_column_privilege('${VIEWS_ROLE}', c.oid, 'SELECT') AS to_views
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE n.nspname IN ('projections', 'views', 'ledger') AND c.relkind IN ('r', 'p', 'v', 'm', 'f')),
     readers AS (
       SELECT o.oid, g.rolname FROM ours o CROSS JOIN pg_roles g
       WHERE NOT g.rolsuper AND g.rolname NOT IN ('${VIEWS_ROLE}', '${RUNTIME_ROLE}', o.owner) AND g.rolname !~ '^pg_'
         AND NOT pg_has_role(g.rolname, '${RUNTIME_ROLE}', 'MEMBER') AND has_any_column_privilege(g.rolname, o.oid, 'SELECT'))
     SELECT relation FROM ours o
     WHERE CASE
       WHEN nspname = 'views' THEN owner <> '${VIEWS_ROLE}' OR relkind <> 'v'
       WHEN EXISTS (SELECT FROM readers r WHERE r.oid = o.oid) THEN true
       WHEN to_views THEN has_tenant AND NOT relrowsecurity
       ELSE false END
     ORDER BY 1`,
  );
  return rows.map(({ relation }) => relation);
};

describe('isolation in SQL', function () {
  this.timeout(60_000);
  let apart: TenantsApart;
  let numeric: Login;
  before(async () => {
    apart = await tenantsApart([
      { tenant: NUMERIC, ids: ['1', '2', '3'] },
      { tenant: SECRETIVE, ids: ['secret-one', 'secret-two'] },
      ...fuzzedTenants.map((tenant) => ({ tenant, ids: fuzzedIds() })),
    ]);
    numeric = apart.logins[0] as Login;
    // Of a snapshot of all tenants, what its view shows.
    await apart.db.owner.query(
      `INSERT INTO projections.snapshots (name, asked, models, proved_at) VALUES ('all_of_them', 'the heads', '{}', now());
       INSERT INTO projections.snapshot_positions SELECT 'all_of_them', tenant, seq, hash, recorded_at FROM ledger.heads WHERE seq > 0`,
    );
  });
  after(() => apart[Symbol.asyncDispose]());

  const views = async (): Promise<readonly string[]> =>
    (
      await apart.db.owner.query<{ name: string }>(
        `SELECT format('%s.%s', schemaname, viewname) AS name FROM pg_views WHERE schemaname = 'views' ORDER BY 1`,
      )
    ).rows.map(({ name }) => name);

  const texts = async (pool: Pool, sql: string, values: readonly unknown[] = []): Promise<unknown> =>
    (await pool.query<{ line: string }>(sql, [...values])).rows.map(({ line }) => line);

  it('is there for every table and every view by construction', async () => {
    expect(await unprotected(apart.db.owner)).to.deep.equal([]);
    const { rows } = await apart.db.owner.query<{ table: string; gate: boolean; guarded: boolean }>(
      `SELECT t.relname AS table, g.oid IS NOT NULL AS gate, coalesce(g.relrowsecurity, false) AS guarded
       FROM projections.read_models m JOIN pg_class t ON t.oid = to_regclass(format('projections.%s_v%s', m.projection, m.version))
       LEFT JOIN pg_class g ON g.oid = to_regclass(format('projections.%s_v%s_gate', m.projection, m.version))`,
    );
    expect(rows.length).to.be.greaterThan(2);
    for (const { table, gate, guarded } of rows)
      expect({ gate, guarded }, table).to.deep.equal({ gate: true, guarded: true });
  });

  it('is missed by that check where it is missing', async () => {
    const { owner } = apart.db;
    await owner.query(`CREATE TABLE projections.planted (tenant text); GRANT SELECT ON projections.planted TO ${VIEWS_ROLE};
      CREATE TABLE projections.given_away (n integer); GRANT SELECT ON projections.given_away TO PUBLIC;
      CREATE VIEW views.planted AS SELECT tenant FROM projections.planted`);
    try {
      expect(await unprotected(owner)).to.deep.equal([
        'projections.given_away',
        'projections.planted',
        'views.planted',
      ]);
    } finally {
      await owner.query('DROP VIEW views.planted; DROP TABLE projections.planted, projections.given_away');
    }
  });

  it("shows each analyst its tenant's rows, all of them, and no others", async () => {
    const names = await views();
    expect(names).to.include.members(['views.receipts', 'views.projection_status', 'views.tenants']);
    for (const view of names) {
      for (const { tenant, pool } of apart.logins) {
        const seen = await texts(pool, `SELECT v::text AS line FROM ${view} v ORDER BY 1`);
        const own = await texts(
          apart.db.owner,
          `SELECT v::text AS line FROM ${view} v WHERE tenant = $1 ORDER BY 1`,
          [tenant],
        );
        expect(seen, `${view} of ${tenant}`).to.deep.equal(own).and.not.deep.equal([]);
        for (const other of apart.logins.filter((login) => login.tenant !== tenant))
          expect(
            await texts(pool, `SELECT v::text AS line FROM ${view} v WHERE tenant = $1`, [other.tenant]),
          ).to.deep.equal([]);
      }
      const all = await texts(apart.db.pool, `SELECT DISTINCT tenant AS line FROM ${view}`);
      expect(all, `${view} as the service sees it`).to.have.length(apart.logins.length);
    }
  });

  it('keeps every table of the ledger and of the read models, and the server, out of reach', async () => {
    const { rows } = await apart.db.owner.query<{ name: string }>(
      `SELECT format('%I.%I', n.nspname, c.relname) AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE n.nspname IN ('ledger', 'projections', 'public') AND c.relkind IN ('r', 'p', 'v', 'S')`,
    );
    expect(rows.length).to.be.greaterThan(10);
    const tables = rows.map(({ name }) => name);
    for (const sql of [
      ...tables.map((name) => `SELECT 1 FROM ${name}`),
      ...tables.map((name) => `SELECT query_to_xml('SELECT * FROM ${name}', true, false, '')`),
      ...tables.map((name) => `COPY ${name} TO STDOUT`),
      `SELECT pg_read_file('PG_VERSION')`,
      `SELECT pg_ls_dir('.')`,
      `SELECT lo_import('/etc/passwd')`,
      `COPY (SELECT 1) TO PROGRAM 'true'`,
      `COPY (SELECT 1) TO '/tmp/prov-ledger-analyst'`,
      `SELECT ledger.open_tenant('mine')`,
      `SELECT nextval('ledger.batch_no')`,
      `SELECT rolpassword FROM pg_authid`,
    ])
      expect(await refusal(numeric.pool, sql), sql).to.equal('42501');
    expect(
      await texts(
        numeric.pool,
        `SELECT tablename AS line FROM pg_stats WHERE schemaname IN ('ledger', 'projections')`,
      ),
    ).to.deep.equal([]);
  });

  it('writes nothing, also when it asks to', async () => {
    // A pool throws a connection away with what was set on it after an error: one connection for all.
    const client = await numeric.pool.connect();
    await client.query('SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE');
    const outcomes: [string, string][] = [];
    for (const sql of [
      `INSERT INTO views.tenants (tenant) VALUES ('mine')`,
      'DELETE FROM views.receipts',
      `UPDATE views.receipts SET actor = 'me'`,
      `UPDATE projections.analysts SET tenant = 'secretive'`,
      `INSERT INTO projections.analysts VALUES ('me', 'secretive')`,
      'CREATE TABLE views.mine (n integer)',
      'CREATE TABLE projections.mine (n integer)',
      'CREATE SCHEMA mine',
      'CREATE ROLE mine',
      'DROP VIEW views.receipts',
      'CREATE OR REPLACE VIEW views.receipts AS SELECT 1',
      'ALTER TABLE projections.receipts_v1_gate DISABLE ROW LEVEL SECURITY',
      'DROP POLICY own_tenant ON projections.receipts_v1_gate',
    ])
      outcomes.push([sql, await refusal(client, sql)]);
    client.release(true);
    expect(outcomes.filter(([, code]) => code !== '42501')).to.deep.equal([]);
  });

  it('becomes nobody who sees more', async () => {
    const other = (apart.logins[1] as Login).role;
    const client = await numeric.pool.connect();
    await client.query('SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE');
    const outcomes: [string, string][] = [];
    const { rows } = await apart.db.owner.query<{ name: string }>('SELECT current_user AS name');
    for (const role of [other, RUNTIME_ROLE, VIEWS_ROLE, 'prov_ledger_auditor', `"${rows[0]?.name}"`])
      for (const sql of [
        `SET ROLE ${role}`,
        `SET SESSION AUTHORIZATION ${role}`,
        `SELECT set_config('role', '${role.replaceAll('"', '')}', false)`,
        `GRANT ${role} TO ${numeric.role}`,
      ])
        outcomes.push([sql, await refusal(client, sql)]);
    client.release(true);
    expect(outcomes.filter(([, code]) => code !== '42501')).to.deep.equal([]);
    const pool = apart.connectAs(numeric.role, numeric.password);
    try {
      await pool.query('SET row_security = off');
      expect(await refusal(pool, 'SELECT * FROM views.receipts')).to.equal('42501');
      await pool.query('SET row_security = on');
      await pool.query('SET ROLE prov_ledger_analyst');
      for (const view of await views())
        expect(await texts(pool, `SELECT v::text AS line FROM ${view} v`), view).to.deep.equal([]);
    } finally {
      await pool.end();
    }
  });

  it('learns nothing by what its own conditions are shown', async () => {
    // Ids of its own tenant are numbers, those of the others are not: a cast fails when it is shown one of them.
    for (const sql of [
      `SELECT count(*)::int AS line FROM views.receipts WHERE receipt_id::integer > 0`,
      `SELECT count(*)::int AS line FROM views.receipts WHERE inputs ->> 'secret' = 'numeric' AND 1 / (inputs ->> 'secret' = 'numeric')::integer = 1`,
      `SELECT count(*)::int AS line FROM views.receipts r JOIN views.projection_status s ON r.receipt_id::integer > 0 AND s.projection = 'receipts'`,
    ])
      expect(await texts(numeric.pool, sql), sql).to.deep.equal([3]);
    const client = await numeric.pool.connect();
    try {
      const shown: string[] = [];
      client.on('notice', ({ message }) => shown.push(message ?? ''));
      await client.query('SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE');
      await client.query(
        `CREATE FUNCTION pg_temp.look(what text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE COST 0.0000001 AS $$ BEGIN RAISE NOTICE '%', what; RETURN true; END $$`,
      );
      for (const view of await views())
        await client.query(`SELECT FROM ${view} v WHERE pg_temp.look(v.tenant) AND pg_temp.look(v::text)`);
      expect(shown.filter((text) => text === 'numeric').length).to.be.greaterThan(5);
      expect(
        shown.filter(
          (text) => text.includes('secret-') || apart.logins.slice(1).some(({ tenant }) => text === tenant),
        ),
      ).to.deep.equal([]);
      await client.query('DROP FUNCTION pg_temp.look(text)');
    } finally {
      client.release();
    }
  });
});
