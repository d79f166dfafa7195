import { once } from 'node:events';
import http from 'node:http';
import { expect } from 'chai';
import { type GatewayUnderTest, openGateway, receipt } from './gateway-under-test.ts';

/** A gateway whose appends wait until they are let go. */
const held = async () => {
  const gate = Promise.withResolvers<void>();
  const entered = Promise.withResolvers<void>();
  const under = await openGateway((store) => ({
    ...store,
    append: async (request) => {
      entered.resolve();
      await gate.promise;
      return await store.append(request);
    },
  }));
  const url = await under.gateway.listen({ host: '127.0.0.1', port: 0 });
  return { under, url, letGo: gate.resolve, entered: entered.promise };
};

const post = async (under: GatewayUnderTest, url: string): Promise<Promise<Response>> => {
  const authorization = `Bearer ${await under.token()}`;
  return fetch(`${url}/receipts`, {
    method: 'POST',
    headers: { authorization, 'content-type': 'application/json' },
    body: JSON.stringify(receipt()),
  });
};

describe('gateway/http: drain', () => {
  it('finishes what is under way, refuses what is new, then closes', async () => {
    const { under, url, letGo, entered } = await held();
    await using _ = under;
    const early = post(under, url);
    await entered;
    const drained = under.gateway.drain();
    const late = await fetch(`${url}/readyz`);
    expect(late.status).to.equal(503);
    expect(late.headers.get('connection')).to.equal('close');
    expect(late.headers.get('retry-after')).to.equal('1');
    expect(await late.json()).to.include({ code: 'shutting-down' });
    letGo();
    const answer = await early;
    expect(answer.status).to.equal(201);
    expect(await answer.json()).to.have.nested.property('fact.seq', 3);
    await drained;
    expect(
      await fetch(url).then(
        () => 'answered',
        () => 'refused',
      ),
    ).to.equal('refused');
  });

  it('waits no longer than its deadline', async () => {
    const { under, url, letGo, entered } = await held();
    await using _ = under;
    const early = post(under, url).catch((error: unknown) => error);
    await entered;
    const began = performance.now();
    await under.gateway.drain(100);
    expect(performance.now() - began).to.be.within(90, 3_000);
    expect(await early).to.be.instanceOf(Error);
    letGo();
  });

  it('lets no idle connection hold it up, and can be asked for twice', async () => {
    await using under = await openGateway();
    const url = await under.gateway.listen({ host: '127.0.0.1', port: 0 });
    expect(under.gateway.url()).to.equal(url);
    const agent = new http.Agent({ keepAlive: true });
    const request = http.get(`${url}/healthz`, { agent });
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    response.resume();
    await once(response, 'end');
    const began = performance.now();
    await Promise.all([under.gateway.drain(5_000), under.gateway.drain(5_000)]);
    expect(performance.now() - began).to.be.lessThan(1_000);
    agent.destroy();
  });

  it('forgets requests whose senders went away', async () => {
    const { under, url, letGo, entered } = await held();
    await using _ = under;
    const authorization = `Bearer ${await under.token()}`;
    const request = http.request(`${url}/receipts`, {
      method: 'POST',
      headers: { authorization, 'content-type': 'application/json' },
    });
    request.on('error', () => undefined);
    request.end(JSON.stringify(receipt()));
    await entered;
    request.destroy();
    const began = performance.now();
    await under.gateway.drain(5_000);
    expect(performance.now() - began).to.be.lessThan(1_000);
    letGo();
  });

  it('that finds its port taken can be tried on another', async () => {
    await using one = await openGateway();
    await using two = await openGateway();
    const { port } = new URL(await one.gateway.listen({ host: '127.0.0.1', port: 0 }));
    const taken = await two.gateway
      .listen({ host: '127.0.0.1', port: Number(port) })
      .catch((error: unknown) => error);
    expect(taken).to.have.property('code', 'EADDRINUSE');
    const url = await two.gateway.listen({ host: '127.0.0.1', port: 0 });
    expect((await fetch(`${url}/healthz`)).status).to.equal(200);
  });

  it('has no URL before it listens', async () => {
    await using under = await openGateway();
    expect(() => under.gateway.url()).to.throw(/call listen first/);
  });
});
