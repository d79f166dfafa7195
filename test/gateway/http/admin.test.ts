// Administration over HTTP: what operators can do, what others cannot, and what is recorded of it.
import { expect } from 'chai';
import { OPERATORS } from '#commands/tenants.ts';
import { OPERATOR_SCOPES, SCOPES, TENANT_SCOPES } from '#gateway/http/tokens.ts';
import { tenantState } from '#gateway/tenancy/documents.ts';
import { tenantId } from '#schemas/ids.ts';
import { tokenId } from '#schemas/tenants.ts';
import { acme, codeOf, type GatewayUnderTest, globex, openGateway, receipt } from './gateway-under-test.ts';

type Answer = Awaited<ReturnType<GatewayUnderTest['post']>>;

const json = (answer: Answer) => JSON.parse(answer.body) as Record<string, unknown>;

describe('gateway/http: administration', () => {
  let under: GatewayUnderTest;
  let operator: string;
  beforeEach(async () => {
    under = await openGateway();
    await under.command(OPERATORS, { type: 'CreateTenant', displayName: 'operators' });
    operator = await under.token({ tenant: OPERATORS, scopes: OPERATOR_SCOPES });
  });
  afterEach(() => under[Symbol.asyncDispose]());

  const send = (path: string, body?: unknown, { key, as = operator }: { key?: string; as?: string } = {}) =>
    under.gateway.inject({
      method: 'POST',
      path: `/v1${path}`,
      headers: {
        authorization: `Bearer ${as}`,
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...(key !== undefined && { 'idempotency-key': key }),
      },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
  const get = (path: string, as = operator) => under.get(as, `/v1${path}`);
  const idOf = (token: string) => token.split('.')[1] as string;

  it('a tenant is made, found and listed, and its chain says by whose token', async () => {
    const made = await send('/tenants', { tenant: 'initech', display_name: 'Initech & Söhne' });
    expect(made.status, made.body).to.equal(201);
    expect(made.headers['location']).to.equal('/tenants/initech');
    const { seq, hash, type } = json(made);
    expect([seq, type]).to.deep.equal([1, 'tenants.TenantCreated']);
    const found = await get('/tenants/initech');
    expect(json(found)).to.deep.equal({
      tenant: 'initech',
      display_name: 'Initech & Söhne',
      status: 'active',
      facts: 1,
      head_hash: hash,
      last_recorded_at: '2026-11-21T09:00:00.000Z',
    });
    const [first] = await Array.fromAsync(under.store.read(tenantId('initech')));
    expect(first?.[0]?.actor).to.equal(`operators/${idOf(operator)}`);
  });

  it('pages of tenants are in the order of their names, and nobody is missed or shown twice', async () => {
    const names = ['zeta', 'a-1', 'mid', 'acme-2'];
    for (const tenant of names) await send('/tenants', { tenant });
    const shown: string[] = [];
    for (let cursor = ''; ; ) {
      const page = json(await get(`/tenants?limit=2${cursor && `&cursor=${cursor}`}`));
      shown.push(...(page['tenants'] as { tenant: string }[]).map(({ tenant }) => tenant));
      // One that is made meanwhile, behind the cursor, changes nothing of what follows.
      if (shown.length === 2) await send('/tenants', { tenant: 'a-0' });
      if (page['next_cursor'] === undefined) break;
      cursor = String(page['next_cursor']);
    }
    expect(shown).to.deep.equal(['acme', 'globex', OPERATORS, ...names].sort());
    expect(codeOf(await get('/tenants?limit=0'))).to.equal('query-malformed');
    expect(codeOf(await get('/tenants?cursor=A'))).to.equal('query-malformed');
  });

  it('a token is issued, works at once for what it was given, is listed without its secret, and is revoked', async () => {
    const issued = await send('/tenants/acme/tokens', {
      scopes: ['ledger:read'],
      label: 'audit',
      expires_at: '2026-11-22T00:00:00Z',
    });
    expect(issued.status, issued.body).to.equal(201);
    expect(issued.headers['cache-control']).to.equal('no-store');
    const { token, token_id: id } = json(issued) as { token: string; token_id: string };
    expect((await get('/ledger/acme/head', token)).status).to.equal(200);
    expect(codeOf(await get('/receipts', token))).to.equal('scope-missing');
    const listed = await get('/tenants/acme/tokens');
    expect(listed.body).to.not.contain(token.split('.')[2]);
    expect((json(listed)['tokens'] as object[])[0]).to.deep.include({
      token_id: id,
      scopes: ['ledger:read'],
      label: 'audit',
      expires_at: '2026-11-22T00:00:00.000Z',
      status: 'in force',
    });
    const state = await tenantState(under.store, acme);
    expect(state.tokens.get(id)?.tokenHash).to.match(/^[0-9a-f]{64}$/);
    for await (const page of under.store.read(acme))
      for (const { payload } of page) expect(payload).to.not.contain(token.split('.')[2]);
    const revoked = await send(`/tenants/acme/tokens/${id}/revoke`, { reason: 'leaked' });
    expect([revoked.status, json(revoked)['type']]).to.deep.equal([200, 'tenants.TokenRevoked']);
    expect(
      ((json(await get('/tenants/acme/tokens'))['tokens'] as object[])[0] as { status: string }).status,
    ).to.equal('revoked');
    const again = await send(`/tenants/acme/tokens/${id}/revoke`);
    expect([codeOf(again), json(again)['refusal']]).to.deep.equal(['state-forbids', 'TokenAlreadyRevoked']);
  });

  it('a token of a tenant has all its scopes unless told, and none of an operator', async () => {
    const { scopes } = json(await send('/tenants/acme/tokens', {}));
    expect(scopes).to.deep.equal([...TENANT_SCOPES]);
    for (const scope of OPERATOR_SCOPES) {
      const refused = await send('/tenants/acme/tokens', { scopes: ['ledger:read', scope] });
      expect(codeOf(refused)).to.equal('body-malformed');
      expect(json(refused)['errors']).to.have.nested.property('[0].pointer', '#/scopes/1');
    }
  });

  it('an operator makes no operator who may do more', async () => {
    const only = await under.token({ tenant: OPERATORS, scopes: ['tokens:admin'] });
    const refused = await send('/tenants/operators/tokens', { scopes: ['tenants:admin'] }, { as: only });
    expect(codeOf(refused)).to.equal('scope-missing');
    expect(json(refused)['scope']).to.equal('tenants:admin');
    expect(codeOf(await send('/tenants/operators/tokens', {}, { as: only }))).to.equal('scope-missing');
    const same = await send('/tenants/operators/tokens', { scopes: ['tokens:admin'] }, { as: only });
    expect(same.status).to.equal(201);
    expect((await send('/tenants/operators/tokens')).status).to.equal(201);
  });

  it('a suspended tenant lets nobody in until it is resumed; the operators suspend not themselves', async () => {
    const token = await under.token();
    expect((await send('/tenants/acme/suspend', { reason: 'unpaid' })).status).to.equal(200);
    expect(json(await get('/tenants/acme'))['status']).to.equal('suspended');
    expect(codeOf(await send('/tenants/acme/suspend', { reason: 'unpaid' }))).to.equal('state-forbids');
    expect(codeOf(await send('/tenants/acme/tokens', {}))).to.equal('state-forbids');
    expect(codeOf(await get('/ledger/acme/head', token))).to.equal('tenant-suspended');
    expect((await send('/tenants/acme/resume')).status).to.equal(200);
    expect((await get('/ledger/acme/head', token)).status).to.equal(200);
    expect((await send('/tenants/acme/rename', { display_name: 'Acme AG' })).status).to.equal(200);
    expect(json(await get('/tenants/acme'))['display_name']).to.equal('Acme AG');
    expect(codeOf(await send('/tenants/operators/suspend', { reason: 'x' }))).to.equal('state-forbids');
  });

  it('the same key with the same body gets the first answer, whatever has changed since; with another, the first is named', async () => {
    const body = { tenant: 'initech' };
    const first = await send('/tenants', body, { key: 'k-1' });
    await send('/tenants/initech/suspend', { reason: 'x' });
    const again = await send('/tenants', body, { key: 'k-1' });
    expect([again.status, again.body]).to.deep.equal([201, first.body]);
    expect([first, again].map(({ headers }) => headers['idempotent-replayed'])).to.deep.equal([
      undefined,
      'true',
    ]);
    const other = await send('/tenants', { ...body, display_name: 'Other' }, { key: 'k-1' });
    expect(codeOf(other)).to.equal('idempotency-key-taken');
    expect(json(other)['first']).to.deep.equal(json(first));
    expect(codeOf(await send('/tenants', body))).to.equal('tenant-exists');
    expect(codeOf(await send('/tenants', body, { key: 'with "quotes"' }))).to.equal(
      'idempotency-key-malformed',
    );
  });

  it('a token that was issued with a key is not shown again: the problem names it', async () => {
    const issued = await send('/tenants/acme/tokens', {}, { key: 'k-2' });
    const again = await send('/tenants/acme/tokens', {}, { key: 'k-2' });
    expect(codeOf(again)).to.equal('idempotency-key-taken');
    const { first } = json(again) as { first: { seq: number; token_id?: string } };
    expect(first).to.deep.include({ seq: json(issued)['seq'], token_id: json(issued)['token_id'] });
    expect((await tenantState(under.store, acme)).tokens.size).to.equal(1);
  });

  it('a key is no id of a receipt, and the other way round', async () => {
    const token = await under.token({ tenant: globex });
    await under.post(token, receipt({ id: 'shared', tenant: 'globex' }));
    expect((await send('/tenants/globex/rename', { display_name: 'G' }, { key: 'shared' })).status).to.equal(
      200,
    );
  });

  for (const [path, body, code] of [
    ['/tenants', {}, 'body-malformed'],
    ['/tenants', { tenant: 'A' }, 'body-malformed'],
    ['/tenants', { tenant: 'ok-name', display_name: '' }, 'body-malformed'],
    ['/tenants', { tenant: 'ok-name', extra: 1 }, 'body-malformed'],
    ['/tenants', '[', 'body-not-json'],
    ['/tenants', '{"tenant":"a-1","tenant":"a-2"}', 'body-duplicate-key'],
    ['/tenants', [], 'body-malformed'],
    ['/tenants', { tenant: 'acme' }, 'tenant-exists'],
    ['/tenants/nobody/tokens', {}, 'no-such-tenant'],
    ['/tenants/NOBODY/tokens', {}, 'no-such-tenant'],
    ['/tenants/acme/tokens', { scopes: [] }, 'body-malformed'],
    ['/tenants/acme/tokens', { scopes: ['everything'] }, 'body-malformed'],
    ['/tenants/acme/tokens', { expires_at: 'tomorrow' }, 'body-malformed'],
    ['/tenants/acme/tokens', { expires_at: '2020-01-01T00:00:00Z' }, 'state-forbids'],
    ['/tenants/acme/tokens/none/revoke', {}, 'no-such-token'],
    ['/tenants/acme/tokens/a.b/revoke', {}, 'no-such-token'],
    ['/tenants/nobody/tokens/none/revoke', {}, 'no-such-tenant'],
    ['/tenants/acme/suspend', {}, 'body-malformed'],
    ['/tenants/acme/resume', {}, 'state-forbids'],
    ['/tenants/nobody/rename', { display_name: 'x' }, 'no-such-tenant'],
  ] as const) {
    it(`POST ${path} ${JSON.stringify(body)} is ${code}, and nothing is stored`, async () => {
      const before = await under.store.heads();
      expect(codeOf(await send(path, body))).to.equal(code);
      expect(await under.store.heads()).to.deep.equal(before);
      expect(under.faults).to.deep.equal([]);
    });
  }

  it('what is not there is named as missing', async () => {
    expect(codeOf(await get('/tenants/nobody'))).to.equal('no-such-tenant');
    expect(codeOf(await get('/tenants/nobody/tokens'))).to.equal('no-such-tenant');
    expect(codeOf(await get('/tenants/N%00/tokens'))).to.equal('no-such-tenant');
  });

  it('opens nothing for tokens of other tenants, even for those that have the scopes', async () => {
    const intruder = await under.token({ tenant: acme, scopes: SCOPES });
    const before = await under.store.heads();
    const administration = under.gateway.routes.filter(
      ({ guard }) => 'scope' in guard && OPERATOR_SCOPES.some((scope) => scope === guard.scope),
    );
    expect(administration.length).to.be.greaterThan(10);
    for (const { method, path } of administration) {
      const concrete = path.replace(':tenant', 'acme').replace(':token_id', 'x');
      const headers = { authorization: `Bearer ${intruder}` };
      const answer = await under.gateway.inject({ method: method as 'GET', path: concrete, headers });
      expect(answer.status, `${method} ${path}`).to.equal(403);
      if (method !== 'HEAD') expect(codeOf(answer), path).to.equal('scope-missing');
    }
    expect(await under.store.heads()).to.deep.equal(before);
  });

  it('each scope opens its own routes only, and an operator reads nothing of a tenant', async () => {
    const tenants = await under.token({ tenant: OPERATORS, scopes: ['tenants:admin'] });
    const tokens = await under.token({ tenant: OPERATORS, scopes: ['tokens:admin'] });
    expect((await get('/tenants', tenants)).status).to.equal(200);
    expect(codeOf(await get('/tenants', tokens))).to.equal('scope-missing');
    expect((await get('/tenants/acme/tokens', tokens)).status).to.equal(200);
    expect(codeOf(await get('/tenants/acme/tokens', tenants))).to.equal('scope-missing');
    const all = await under.token({ tenant: OPERATORS, scopes: SCOPES });
    for (const path of ['head', 'events', 'export', 'tail'])
      expect(codeOf(await get(`/ledger/acme/${path}`, all)), path).to.equal('other-tenant');
  });

  it('a revoked operator administers no more', async () => {
    await under.command(OPERATORS, { type: 'RevokeToken', tokenId: tokenId(idOf(operator)) });
    expect(codeOf(await send('/tenants', { tenant: 'late' }))).to.equal('token-revoked');
    expect(await under.store.head(tenantId('late'))).to.equal(undefined);
  });
});
