import { expect } from 'chai';
import { type Authorise, authoriser } from '#gateway/http/auth.ts';
import { newToken, parseToken, SCOPES } from '#gateway/http/tokens.ts';
import type { Instant } from '#schemas/ids.ts';
import { faultsOf } from '#schemas/index.ts';
import { tokenId } from '#schemas/tenants.ts';
import { StreamError } from '#streams/errors.ts';
import {
  ALL_SCOPES,
  acme,
  codeOf,
  type GatewayUnderTest,
  globex,
  openGateway,
  receipt,
} from './gateway-under-test.ts';

const CALLS = [
  { scope: 'receipts:write', call: (under: GatewayUnderTest, token: string) => under.post(token, receipt()) },
  {
    scope: 'receipts:read',
    call: (under: GatewayUnderTest, token: string) => under.get(token, '/provenance/receipts/none'),
  },
  {
    scope: 'ledger:read',
    call: (under: GatewayUnderTest, token: string) => under.get(token, '/ledger/acme/head'),
  },
  {
    scope: 'flags:read',
    call: (under: GatewayUnderTest, token: string) => under.get(token, '/flags'),
  },
  {
    scope: 'flags:report',
    call: (under: GatewayUnderTest, token: string) =>
      under.gateway.inject({
        method: 'POST',
        path: '/flags/none/observations',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify({ window_from: '2026-11-21T08:59:00Z', window_to: '2026-11-21T09:00:00Z' }),
      }),
  },
  {
    scope: 'attestations:report',
    call: (under: GatewayUnderTest, token: string) => under.get(token, '/gates/receipts'),
  },
] as const;

const LET_IN = {
  'receipts:write': 201,
  'receipts:read': 404,
  'ledger:read': 200,
  'flags:read': 200,
  'flags:report': 404,
  'attestations:report': 200,
};

describe('gateway/http: who may', () => {
  let under: GatewayUnderTest;

  beforeEach(async () => {
    under = await openGateway();
  });
  afterEach(() => under[Symbol.asyncDispose]());

  for (const { scope, call } of CALLS) {
    it(`${scope} is needed and enough`, async () => {
      expect((await call(under, await under.token({ scopes: [scope] }))).status).to.equal(LET_IN[scope]);
      const others = ALL_SCOPES.filter((other) => other !== scope);
      const refused = await call(under, await under.token({ scopes: others }));
      expect(refused.status).to.equal(403);
      expect(JSON.parse(refused.body)).to.include({ code: 'scope-missing', scope });
      expect(refused.headers['www-authenticate']).to.equal(
        `Bearer error="insufficient_scope", scope="${scope}"`,
      );
    });

    it(`${scope}: no token, or none of this ledger, is 401`, async () => {
      const token = await under.token();
      const secret = token.split('.')[2] as string;
      const flipped = token.slice(0, -2) + (token.at(-2) === 'A' ? 'B' : 'A') + token.at(-1);
      const nobody = newToken(acme).token;
      const elsewhere = token.replace('plt_acme.', 'plt_globex.');
      const nowhere = token.replace('plt_acme.', 'plt_nowhere.');
      for (const bad of [
        flipped,
        nobody,
        elsewhere,
        nowhere,
        `${token}A`,
        `x${token}`,
        secret,
        '',
        'plt_',
        'é'.repeat(40),
        'x'.repeat(5_000),
      ]) {
        const answer = await call(under, bad);
        expect(codeOf(answer), bad.slice(0, 60)).to.equal('token-refused');
        expect(answer.status).to.equal(401);
        expect(answer.headers['www-authenticate']).to.equal('Bearer error="invalid_token"');
      }
    });
  }

  it('without an Authorization header there is a plain challenge', async () => {
    const answer = await under.get(undefined, '/ledger/acme/head');
    expect(codeOf(answer)).to.equal('token-missing');
    expect(answer.headers['www-authenticate']).to.equal('Bearer');
  });

  it('another scheme is no token; the name of the scheme may be in any case', async () => {
    const token = await under.token();
    const head = (authorization: string) =>
      under.gateway.inject({ method: 'GET', path: '/ledger/acme/head', headers: { authorization } });
    expect(codeOf(await head(`Basic ${token}`))).to.equal('token-refused');
    expect((await head(`bEARER ${token}`)).status).to.equal(200);
  });

  it('a token ends at the millisecond it names', async () => {
    const token = await under.token({ expiresAt: '2026-11-21T10:00:00Z' });
    under.clock.now = Date.UTC(2026, 10, 21, 10) - 1;
    expect((await under.get(token, '/ledger/acme/head')).status).to.equal(200);
    under.clock.now += 1;
    expect(codeOf(await under.get(token, '/ledger/acme/head'))).to.equal('token-expired');
  });

  it('a token of one tenant opens no path of another, whether that exists or not', async () => {
    const token = await under.token();
    for (const tenant of ['globex', 'nowhere', 'ACME', 'acme%20', '..']) {
      const answer = await under.get(token, `/ledger/${tenant}/head`);
      expect(codeOf(answer), tenant).to.be.oneOf(['other-tenant', 'no-such-route']);
      expect(answer.status).to.be.oneOf([403, 404]);
      expect(answer.body).to.not.contain('hash');
    }
  });
});

describe('gateway/http: revocation', () => {
  it('takes hold within a second, for tokens and for whole tenants', async () => {
    await using under = await openGateway();
    const steady = { now: 0 };
    const authorise = authoriser({
      store: under.store,
      clock: () => under.clock.now as Instant,
      steadyClock: () => steady.now,
    });
    const [one, two] = [await under.token(), await under.token()];
    const codeFor = async (token: string): Promise<string> => {
      const verdict = await authorise(`Bearer ${token}`, 'ledger:read');
      return 'problem' in verdict ? verdict.problem.code : 'in';
    };
    expect([await codeFor(one), await codeFor(two)]).to.deep.equal(['in', 'in']);
    await under.command(acme, { type: 'RevokeToken', tokenId: tokenId(one.split('.')[1] as string) });
    steady.now += 999;
    expect(await codeFor(one), 'what was read is used for a second').to.equal('in');
    steady.now += 1;
    expect([await codeFor(one), await codeFor(two)]).to.deep.equal(['token-revoked', 'in']);
    await under.command(acme, { type: 'SuspendTenant', reason: 'unpaid' });
    steady.now += 1_000;
    expect([await codeFor(one), await codeFor(two)]).to.deep.equal(['token-revoked', 'tenant-suspended']);
    await under.command(acme, { type: 'ResumeTenant' });
    steady.now += 1_000;
    expect(await codeFor(two)).to.equal('in');
  });

  it('that happens while the facts are being read is not outlived by what was read', async () => {
    await using under = await openGateway();
    const steady = { now: 0 };
    const token = await under.token();
    const held = Promise.withResolvers<void>();
    let reads = 0;
    const store = {
      readStream: async (...of: Parameters<typeof under.store.readStream>) => {
        const facts = await under.store.readStream(...of);
        reads += 1;
        if (reads === 1) await held.promise;
        return facts;
      },
    };
    const authorise: Authorise = authoriser({
      store,
      clock: () => under.clock.now as Instant,
      steadyClock: () => steady.now,
    });
    const early = authorise(`Bearer ${token}`, 'ledger:read');
    await new Promise((resolve) => setImmediate(resolve));
    await under.command(acme, { type: 'RevokeToken', tokenId: tokenId(token.split('.')[1] as string) });
    steady.now = 1_500;
    held.resolve();
    await early;
    const late = await authorise(`Bearer ${token}`, 'ledger:read');
    expect(late).to.have.nested.property('problem.code', 'token-revoked');
    expect(reads).to.equal(2);
  });

  it('lets nobody in when the store is away, and says so', async () => {
    let away = false;
    await using under = await openGateway((store) => ({
      ...store,
      readStream: async (...of) => {
        if (away) throw new StreamError('unavailable', 'connect ECONNREFUSED 10.0.0.7:5432');
        return await store.readStream(...of);
      },
    }));
    const token = await under.token();
    away = true;
    const answer = await under.get(token, '/ledger/acme/head');
    expect(answer.status).to.equal(503);
    expect(codeOf(answer)).to.equal('store-unavailable');
    expect(answer.headers['retry-after']).to.equal('2');
    expect(answer.body).to.not.contain('10.0.0.7');
    expect(under.faults).to.have.lengthOf(1);
    away = false;
    expect((await under.get(token, '/ledger/acme/head')).status).to.equal(200);
  });

  it('is read once for all who come together', async () => {
    let reads = 0;
    await using under = await openGateway((store) => ({
      ...store,
      readStream: (...of) => {
        reads += 1;
        return store.readStream(...of);
      },
    }));
    const token = await under.token();
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => under.get(token, '/ledger/acme/head')),
    );
    expect(answers.map((answer) => answer.status)).to.deep.equal(Array.from({ length: 50 }, () => 200));
    expect(reads).to.equal(1);
  });
});

describe('gateway/http: a new token', () => {
  it('works at once, though its tenant was read a moment before', async () => {
    await using under = await openGateway();
    expect((await under.get(await under.token(), '/ledger/acme/head')).status).to.equal(200);
    expect((await under.get(await under.token(), '/ledger/acme/head')).status).to.equal(200);
    await under.command(acme, { type: 'SuspendTenant', reason: 'unpaid' });
    await under.command(acme, { type: 'ResumeTenant' });
    expect((await under.get(await under.token(), '/ledger/acme/head')).status).to.equal(200);
  });

  it('costs no reads when it is none: those that wrong tokens ask for are few', async () => {
    let reads = 0;
    await using under = await openGateway((store) => ({
      ...store,
      readStream: (...of) => {
        reads += 1;
        return store.readStream(...of);
      },
    }));
    const { token } = newToken(acme);
    const began = performance.now();
    for (let round = 0; round < 3; round += 1) {
      const answers = await Promise.all(
        Array.from({ length: 40 }, () => under.get(token, '/ledger/acme/head')),
      );
      expect(new Set(answers.map(codeOf))).to.deep.equal(new Set(['token-refused']));
    }
    expect(reads).to.be.at.most(2 + Math.ceil((performance.now() - began) / 100));
  });
});

describe('gateway/http: tokens', () => {
  it('carry their tenant and id, and never the hash that is kept', () => {
    const { token, tokenId: id, tokenHash } = newToken(globex);
    expect(parseToken(token)).to.deep.equal({ tenant: 'globex', tokenId: id, secretHash: tokenHash });
    expect(token).to.not.contain(tokenHash);
    expect(newToken(globex).token).to.not.equal(token);
  });

  it('have scopes that can be issued', () => {
    const data = { token_id: 'a', token_hash: '0'.repeat(64), scopes: [...SCOPES] };
    expect(faultsOf('tenants.TokenIssued', 1, data)).to.deep.equal([]);
  });
});
