import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { tailRings } from '#gateway/http/tail-ring.ts';
import { parseToken } from '#gateway/http/tokens.ts';
import { jwks } from '#proofs/keys/public-key.ts';
import { verifyReceipt } from '#proofs/verifier.ts';
import type { Seq } from '#schemas/ids.ts';
import { memoryLedger } from '#streams/memory/ledger.ts';
import { testSigner } from '#test/support/test-signer.ts';
import {
  acme,
  codeOf,
  type GatewayUnderTest,
  gatewayOn,
  globex,
  openGateway,
  receipt,
} from './gateway-under-test.ts';

interface Event {
  readonly id?: string;
  readonly event?: string;
  readonly data?: string;
}

/** The events of a response, comments left out. */
const eventsOf = async function* (response: IncomingMessage): AsyncGenerator<Event> {
  let text = '';
  for await (const chunk of response) {
    text += String(chunk);
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const lines = text.slice(0, end).split('\n');
      text = text.slice(end + 2);
      if (!lines[0]?.startsWith(':'))
        yield Object.fromEntries(lines.map((line) => line.split(/: (.*)/s).slice(0, 2)));
    }
  }
};

describe('gateway/http: the tail of a ledger', () => {
  let under: GatewayUnderTest;
  let token: string;
  let url: string;

  beforeEach(async () => {
    under = await openGateway();
    token = await under.token();
    url = await under.gateway.listen({ host: '127.0.0.1', port: 0 });
  });
  afterEach(() => under[Symbol.asyncDispose]());

  const open = async (query = '', headers: Record<string, string> = {}): Promise<IncomingMessage> => {
    const request = get(`${url}/v1/ledger/acme/tail${query}`, {
      headers: { authorization: `Bearer ${token}`, ...headers },
    });
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    response.on('error', () => undefined);
    return response;
  };

  const take = async (events: AsyncGenerator<Event>, count: number): Promise<readonly Event[]> => {
    const taken: Event[] = [];
    while (taken.length < count) {
      const next = await events.next();
      if (next.done) break;
      taken.push(next.value);
    }
    return taken;
  };

  it('sends what is recorded next, and goes on after Last-Event-ID without a gap', async () => {
    const response = await open();
    expect(response.headers['content-type']).to.equal('text/event-stream; charset=utf-8');
    const events = eventsOf(response);
    for (let n = 0; n < 5; n += 1) await under.post(token, receipt({ id: `r-${n}` }));
    const head = (await under.store.head(acme))?.seq ?? 0;
    const taken = await take(events, 2);
    expect(taken.map(({ id }) => Number(id))).to.deep.equal([head - 4, head - 3]);
    response.destroy();
    const again = await open('', { 'last-event-id': String(head - 3) });
    await under.post(token, receipt({ id: 'r-late' }));
    const rest = await take(eventsOf(again), 4);
    expect(rest.map(({ id }) => Number(id))).to.deep.equal([head - 2, head - 1, head, head + 1]);
    expect(JSON.parse(rest[3]?.data ?? '')).to.include({ tenant: 'acme', seq: head + 1 });
    again.destroy();
  });

  it('sends the whole chain from its beginning, and only that of its own tenant', async () => {
    const theirs = await under.token({ tenant: globex });
    await under.post(theirs, receipt({ tenant: 'globex' }));
    const lines = Array.from({ length: 700 }, (_, n) => JSON.stringify(receipt({ id: `many-${n}` })));
    await under.post(token, lines.join('\n'), { 'content-type': 'application/x-ndjson' });
    const response = await open('?from=1');
    const head = (await under.store.head(acme))?.seq ?? 0;
    const taken = await take(eventsOf(response), head);
    response.destroy();
    expect(taken.map(({ id }) => Number(id))).to.deep.equal(Array.from({ length: head }, (_, n) => n + 1));
    for (const { data } of taken) expect(JSON.parse(data ?? '').tenant).to.equal('acme');
    const listed = await under.get(token, '/ledger/acme/events');
    expect(listed.body).to.equal(taken.map(({ data }) => `${data}\n`).join(''));
  });

  it('lets go, with a last event, of a client that takes nothing', async () => {
    const response = await open('?from=1');
    response.pause();
    const body = (n: number) =>
      Array.from({ length: 30 }, (_, i) =>
        JSON.stringify(receipt({ inputs: { filler: 'x'.repeat(100_000), n, i } })),
      );
    for (let n = 0; n < 5; n += 1)
      await under.post(token, body(n).join('\n'), { 'content-type': 'application/x-ndjson' });
    // Twice the patience of this gateway, and then nothing is held for it any more: the response was cut off.
    await pause(1_500);
    let received = '';
    try {
      for await (const chunk of response) received += String(chunk);
    } catch (error) {
      expect((error as NodeJS.ErrnoException).code).to.equal('ECONNRESET');
    }
    expect(received.length).to.be.lessThan(14_000_000);
    expect(await under.gateway.inject({ method: 'GET', path: '/healthz' })).to.include({ status: 200 });
  });

  it('ends with the reason when the token is revoked, and when the process stops', async () => {
    const first = eventsOf(await open());
    const tokenId = parseToken(token)?.tokenId;
    if (!tokenId) throw new Error('no token');
    await under.command(acme, { type: 'RevokeToken', tokenId });
    const [fact, end] = await take(first, 2);
    const last = end ?? fact;
    expect(last?.event).to.equal('end');
    expect(JSON.parse(last?.data ?? '')).to.include({ code: 'token-revoked' });
    token = await under.token();
    const second = eventsOf(await open());
    const draining = under.gateway.drain(5_000);
    const ended = await take(second, 1);
    expect(JSON.parse(ended[0]?.data ?? '')).to.include({ code: 'shutting-down' });
    await draining;
  });

  it('refuses places that are not there, and other tenants; HEAD leaves nothing open', async () => {
    for (const [headers, query] of [
      [{ 'last-event-id': '999' }, ''],
      [{ 'last-event-id': 'x' }, ''],
      [{}, '?from=0'],
      [{}, '?from=999'],
    ] as const) {
      const answer = await under.gateway.inject({
        method: 'GET',
        path: `/ledger/acme/tail${query}`,
        headers: { authorization: `Bearer ${token}`, ...headers },
      });
      expect(codeOf(answer)).to.equal('query-malformed');
    }
    expect(codeOf(await under.get(token, '/ledger/globex/tail'))).to.equal('other-tenant');
    expect(codeOf(await under.get(token, '/ledger/globex/events'))).to.equal('other-tenant');
    const head = await under.gateway.inject({
      method: 'HEAD',
      path: '/ledger/acme/tail',
      headers: { authorization: `Bearer ${token}` },
    });
    expect(head.status).to.equal(200);
  });
});

describe('gateway/http: what is held of a watched tenant', () => {
  it('is shared, bounded, and gone with the last watcher', async () => {
    await using ledger = memoryLedger({ signer: testSigner().signer });
    let subscriptions = 0;
    const watch = tailRings({
      subscribe: (options) => {
        subscriptions += 1;
        return ledger.feed.subscribe(options);
      },
    });
    {
      using one = watch(acme, 0 as Seq);
      using two = watch(acme, 0 as Seq);
      expect([one.after(0 as Seq), two.after(0 as Seq), subscriptions]).to.deep.equal([
        'nothing',
        'nothing',
        1,
      ]);
    }
    using later = watch(acme, 0 as Seq);
    expect([later.failure(), subscriptions]).to.deep.equal([undefined, 2]);
  });
});

describe('gateway/http: many clients of one tenant', () => {
  const factsOf = async (ledger: ReturnType<typeof memoryLedger>) => {
    const under = await gatewayOn({
      ...ledger,
      keySet: jwks(testSigner().keys),
      clock: { now: Date.now() },
      close: async () => undefined,
    });
    const token = await under.token();
    return { under, record: async () => await under.post(token, receipt()) };
  };

  it('are sent the very same bytes, made once', async () => {
    await using ledger = memoryLedger({ signer: testSigner().signer });
    const { under, record } = await factsOf(ledger);
    await using _ = under;
    await record();
    const watch = tailRings(ledger.feed);
    using one = watch(acme, 0 as Seq);
    using two = watch(acme, 0 as Seq);
    while (one.after(0 as Seq) === 'nothing') await one.more(1_000);
    const page = one.after(0 as Seq);
    if (typeof page === 'string') throw new Error(page);
    expect(page.text.toString()).to.match(/^id: 1\nevent: fact\ndata: \{.*\}\n\n/);
    expect(two.after(0 as Seq)).to.equal(page);
    await record();
    while (one.after(page.last) === 'nothing') await one.more(1_000);
    expect(two.after(page.last)).to.equal(one.after(page.last)).and.not.equal(page);
  });

  it('hear of many facts at once, and of every one', async () => {
    await using ledger = memoryLedger({ signer: testSigner().signer });
    const { under, record } = await factsOf(ledger);
    await using _ = under;
    const watch = tailRings(ledger.feed);
    const clients = Array.from({ length: 200 }, () => watch(acme, 0 as Seq));
    const [first] = clients;
    if (!first) throw new Error('nobody watches');
    let told = 0;
    let seen = 0 as Seq;
    const listening = (async (): Promise<void> => {
      while (seen < 40) {
        const page = first.after(seen);
        if (page === 'lost') throw new Error(page);
        if (page === 'nothing') {
          await first.more(5_000);
          told += 1;
        } else seen = page.last;
      }
    })();
    for (let count = 0; count < 40; count += 1) await record();
    await listening;
    expect(told).to.be.within(1, 39);
    for (const client of clients) client[Symbol.dispose]();
  });

  it('are told when what they stand at is not held any more', async () => {
    await using ledger = memoryLedger({ signer: testSigner().signer });
    const { under, record } = await factsOf(ledger);
    await using _ = under;
    for (let count = 0; count < 5; count += 1) await record();
    const watch = tailRings(ledger.feed);
    using one = watch(acme, 3 as Seq);
    while (one.after(3 as Seq) === 'nothing') await one.more(1_000);
    expect(one.after(1 as Seq)).to.equal('lost');
  });
});

describe('gateway/http: POST /verify', () => {
  it('says of each check what was found', async () => {
    await using under = await openGateway();
    const token = await under.token();
    const { body: bundle } = await under.post(token, receipt({ decision: 'deny' }));
    const verify = (body: string) =>
      under.gateway.inject({
        method: 'POST',
        path: '/v1/verify',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body,
      });
    for (const body of [bundle, bundle.replace('deny', 'allow'), '{}', 'nonsense']) {
      const answer = await verify(body);
      expect(answer.status).to.equal(200);
      expect(JSON.parse(answer.body)).to.deep.equal(verifyReceipt(body, under.jwks));
    }
    expect(JSON.parse((await verify(bundle)).body).ok).to.equal(true);
    const large = await under.post(token, receipt({ inputs: { text: '\\"'.repeat(200_000) } }));
    expect(large.body.length).to.be.greaterThan(1 << 20);
    expect(JSON.parse((await verify(large.body)).body).ok).to.equal(true);
  });
});
