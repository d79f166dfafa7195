import { expect } from 'chai';
import { acme, codeOf, globex, openGateway, receipt } from './gateway-under-test.ts';

describe('gateway/http: more than can be taken', () => {
  // Too slow for a test to see a bucket fill.
  const rates = { each: { perSecond: 0.001, burst: 3 } };
  const open = (load = { now: 0 }) => openGateway(undefined, { rates, load: () => load.now });

  const lines = (count: number): string =>
    Array.from({ length: count }, () => `${JSON.stringify(receipt())}\n`).join('');
  const NDJSON = { 'content-type': 'application/x-ndjson' };
  const resultsIn = (body: string): readonly string[] =>
    body
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { status: string; problem?: { code: string } })
      .map(({ status, problem }) => problem?.code ?? status);

  it('a tenant beyond its rate is told when to come back, before its body is looked at', async () => {
    await using under = await open();
    const token = await under.token();
    for (const left of [2, 1, 0]) {
      const { status, headers } = await under.post(token, receipt());
      expect(status).to.equal(201);
      expect(headers['ratelimit-policy']).to.equal('"tenant";q=3;w=3000');
      expect(headers['ratelimit']).to.match(new RegExp(`^"tenant";r=${left};t=\\d+$`));
    }
    const refused = await under.post(token, 'not JSON');
    expect([refused.status, codeOf(refused)]).to.deep.equal([429, 'rate-limited']);
    expect(Number(refused.headers['retry-after'])).to.be.within(900, 1_000);
    expect(refused.headers['ratelimit']).to.match(/^"tenant";r=0;/);
    expect(codeOf(await under.get(token, '/ledger/acme/head'))).to.equal('rate-limited');
  });

  it('other tenants do not feel it, and what is open is not counted', async () => {
    await using under = await open();
    const token = await under.token();
    for (let count = 0; count < 5; count += 1) await under.post(token, receipt());
    const other = await under.token({ tenant: globex });
    expect((await under.post(other, receipt({ tenant: 'globex' }))).status).to.equal(201);
    const health = await under.get(undefined, '/healthz');
    expect([health.status, health.headers['ratelimit']]).to.deep.equal([200, undefined]);
  });

  it('a batch counts by its lines; behind the first that is refused all are', async () => {
    await using under = await open();
    const token = await under.token();
    const { status, body } = await under.post(token, lines(5), NDJSON);
    expect(status).to.equal(200);
    const stored = ['recorded', 'recorded', 'recorded'];
    expect(resultsIn(body)).to.deep.equal([...stored, 'rate-limited', 'rate-limited']);
    expect(body).to.match(/"retry_after":\d{3}/);
    // The tenant and its token come first.
    expect(await under.store.head(acme)).to.have.property('seq', 2 + stored.length);
  });

  it('a batch of events counts by its events', async () => {
    await using under = await open();
    const token = await under.token();
    const events = Array.from({ length: 5 }, (_, index) => ({
      specversion: '1.0',
      id: `e${index}`,
      source: '/billing',
      type: 'db.export',
      subject: 'alice',
      data: { decision: 'allow' },
    }));
    const type = { 'content-type': 'application/cloudevents-batch+json' };
    const { results } = JSON.parse((await under.post(token, events, type)).body) as {
      results: readonly { problem?: { code: string } }[];
    };
    const [taken, refused] = [undefined, 'rate-limited'];
    expect(results.map(({ problem }) => problem?.code)).to.deep.equal([
      taken,
      taken,
      taken,
      refused,
      refused,
    ]);
  });

  it('from a queue that is half full on, batches and what can wait are refused; a receipt is taken', async () => {
    const load = { now: 0.5 };
    await using under = await open(load);
    const token = await under.token();
    const batch = await under.post(token, lines(2), NDJSON);
    expect(resultsIn(batch.body)).to.deep.equal(['overloaded', 'overloaded']);
    const waits = await under.post(token, receipt(), { priority: 'u=6' });
    expect([waits.status, codeOf(waits), waits.headers['retry-after']]).to.deep.equal([
      503,
      'overloaded',
      '1',
    ]);
    expect((await under.post(token, receipt())).status).to.equal(201);
  });
});
