import { expect } from 'chai';
import { authoriser } from '#gateway/http/auth.ts';
import { LIMITS } from '#gateway/http/limits.ts';
import { rateLimiter } from '#gateway/http/rate-limit.ts';
import { jsonReply, type MountableRoute } from '#gateway/http/route.ts';
import { SCOPES } from '#gateway/http/tokens.ts';
import { web } from '#gateway/http/web.ts';
import type { Instant } from '#schemas/ids.ts';
import { acme, codeOf, type GatewayUnderTest, openGateway, receipt } from './gateway-under-test.ts';

/** Nothing is open but what is listed here. */
const OPEN = [
  '/.well-known/jwks.json',
  '/healthz',
  '/readyz',
  '/openapi.json',
  '/docs',
  '/problems',
  '/problems/:code',
];

const mount = (route: MountableRoute, audience: 'callers' | 'operators' = 'callers') =>
  web({
    routes: [route],
    audience,
    limits: LIMITS,
    rates: rateLimiter({}),
    authorise: authoriser({ store: { readStream: async () => [] }, clock: () => 0 as Instant }),
    draining: () => false,
    entered: () => undefined,
    left: () => undefined,
    answered: () => undefined,
    fault: () => undefined,
  });

describe('gateway/http: routes', () => {
  let under: GatewayUnderTest;

  beforeEach(async () => {
    under = await openGateway();
  });
  afterEach(() => under[Symbol.asyncDispose]());

  it('all declare who may take them', async () => {
    await under.gateway.inject({ method: 'GET', path: '/healthz' });
    const { routes } = under.gateway;
    const served = routes.filter(
      ({ guard }) => !('open' in guard && guard.open.startsWith('names the methods')),
    );
    expect(new Set(served.map(({ method, path }) => `${method} ${path}`))).to.deep.equal(
      new Set([
        'POST /receipts',
        'GET /receipts',
        'HEAD /receipts',
        'GET /provenance/receipts/:id/proof',
        'HEAD /provenance/receipts/:id/proof',
        'GET /provenance/receipts/:id',
        'HEAD /provenance/receipts/:id',
        'GET /ledger/:tenant/head',
        'HEAD /ledger/:tenant/head',
        'GET /ledger/:tenant/events',
        'HEAD /ledger/:tenant/events',
        'GET /ledger/:tenant/export',
        'HEAD /ledger/:tenant/export',
        'GET /ledger/:tenant/tail',
        'HEAD /ledger/:tenant/tail',
        'POST /flags/:feature/observations',
        'GET /flags',
        'HEAD /flags',
        'POST /attestations',
        'GET /gates/:route',
        'HEAD /gates/:route',
        'POST /verify',
        'POST /tenants',
        'GET /tenants',
        'HEAD /tenants',
        'GET /tenants/:tenant',
        'HEAD /tenants/:tenant',
        'POST /tenants/:tenant/rename',
        'POST /tenants/:tenant/suspend',
        'POST /tenants/:tenant/resume',
        'POST /tenants/:tenant/tokens',
        'GET /tenants/:tenant/tokens',
        'HEAD /tenants/:tenant/tokens',
        'POST /tenants/:tenant/tokens/:token_id/revoke',
        'GET /projections',
        'HEAD /projections',
        'GET /tenants/:tenant/projections',
        'HEAD /tenants/:tenant/projections',
        'GET /projections/:projection/job',
        'HEAD /projections/:projection/job',
        'GET /projections/:projection/jobs',
        'HEAD /projections/:projection/jobs',
        'GET /projections/:projection/jobs/:job',
        'HEAD /projections/:projection/jobs/:job',
        'POST /projections/:projection/jobs/:job/cancel',
        'GET /projections/:projection/parked',
        'HEAD /projections/:projection/parked',
        'POST /projections/:projection/parked/skip',
        'POST /projections/:projection/rollback',
        'POST /projections/:projection/drop-old',
        'POST /projections/:projection/rebuild',
        'POST /projections/:projection/verify',
        'POST /projections/:projection/pause',
        'POST /projections/:projection/resume',
        'GET /version',
        'HEAD /version',
        ...OPEN.flatMap((path) => [`GET ${path}`, `HEAD ${path}`]),
      ]),
    );
    for (const { path, guard } of served) {
      if (OPEN.includes(path))
        expect(guard).to.have.property('open').that.is.a('string').with.length.greaterThan(10);
      else
        expect(guard)
          .to.have.property('scope')
          .that.is.oneOf([...SCOPES]);
    }
  });

  it('that are guarded answer nobody without a token, whatever the method', async () => {
    for (const { method, path, guard } of under.gateway.routes) {
      if (!('scope' in guard)) continue;
      const concrete = path.replace(':id', 'x').replace(':tenant', 'acme');
      const answer = await under.gateway.inject({ method: method as 'GET', path: concrete });
      expect(answer.status, `${method} ${path}`).to.equal(401);
    }
  });

  it('without a guard are refused when the server is made', () => {
    const planted = { method: 'GET', path: '/planted', handle: () => jsonReply({}) };
    const guards = [undefined, {}, { scope: '' }, { open: '' }, { scope: undefined }];
    for (const guard of guards) {
      expect(() => mount({ ...planted, guard } as never), JSON.stringify(guard)).to.throw(
        /declares no guard/,
      );
    }
    expect(() => mount({ ...planted, guard: { open: 'planted with a reason' } } as never)).to.not.throw();
  });

  it('for operators are refused on the server that callers reach', () => {
    const planted = { method: 'GET', path: '/planted', handle: () => jsonReply({}) };
    const forOperators = { ...planted, guard: { operators: 'planted with a reason' } } as never;
    expect(() => mount(forOperators)).to.throw(/callers must not reach it/);
    expect(() => mount(forOperators, 'operators')).to.not.throw();
  });

  it("on the operators' address are figures and health, and nothing of the ledger", async () => {
    const { operators } = under.gateway;
    await operators.inject({ method: 'GET', path: '/healthz' });
    const served = operators.routes.filter(({ method }) => method === 'GET').map(({ path }) => path);
    expect(served.toSorted()).to.deep.equal(['/healthz', '/metrics', '/readyz']);
    expect((await operators.inject({ method: 'GET', path: '/readyz' })).status).to.equal(200);
    const token = await under.token();
    const elsewhere = await operators.inject({
      method: 'GET',
      path: '/ledger/acme/head',
      headers: { authorization: `Bearer ${token}` },
    });
    expect(codeOf(elsewhere)).to.equal('no-such-route');
    for (const asked of [undefined, token])
      expect(codeOf(await under.get(asked, '/metrics'))).to.equal('no-such-route');
  });

  it('that are open answer anybody', async () => {
    const keys = await under.get(undefined, '/.well-known/jwks.json');
    expect(JSON.parse(keys.body)).to.deep.equal(under.jwks);
    expect(keys.headers['content-type']).to.match(/^application\/jwk-set\+json/);
    expect(JSON.parse((await under.get(undefined, '/healthz')).body)).to.deep.equal({ status: 'ok' });
    expect(JSON.parse((await under.get(undefined, '/readyz')).body)).to.deep.equal({
      status: 'ready',
      missing: [],
    });
  });

  it('/readyz names what is not ready', async () => {
    under.ready.missing = ['migrations', 'projection receipts'];
    const answer = await under.get(undefined, '/readyz');
    expect(answer.status).to.equal(503);
    expect(answer.headers['retry-after']).to.equal('2');
    expect(JSON.parse(answer.body)).to.deep.include({
      code: 'not-ready',
      missing: ['migrations', 'projection receipts'],
    });
  });

  it('/metrics counts requests by route, and names no tenant, path or id', async () => {
    const token = await under.token();
    await under.post(token, receipt({ id: 'private-id' }));
    await under.post(token, receipt({ id: 'private-id', decision: 'deny' }));
    await under.get(token, '/provenance/receipts/private-id');
    await under.get(undefined, '/no/such/private-id');
    const { body } = await under.gateway.operators.inject({ method: 'GET', path: '/metrics' });
    expect(body).to.contain('ledger_http_requests_total{method="POST",route="/receipts",status="201"} 1');
    expect(body).to.contain(
      'ledger_http_requests_total{method="GET",route="/provenance/receipts/:id",status="200"} 1',
    );
    expect(body).to.contain('ledger_http_requests_total{method="GET",route="none",status="404"} 1');
    expect(body).to.contain('ledger_appends_total{outcome="appended"} 1');
    expect(body).to.contain('ledger_appends_total{outcome="id-taken"} 1');
    expect(body).to.contain('ledger_write_latency_seconds_count 1');
    expect(body).to.contain('ledger_http_requests_in_flight 0');
    expect(body).to.not.match(/acme|private/);
  });

  it('GET /ledger/{tenant}/head is the end of the chain, signed', async () => {
    const token = await under.token();
    const { fact, proof } = JSON.parse((await under.post(token, receipt())).body);
    const answer = await under.get(token, '/ledger/acme/head');
    expect(answer.status).to.equal(200);
    expect(JSON.parse(answer.body)).to.deep.equal({
      tenant: 'acme',
      seq: fact.seq,
      hash: fact.hash,
      recorded_at: fact.recorded_at,
      proof,
    });
    expect((await under.store.head(acme))?.seq).to.equal(fact.seq);
  });

  it('a path that does not exist, and a method that a path does not take, are problems', async () => {
    expect(codeOf(await under.get(undefined, '/receipts/'))).to.equal('no-such-route');
    for (const [method, path, allow] of [
      ['DELETE', '/receipts', 'POST, GET, HEAD'],
      ['DELETE', '/provenance/receipts/x', 'GET, HEAD'],
      ['PUT', '/healthz', 'GET, HEAD'],
      ['OPTIONS', '/ledger/acme/head', 'GET, HEAD'],
    ] as const) {
      const answer = await under.gateway.inject({ method, path, body: method === 'PUT' ? 'text' : '' });
      expect(codeOf(answer), path).to.equal('method-not-allowed');
      expect(answer.headers['allow']).to.equal(allow);
    }
  });

  it('every answer has a request id: the caller’s own when it is harmless', async () => {
    const ask = (headers: Record<string, string>) =>
      under.gateway.inject({ method: 'GET', path: '/nowhere', headers });
    const mine = await ask({ 'x-request-id': 'job-17.2' });
    expect(mine.headers['x-request-id']).to.equal('job-17.2');
    expect(JSON.parse(mine.body).instance).to.equal('urn:prov-ledger:request:job-17.2');
    const hostile = await ask({ 'x-request-id': '"><script>' });
    expect(hostile.headers['x-request-id']).to.match(/^[0-9a-f]{12}-\w+$/);
    expect((await ask({})).headers['x-request-id']).to.not.equal(hostile.headers['x-request-id']);
  });
});
