import { expect } from 'chai';
import { type Client, type ClientOptions, createClient } from '#gateway/sdk/client.ts';
import { ClientError } from '#gateway/sdk/errors.ts';
import { waitMs } from '#gateway/sdk/retry.ts';
import type { ReceiptBody } from '#gateway/sdk/types.ts';
import { verifyReceipt } from '#gateway/sdk/verify.ts';
import { acme, type GatewayUnderTest, openGateway } from '../http/gateway-under-test.ts';

const said = (n: number, over: Partial<ReceiptBody> = {}): ReceiptBody => ({
  action: 'db.export',
  actor: 'alice',
  decision: 'allow',
  inputs: { n },
  ...over,
});

const failure = async (of: Promise<unknown>): Promise<ClientError> => {
  try {
    await of;
  } catch (error) {
    expect(error).to.be.instanceOf(ClientError);
    return error as ClientError;
  }
  throw new Error('it did not fail');
};

describe('gateway/sdk/client', () => {
  let under: GatewayUnderTest;
  let url: string;
  let token: string;
  const clients: Client[] = [];
  const posted: string[] = [];

  /** fetch, counted; the first answers may be put in its place. */
  const fetched =
    (...instead: ((send: () => Promise<Response>) => Promise<Response>)[]): typeof fetch =>
    async (input, init) => {
      if (init?.method === 'POST') posted.push(String(init.body));
      const send = () => fetch(input, init);
      return await (instead.shift()?.(send) ?? send());
    };
  const open = (options: Partial<ClientOptions> = {}): Client => {
    const client = createClient({ url, token, retry: { baseMs: 1 }, fetch: fetched(), ...options });
    clients.push(client);
    return client;
  };
  const recorded = async (): Promise<readonly ReceiptBody[]> => {
    const receipts: ReceiptBody[] = [];
    for await (const facts of under.store.read(acme))
      for (const fact of facts)
        if (fact.type === 'receipts.ReceiptRecorded') receipts.push(JSON.parse(fact.payload) as ReceiptBody);
    return receipts;
  };

  beforeEach(async () => {
    under = await openGateway();
    url = await under.gateway.listen({ host: '127.0.0.1', port: 0 });
    token = await under.token();
    posted.length = 0;
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) await client.close({ deadlineMs: 0 });
    await under[Symbol.asyncDispose]();
  });

  it('records in order, many in one request, and what it recorded verifies', async () => {
    const client = open();
    const results = await Promise.all(Array.from({ length: 1_200 }, (_, n) => client.record(said(n))));
    expect(results.map(({ status }) => status)).to.include.members(['recorded']);
    expect((await recorded()).map(({ inputs }) => inputs?.['n'])).to.deep.equal(results.map((_, n) => n));
    expect(posted.length).to.be.within(3, 4);
    const bundle = await client.receipt(results[7]?.id ?? '');
    expect((await verifyReceipt(bundle, await client.keys())).ok).to.equal(true);
    const head = await client.head('acme');
    expect(head.seq).to.equal(results.at(-1)?.seq);
    expect(head.hash).to.equal(results.at(-1)?.hash);
  });

  it('an answer that is lost is asked for again, and counts once', async () => {
    const lost = async (send: () => Promise<Response>): Promise<Response> => {
      await (await send()).text();
      throw new TypeError('connection reset');
    };
    const cut = async (send: () => Promise<Response>): Promise<Response> => {
      const text = await (await send()).text();
      return new Response(text.slice(0, text.indexOf('\n') + 20), {
        headers: { 'content-type': 'application/x-ndjson' },
      });
    };
    const client = open({ fetch: fetched(lost, cut) });
    const results = await Promise.all([
      client.record(said(1)),
      client.record(said(2)),
      client.record(said(3)),
    ]);
    expect(results.map(({ status }) => status)).to.deep.equal(['repeated', 'repeated', 'repeated']);
    expect((await recorded()).map(({ inputs }) => inputs?.['n'])).to.deep.equal([1, 2, 3]);
  });

  it('waits as long as Retry-After asks', async () => {
    const busy = async () => new Response('', { status: 503, headers: { 'retry-after': '1' } });
    const client = open({ fetch: fetched(busy) });
    const start = performance.now();
    await client.record(said(1));
    expect(performance.now() - start).to.be.within(990, 3_000);
    const late = open({ fetch: fetched(busy), retry: { deadlineMs: 500 } });
    const failed = performance.now();
    expect(await failure(late.record(said(2)))).to.have.property('code', 'deadline');
    expect(performance.now() - failed, 'no wait beyond the deadline').to.be.lessThan(450);
  });

  it('says why a receipt is refused, and lets the others of the batch through', async () => {
    const client = open();
    const good = client.record(said(1));
    const refused = await failure(client.record(said(2, { actor: '' })));
    expect(refused).to.include({ code: 'refused' });
    expect(refused.problem).to.have.nested.property('errors[0].pointer', '#/actor');
    expect((await good).status).to.equal('recorded');
    await client.record(said(3, { id: 'mine' }));
    const conflict = await failure(client.record(said(4, { id: 'mine' })));
    expect(conflict).to.include({ code: 'conflict', receiptId: 'mine' });
    expect(conflict.problem).to.have.nested.property('first.tenant', 'acme');
    expect(await failure(client.record(said(5, { tenant: 'globex' })))).to.have.property('code', 'refused');
    expect(await failure(client.receipt('nobody'))).to.have.property('code', 'not-found');
    expect(await failure(client.record(said(6, { inputs: { n: 1n } })))).to.have.property('code', 'not-json');
    expect(await failure(open({ token: 'plt_no' }).record(said(7)))).to.have.property('code', 'unauthorized');
    expect(await failure(open({ url: `${url}/nowhere` }).record(said(8)))).to.have.property(
      'code',
      'not-found',
    );
    expect(() => open({ url: 'ledger.example' })).to.throw(TypeError, /https/);
  });

  it('holds no more than its queue: it waits, or says so', async () => {
    const { promise: gate, resolve: release } = Promise.withResolvers<void>();
    const held = async (send: () => Promise<Response>) => {
      await gate;
      return await send();
    };
    const rejecting = open({ fetch: fetched(held), queue: { receiptsMax: 2, whenFull: 'reject' } });
    const taken = [rejecting.record(said(1)), rejecting.record(said(2))];
    expect(await failure(rejecting.record(said(3)))).to.have.property('code', 'queue-full');
    release();
    await Promise.all(taken);
    const waiting = open({ queue: { bytesMax: 300 } });
    await Promise.all(Array.from({ length: 10 }, (_, n) => waiting.record(said(n))));
    expect(waiting.pending()).to.equal(0);
    expect(posted.slice(1).every((body) => body.length <= 301)).to.equal(true);
  });

  it('gives up at the deadline, on the signal, and when closed', async () => {
    const never = () => new Promise<Response>(() => undefined);
    const client = open({ fetch: fetched(never), retry: { deadlineMs: 60 } });
    expect(await failure(client.record(said(1)))).to.have.property('code', 'deadline');
    const abort = new AbortController();
    const aborted = open({ fetch: fetched(never) });
    const first = failure(aborted.record(said(2), { signal: abort.signal }));
    abort.abort(new Error('enough'));
    expect(await first).to.have.property('code', 'aborted');
    expect(await failure(aborted.record(said(3), { signal: abort.signal }))).to.have.property(
      'code',
      'aborted',
    );
    const closed = open({
      fetch: fetched((_send) => new Promise((_, reject) => setTimeout(() => reject(new Error('reset')), 30))),
      retry: { baseMs: 60_000, deadlineMs: 600_000, capMs: 600_000 },
    });
    const pending = failure(closed.record(said(4)));
    await closed.close({ deadlineMs: 100 });
    expect(await pending).to.have.property('code', 'closed');
    expect(await failure(closed.record(said(5)))).to.have.property('code', 'closed');
  });

  it('flush waits for all that was recorded', async () => {
    const client = open();
    const all = Promise.all([1, 2, 3].map((n) => client.record(said(n))));
    await client.flush();
    expect(client.pending()).to.equal(0);
    expect(await all).to.have.length(3);
  });

  it('sends the traceparent, and no two in one request', async () => {
    const trace = (n: number) => `00-0af7651916cd43dd8448eb211c80319${n}-b7ad6b7169203331-01`;
    const client = open();
    await Promise.all([1, 1, 2].map((n) => client.record(said(n), { traceparent: trace(n) })));
    expect(posted.map((body) => body.trim().split('\n').length)).to.deep.equal([2, 1]);
    const found: (string | undefined)[] = [];
    for await (const facts of under.store.read(acme))
      found.push(
        ...facts.filter(({ type }) => type.startsWith('receipts')).map(({ traceparent }) => traceparent),
      );
    expect(found).to.deep.equal([trace(1), trace(1), trace(2)]);
  });

  it('jitters over the whole of a doubling time, up to its cap, behind Retry-After', () => {
    const wait = (attempt: number, random: number, afterMs = 0) =>
      waitMs(attempt, { baseMs: 100, capMs: 1_000 }, { afterMs, random });
    expect([1, 2, 3, 4, 5, 99].map((attempt) => wait(attempt, 1))).to.deep.equal([
      100, 200, 400, 800, 1_000, 1_000,
    ]);
    expect(wait(3, 0)).to.equal(0);
    expect(wait(3, 0.5, 7_000)).to.equal(7_200);
  });
});
