// Tokens of an OpenID Connect provider that really listens, and what attackers make of them.
import { createHmac } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { exportSPKI } from 'jose';
import { type KeyTimes, oidcIdentities } from '#gateway/http/oidc.ts';
import type { JwtAlgorithm, OidcOptions } from '#gateway/http/oidc-options.ts';
import { codeOf, type GatewayUnderTest, globex, openGateway, receipt } from './gateway-under-test.ts';
import { AUDIENCE, type Issuer, type SigningKey, signingKey, startIssuer, tokenOf } from './issuer.ts';

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

describe('gateway/http: tokens of an OpenID Connect provider', function () {
  this.timeout(30_000);
  let key: SigningKey;
  let rsa: SigningKey;
  let issuer: Issuer;

  before(async () => {
    key = await signingKey('k1');
    rsa = await signingKey('r1', 'RS256');
  });
  beforeEach(async () => {
    issuer = await startIssuer(key, rsa);
  });
  afterEach(() => issuer[Symbol.asyncDispose]());

  const options = (over: Partial<OidcOptions> = {}): OidcOptions => ({
    issuer: issuer.issuer,
    audience: AUDIENCE,
    jwksUrl: issuer.jwksUrl,
    algorithms: ['ES256', 'RS256'] as readonly JwtAlgorithm[],
    clockToleranceSeconds: 30,
    tenantClaim: 'tenant',
    scopeClaim: 'scope',
    tenants: new Map(),
    scopes: new Map(),
    ...over,
  });
  const opened = (
    over: Partial<OidcOptions> = {},
    times: Partial<KeyTimes> = {},
  ): Promise<GatewayUnderTest> => openGateway(undefined, { identify: oidcIdentities(options(over), times) });
  const claimed = (
    { clock }: GatewayUnderTest,
    claims: { readonly [name: string]: unknown } = {},
    by: SigningKey = key,
  ): Promise<string> => tokenOf(by, clock.now, { iss: issuer.issuer, ...claims });
  const head = (under: GatewayUnderTest, token: string) => under.get(token, '/ledger/acme/head');

  it('let in whom the issuer vouches for, as far as its scopes go', async () => {
    await using under = await opened();
    const token = await claimed(under);
    expect((await head(under, token)).status).to.equal(200);
    expect(codeOf(await under.post(token, receipt()))).to.equal('scope-missing');
    expect(codeOf(await under.get(token, '/ledger/globex/head'))).to.equal('other-tenant');
    const writer = await claimed(under, { scope: ['receipts:write'] }, rsa);
    expect((await under.post(writer, receipt())).status).to.equal(201);
    expect((await head(under, await under.token())).status, "the ledger's own still do").to.equal(200);
    expect(issuer.asked()).to.equal(1);
  });

  it('are no tokens at all where no provider is named', async () => {
    await using under = await openGateway();
    expect(codeOf(await head(under, await claimed(under)))).to.equal('token-refused');
  });

  it('are refused, each for its reason, and nothing is told of them', async () => {
    await using under = await opened();
    const now = Math.floor(under.clock.now / 1_000);
    const good = await claimed(under);
    const [header = '', claims = '', signature = ''] = good.split('.');
    const stranger = await signingKey('k1');
    const unknown = await signingKey('k9');
    const pem = await exportSPKI(rsa.publicKey);
    const hmac = (secret: string | Buffer): string => {
      const signed = `${part({ alg: 'HS256', kid: 'r1' })}.${claims}`;
      return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
    };
    const refused: readonly (readonly [title: string, token: string, code: string])[] = [
      ['alg none', `${part({ alg: 'none' })}.${claims}.`, 'token-refused'],
      [
        'alg none, with a signature',
        `${part({ alg: 'none', kid: 'k1' })}.${claims}.${signature}`,
        'token-refused',
      ],
      ['alg nOnE', `${part({ alg: 'nOnE' })}.${claims}.`, 'token-refused'],
      ['HS256 with the public key as PEM', hmac(pem), 'token-refused'],
      ['HS256 with the public key as JWK', hmac(JSON.stringify(rsa.jwk)), 'token-refused'],
      ['HS256 with no secret', hmac(''), 'token-refused'],
      [
        'another algorithm of the same key',
        `${part({ alg: 'RS512', kid: 'r1' })}.${claims}.${signature}`,
        'token-refused',
      ],
      ["another key under the issuer's kid", await claimed(under, {}, stranger), 'token-refused'],
      ['a kid that the issuer does not have', await claimed(under, {}, unknown), 'token-refused'],
      [
        'a key in the header',
        `${part({ alg: 'ES256', jwk: stranger.jwk })}.${claims}.${signature}`,
        'token-refused',
      ],
      [
        'an unknown critical extension',
        `${part({ alg: 'ES256', kid: 'k1', crit: ['x'], x: 1 })}.${claims}.${signature}`,
        'token-refused',
      ],
      ['changed claims', `${header}.${part({ sub: 'x' })}.${signature}`, 'token-refused'],
      ['a cut signature', good.slice(0, -4), 'token-refused'],
      ['another issuer', await claimed(under, { iss: 'https://elsewhere.example' }), 'token-refused'],
      ['no issuer', await claimed(under, { iss: undefined }), 'token-refused'],
      ['another audience', await claimed(under, { aud: 'https://other.example' }), 'token-refused'],
      ['no audience', await claimed(under, { aud: undefined }), 'token-refused'],
      ['no subject', await claimed(under, { sub: undefined }), 'token-refused'],
      ['a subject that could paint a terminal', await claimed(under, { sub: '\u001b[2J' }), 'token-refused'],
      ['no end', await claimed(under, { exp: undefined }), 'token-refused'],
      ['expired', await claimed(under, { exp: now - 31 }), 'token-expired'],
      ['not valid yet', await claimed(under, { nbf: now + 31 }), 'token-refused'],
      ['no tenant', await claimed(under, { tenant: undefined }), 'tenant-unnamed'],
      ['a tenant that is none', await claimed(under, { tenant: 'A C M E' }), 'tenant-unnamed'],
      ['a tenant that is a list', await claimed(under, { tenant: ['acme', 'globex'] }), 'tenant-unnamed'],
      ['a tenant that is not there', await claimed(under, { tenant: 'nowhere' }), 'tenant-unnamed'],
      ['who calls himself operators', await claimed(under, { tenant: 'operators' }), 'tenant-unnamed'],
      ['no scopes', await claimed(under, { scope: undefined }), 'scope-missing'],
      ['scopes that are none', await claimed(under, { scope: { 'ledger:read': true } }), 'scope-missing'],
      ['longer than 8 KiB', await claimed(under, { more: 'x'.repeat(8_192) }), 'token-refused'],
      ['not even that', 'a.b.c', 'token-refused'],
    ];
    for (const [title, token, code] of refused) {
      const answer = await head(under, token);
      expect(codeOf(answer), title).to.equal(code);
      expect(answer.status, title).to.equal(
        code === 'tenant-unnamed' || code === 'scope-missing' ? 403 : 401,
      );
      expect(answer.body, title).to.not.contain(claims);
    }
    expect(under.faults).to.deep.equal([]);
    expect((await head(under, good)).status).to.equal(200);
  });

  it('may be off by what the clocks may, and by no more', async () => {
    await using under = await opened();
    const now = Math.floor(under.clock.now / 1_000);
    for (const [claims, status] of [
      [{ exp: now - 29 }, 200],
      [{ exp: now - 30 }, 401],
      [{ nbf: now + 30 }, 200],
      [{ nbf: now + 31 }, 401],
    ] as const)
      expect((await head(under, await claimed(under, claims))).status, JSON.stringify(claims)).to.equal(
        status,
      );
  });

  it('mean here what the configuration says', async () => {
    await using under = await opened({
      tenantClaim: 'https://ledger.example/org',
      scopeClaim: '/realm_access/roles',
      tenants: new Map([
        ['Acme Inc', ['acme']],
        ['staff', ['operators']],
      ]),
      scopes: new Map([
        ['writer', ['receipts:write', 'receipts:read']],
        ['chief', ['tenants:admin', 'ledger:read']],
      ]),
    });
    const as = (org: string, ...roles: string[]) =>
      claimed(under, { 'https://ledger.example/org': org, realm_access: { roles } });
    expect((await under.post(await as('Acme Inc', 'writer'), receipt())).status).to.equal(201);
    expect(codeOf(await head(under, await as('Acme Inc', 'writer')))).to.equal('scope-missing');
    expect(codeOf(await head(under, await as('Acme Inc', 'ledger:read'))), 'not mapped').to.equal(
      'scope-missing',
    );
    expect(codeOf(await head(under, await as('acme', 'chief'))), 'not mapped').to.equal('tenant-unnamed');
    const chief = await as('Acme Inc', 'chief');
    expect((await head(under, chief)).status, 'what a tenant may have').to.equal(200);
  });

  it("are judged by the tenant's own facts too", async () => {
    await using under = await opened();
    const token = await claimed(under, { tenant: 'globex' });
    await under.command(globex, { type: 'SuspendTenant', reason: 'unpaid' });
    expect(codeOf(await under.get(token, '/ledger/globex/head'))).to.equal('tenant-suspended');
    await under.command(globex, { type: 'ResumeTenant' });
    expect((await under.get(token, '/ledger/globex/head')).status).to.equal(200);
  });

  it('follow a rotation: a new key at once, an old one until the set is read again', async () => {
    await using under = await opened({}, { cooldownMs: 0, freshMs: 100 });
    const old = await claimed(under);
    expect((await head(under, old)).status).to.equal(200);
    const next = await signingKey('k2');
    issuer.keys = [next.jwk];
    expect((await head(under, await claimed(under, {}, next))).status).to.equal(200);
    expect(codeOf(await head(under, old))).to.equal('token-refused');
  });

  it('with keys that nobody has do not turn into load on the issuer', async () => {
    await using under = await opened();
    const unknown = await claimed(under, {}, await signingKey('k9'));
    await head(under, await claimed(under));
    for (let count = 0; count < 50; count += 1)
      expect(codeOf(await head(under, unknown))).to.equal('token-refused');
    expect(issuer.asked()).to.equal(1);
  });

  for (const mode of ['failing', 'nonsense', 'silent'] as const) {
    it(`are not called bad when the issuer is ${mode}: 503 with Retry-After, and soon well again`, async () => {
      await using under = await opened({}, { timeoutMs: 200, backoffMs: 100 });
      issuer.mode = mode;
      const token = await claimed(under);
      for (let count = 0; count < 3; count += 1) {
        const answer = await head(under, token);
        expect(codeOf(answer)).to.equal('issuer-unavailable');
        expect(answer.status).to.equal(503);
        expect(answer.headers['retry-after']).to.equal('5');
        expect(answer.body).to.not.contain('127.0.0.1');
      }
      expect(under.faults).to.have.lengthOf(3);
      expect((await head(under, await under.token())).status, "the ledger's own").to.equal(200);
      issuer.mode = 'well';
      await pause(150);
      expect((await head(under, token)).status).to.equal(200);
    });
  }

  it('are still taken for a while when the issuer goes away, by the keys it had', async () => {
    await using under = await opened({}, { freshMs: 0, keptMs: 400, timeoutMs: 100, backoffMs: 0 });
    const token = await claimed(under);
    expect((await head(under, token)).status).to.equal(200);
    issuer.mode = 'silent';
    expect((await head(under, token)).status).to.equal(200);
    await pause(500);
    expect(codeOf(await head(under, token))).to.equal('issuer-unavailable');
  });
});
