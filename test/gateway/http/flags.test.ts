import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { type FlagCommand, flags } from '#commands/flags.ts';
import { runCommand } from '#commands/run.ts';
import type { Instant } from '#schemas/ids.ts';
import { acme, codeOf, type GatewayUnderTest, globex, openGateway, receipt } from './gateway-under-test.ts';

describe('gateway/http: GET /flags', () => {
  let under: GatewayUnderTest;
  let token: string;

  beforeEach(async () => {
    under = await openGateway();
    token = await under.token();
  });
  afterEach(() => under[Symbol.asyncDispose]());

  const said = { feature: 'new-checkout', reason: 'the release' };
  const ask = async (command: FlagCommand, tenant = acme): Promise<void> => {
    const context = { tenant, actor: 'ada', at: under.clock.now as Instant, key: randomUUID() };
    const outcome = await runCommand({ store: under.store, decider: flags }, command, context);
    expect(outcome.kind).to.equal('recorded');
  };
  const get = (etag?: string) =>
    under.gateway.inject({
      method: 'GET',
      path: '/v1/flags',
      headers: { authorization: `Bearer ${token}`, ...(etag && { 'if-none-match': etag }) },
    });

  it('says of each flag in force how many get it, and of no other tenant', async () => {
    await ask({ type: 'SetFlag', ...said, pct: 10 });
    await ask({ type: 'SetFlag', ...said, feature: 'dark-mode', pct: 50 });
    await ask({ type: 'RetireFlag', ...said, feature: 'dark-mode' });
    await ask({ type: 'SetFlag', ...said, feature: 'of-globex', pct: 50 }, globex);
    await ask({ type: 'FreezeFlag', ...said, cause: 'ordered' });
    const answer = await get();
    expect(answer.status).to.equal(200);
    expect(JSON.parse(answer.body)).to.deep.equal({
      format: 'prov-ledger/flags@1',
      tenant: 'acme',
      flags: { 'new-checkout': { pct: 10, frozen: true, seq: 6 } },
    });
    expect(answer.headers['cache-control']).to.equal('private, no-cache');
  });

  it('its tag changes when a flag moves, and not with other facts', async () => {
    await ask({ type: 'SetFlag', ...said, pct: 10 });
    const etag = String((await get()).headers['etag']);
    expect((await get(etag)).status).to.equal(304);
    await under.post(token, receipt());
    expect((await get(etag)).status).to.equal(304);
    await ask({ type: 'SetFlag', ...said, pct: 20 });
    const moved = await get(etag);
    expect(moved.status).to.equal(200);
    expect(moved.headers['etag']).to.not.equal(etag);
  });

  it('is not for a token without the scope', async () => {
    token = await under.token({ scopes: ['ledger:read', 'receipts:read'] });
    expect(codeOf(await get())).to.equal('scope-missing');
  });
});
