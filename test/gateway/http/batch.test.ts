import { once } from 'node:events';
import http from 'node:http';
import { expect } from 'chai';
import { StreamError } from '#streams/errors.ts';
import { acme, type GatewayUnderTest, openGateway, receipt } from './gateway-under-test.ts';

interface Result {
  readonly line: number;
  readonly status: string;
  readonly id?: string;
  readonly seq?: number;
  readonly hash?: string;
  readonly problem?: {
    readonly code: string;
    readonly detail: string;
    readonly errors?: readonly { readonly pointer: string }[];
  };
}

const results = (body: string): readonly Result[] =>
  body
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Result);

const ndjson = { 'content-type': 'application/x-ndjson' };

describe('gateway/http: a batch', () => {
  let under: GatewayUnderTest;
  let token: string;

  beforeEach(async () => {
    under = await openGateway();
    token = await under.token();
  });
  afterEach(() => under[Symbol.asyncDispose]());

  it('has a result per line, in order, and a bad line hurts no other', async () => {
    const known = receipt();
    await under.post(token, known);
    const fresh = [receipt(), receipt(), receipt()];
    const lines = [
      JSON.stringify(fresh[0]),
      '{"id": "broken',
      JSON.stringify(known),
      '',
      JSON.stringify({ ...known, decision: 'deny' }),
      '{"id":"a","id":"b"}',
      JSON.stringify({ ...receipt(), decision: 'perhaps' }),
      `  ${JSON.stringify(fresh[1])} \r`,
      JSON.stringify(receipt({ tenant: 'globex' })),
      Buffer.from([0xff, 0xfe]).toString('latin1'),
      JSON.stringify(fresh[2]),
    ];
    const answer = await under.post(token, Buffer.from(lines.join('\n'), 'latin1'), ndjson);
    expect(answer.status).to.equal(200);
    expect(answer.headers['content-type']).to.equal('application/x-ndjson; charset=utf-8');
    const got = results(answer.body);
    expect(got.map(({ line, status, problem }) => [line, status, problem?.code])).to.deep.equal([
      [1, 'recorded', undefined],
      [2, 'malformed', 'body-not-json'],
      [3, 'repeated', undefined],
      [5, 'conflict', 'receipt-id-taken'],
      [6, 'malformed', 'body-duplicate-key'],
      [7, 'malformed', 'receipt-malformed'],
      [8, 'recorded', undefined],
      [9, 'refused', 'tenant-mismatch'],
      [10, 'malformed', 'body-invalid-utf8'],
      [11, 'recorded', undefined],
    ]);
    expect(got[5]?.problem?.errors?.map((error) => error.pointer)).to.deep.equal(['#/decision']);
    for (const [index, at] of [
      [0, 0],
      [6, 1],
      [9, 2],
    ] as const) {
      const { id, seq, hash } = got[index] as Result;
      expect(id).to.equal(fresh[at]?.['id']);
      const { fact } = JSON.parse((await under.get(token, `/provenance/receipts/${id}`)).body);
      expect([fact.seq, fact.hash]).to.deep.equal([seq, hash]);
    }
    expect((await under.store.head(acme))?.seq).to.equal(2 + 1 + 3);
  });

  it('may hold the same receipt twice', async () => {
    const line = JSON.stringify(receipt());
    const got = results((await under.post(token, `${line}\n${line}\n`, ndjson)).body);
    expect(got.map(({ status }) => status)).to.deep.equal(['recorded', 'repeated']);
    expect(got[0]?.seq).to.equal(got[1]?.seq);
  });

  it('may be empty', async () => {
    const answer = await under.post(token, '\n\n', ndjson);
    expect([answer.status, answer.body]).to.deep.equal([200, '']);
  });

  it('is appended together, not one after the other', async () => {
    let most = 0;
    let now = 0;
    await using slow = await openGateway((store) => ({
      ...store,
      append: async (request) => {
        now += 1;
        most = Math.max(most, now);
        await new Promise((resolve) => setTimeout(resolve, 50));
        now -= 1;
        return await store.append(request);
      },
    }));
    const body = Array.from({ length: 200 }, () => JSON.stringify(receipt())).join('\n');
    const got = results((await slow.post(await slow.token(), body, ndjson)).body);
    expect(got.map(({ line }) => line)).to.deep.equal(Array.from({ length: 200 }, (_, index) => index + 1));
    expect(most).to.be.greaterThan(50);
  });

  it('goes on when the store refuses a line', async () => {
    let count = 0;
    await using failing = await openGateway((store) => ({
      ...store,
      append: async (request) => {
        count += 1;
        if (count === 2) throw new StreamError('overloaded', 'secret figures');
        return await store.append(request);
      },
    }));
    const body = [receipt(), receipt(), receipt()].map((line) => JSON.stringify(line)).join('\n');
    const answer = await failing.post(await failing.token(), body, ndjson);
    expect(results(answer.body).map(({ status, problem }) => problem?.code ?? status)).to.deep.equal([
      'recorded',
      'overloaded',
      'recorded',
    ]);
    expect(answer.body).to.not.contain('secret figures');
  });

  it('does not let each line wait for a store that is away: those not begun are refused at once', async () => {
    let tried = 0;
    await using failing = await openGateway((store) => ({
      ...store,
      append: async () => {
        tried += 1;
        await new Promise((resolve) => setTimeout(resolve, 50));
        throw new StreamError('in-doubt', 'no answer');
      },
    }));
    const body = Array.from({ length: 2_500 }, () => JSON.stringify(receipt())).join('\n');
    const got = results((await failing.post(await failing.token(), body, ndjson)).body);
    expect(got).to.have.length(2_500);
    const codes = got.map(({ problem }) => problem?.code);
    expect(codes.filter((code) => code === 'outcome-unknown')).to.have.length(tried);
    expect(tried).to.be.within(1, 1_000);
    expect(codes.slice(tried)).to.deep.equal(Array(2_500 - tried).fill('store-unavailable'));
  });

  it('has a line over 1 MiB passed over and named', async () => {
    const long = JSON.stringify(receipt({ inputs: { blob: 'x'.repeat(1 << 20) } }));
    const body = [receipt(), receipt()].map((line) => JSON.stringify(line)).join(`\n${long}\n`);
    const got = results((await under.post(token, body, ndjson)).body);
    expect(got.map(({ status, problem }) => problem?.code ?? status)).to.deep.equal([
      'recorded',
      'body-too-large',
      'recorded',
    ]);
    expect(got[1]?.problem?.detail).to.contain('the lines after it were read');
  });

  it('ends at 10,000 lines, and says where', async () => {
    const line = JSON.stringify(receipt());
    const got = results((await under.post(token, `${line}\n`.repeat(10_002), ndjson)).body);
    expect(got).to.have.lengthOf(10_001);
    expect(got[9_999]?.status).to.equal('repeated');
    expect(got[10_000]).to.deep.include({ line: 10_001, status: 'refused' });
    expect(got[10_000]?.problem?.code).to.equal('too-many-lines');
  });
});

describe('gateway/http: a batch over a socket', () => {
  it('is answered line by line while it is still being sent', async () => {
    await using under = await openGateway();
    const { request, response } = await openBatch(under);
    const seen: string[] = [];
    for (let sent = 1; sent <= 3; sent += 1) {
      request.write(`${JSON.stringify(receipt({ id: `r-${sent}` }))}\n`);
      const answer = await response;
      const [chunk] = (await once(answer, 'data')) as [Buffer];
      seen.push((JSON.parse(chunk.toString()) as Result).id ?? '');
    }
    request.end();
    await once(await response, 'end');
    expect(seen).to.deep.equal(['r-1', 'r-2', 'r-3']);
  });

  it('longer than 64 MiB is refused at once when it says its length', async () => {
    await using under = await openGateway();
    const { request, response } = await openBatch(under, { 'content-length': String((64 << 20) + 1) });
    request.write('\n');
    const answer = await response;
    expect(answer.statusCode).to.equal(413);
    request.destroy();
  });

  it('longer than 64 MiB is cut there when it does not', async function () {
    this.timeout(60_000);
    await using under = await openGateway();
    const { request, response } = await openBatch(under);
    request.write(`${JSON.stringify(receipt())}\n`);
    const blank = Buffer.alloc(1 << 20, 0x20);
    for (let mib = 0; mib < 65; mib += 1) {
      if (!request.write(blank)) await once(request, 'drain');
    }
    request.end();
    const answer = await response;
    let body = '';
    for await (const chunk of answer) body += String(chunk);
    expect(results(body).map(({ status, problem }) => problem?.code ?? status)).to.deep.equal([
      'recorded',
      'body-too-large',
    ]);
  });

  it('whose sender goes away leaves the whole lines recorded and the server well', async () => {
    await using under = await openGateway();
    const { request, response } = await openBatch(under);
    request.write(`${JSON.stringify(receipt({ id: 'whole' }))}\n{"id": "ha`);
    const answer = await response;
    await once(answer, 'data');
    answer.on('error', () => undefined);
    request.destroy();
    const token = await under.token();
    expect((await under.get(token, '/provenance/receipts/whole')).status).to.equal(200);
    expect((await under.store.head(acme))?.seq).to.equal(4);
    expect(under.faults).to.deep.equal([]);
  });
});

const openBatch = async (under: GatewayUnderTest, headers: Record<string, string> = {}) => {
  const url = await under.gateway.listen({ host: '127.0.0.1', port: 0 });
  const request = http.request(`${url}/receipts`, {
    method: 'POST',
    headers: { authorization: `Bearer ${await under.token()}`, ...ndjson, ...headers },
  });
  request.on('error', () => undefined);
  const response = once(request, 'response').then(([message]) => message as http.IncomingMessage);
  return { request, response };
};
