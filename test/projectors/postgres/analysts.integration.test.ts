import { expect } from 'chai';
import {
  analystPassword,
  analystRole,
  createAnalyst,
  dropAnalyst,
  listAnalysts,
  opaqueRole,
  randomPassword,
  scramVerifier,
} from '#projectors/postgres/analysts.ts';
import { tenantId } from '#schemas/ids.ts';
import { ACME, GLOBEX } from '../chains.ts';
import { type Login, refusal, type TenantsApart, tenantsApart } from './tenants-apart.ts';

describe('analysts', () => {
  let apart: TenantsApart;
  beforeEach(async () => {
    apart = await tenantsApart([
      { tenant: ACME, ids: ['one'] },
      { tenant: GLOBEX, ids: ['two'] },
    ]);
  });
  afterEach(() => apart[Symbol.asyncDispose]());

  it('are listed with their tenants, by owner and service alike', async () => {
    const expected = apart.logins.map(({ role, tenant }) => ({ role, tenant, mayLogIn: true }));
    for (const pool of [apart.db.owner, apart.db.pool]) {
      const listed = await listAnalysts(pool);
      expect(listed.map(({ role, tenant, mayLogIn }) => ({ role, tenant, mayLogIn }))).to.deep.equal(
        expected,
      );
      expect(Math.abs((listed[0]?.createdAt ?? 0) - Date.now())).to.be.lessThan(60_000);
      expect((await listAnalysts(pool, GLOBEX)).map(({ tenant }) => tenant)).to.deep.equal([GLOBEX]);
    }
  });

  it('are made on a connection of the service too, when its user owns the schema', async () => {
    const login = { tenant: ACME, role: opaqueRole(), password: `a 'quoted" \\ password $1` };
    expect(await createAnalyst(apart.db.pool, login)).to.equal('created');
    const pool = apart.connectAs(login.role, encodeURIComponent(login.password));
    const { rows } = await pool.query('SELECT receipt_id FROM receipts');
    await pool.end();
    expect(rows).to.deep.equal([{ receipt_id: 'one' }]);
    expect(await dropAnalyst(apart.db.pool, login.role)).to.equal('dropped');
  });

  it('see nothing from the moment they are dropped, on an open connection too, and come in no more', async () => {
    const [{ role, password, pool }] = apart.logins as [Login];
    expect((await pool.query('SELECT FROM views.receipts')).rowCount).to.equal(1);
    expect(await dropAnalyst(apart.db.owner, role)).to.equal('dropped');
    expect(await refusal(pool, 'SELECT FROM views.receipts')).to.not.equal('allowed');
    const again = apart.connectAs(role, password);
    expect(await refusal(again, 'SELECT 1')).to.equal('28P01');
    await again.end();
    expect(await dropAnalyst(apart.db.owner, role)).to.equal('no-such-analyst');
  });

  it('are not made for a tenant without a chain, nor in the place of another role', async () => {
    const password = randomPassword();
    const of = (tenant: string, role: string) =>
      createAnalyst(apart.db.owner, { tenant: tenantId(tenant), role, password });
    expect(await of('nobody', opaqueRole())).to.equal('no-such-tenant');
    expect(await of('acme', (apart.logins[1] as Login).role)).to.equal('role-taken');
    expect(await listAnalysts(apart.db.owner)).to.have.length(2);
  });

  it('do not make or drop analysts, and other roles are not dropped by that name', async () => {
    const [{ pool }] = apart.logins as [Login];
    const outcome = await createAnalyst(pool, {
      tenant: GLOBEX,
      role: opaqueRole(),
      password: randomPassword(),
    }).catch((error: unknown) => error);
    expect(outcome).to.be.an('error').with.property('code', 'forbidden');
    expect((outcome as Error).message).to.match(/owner of the schema, who needs CREATEROLE/);
    expect(await dropAnalyst(apart.db.owner, 'prov_ledger_runtime')).to.equal('no-such-analyst');
  });

  it('that own something are kept, whole', async () => {
    const [{ role, pool }] = apart.logins as [Login];
    await apart.db.owner.query(`CREATE SCHEMA own AUTHORIZATION ${role}`);
    expect(await dropAnalyst(apart.db.owner, role)).to.equal('role-owns-objects');
    expect((await pool.query('SELECT FROM views.receipts')).rowCount).to.equal(1);
    await apart.db.owner.query('DROP SCHEMA own');
  });

  it('have names and passwords that need no quoting and that SASLprep leaves alone', () => {
    for (const raw of ['', 'A', '1a', 'a b', 'a"', 'pg_me', 'prov_ledger_runtime', 'a'.repeat(64)])
      expect(() => analystRole(raw), raw).to.throw(RangeError, 'use up to 63 of a-z');
    expect(analystRole(opaqueRole())).to.match(/^analyst_[0-9a-f]{12}$/);
    for (const raw of ['short', 'p\u00e4ssword of sixteen', `${'a'.repeat(16)}\n`, 'a'.repeat(201)])
      expect(() => analystPassword(raw), raw).to.throw(RangeError, 'use 16 to 200 printable ASCII');
    expect(analystPassword(randomPassword())).to.have.length(32);
  });

  it('are kept as SCRAM verifiers: the one of RFC 7677', () => {
    // RFC 7677 section 3 has the salt and the password; PostgreSQL makes this verifier of them.
    const salt = Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64');
    expect(scramVerifier('pencil', salt)).to.equal(
      'SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=',
    );
  });
});
