// Senders that keep to no rule, over real sockets: each is answered with a problem of the catalogue or cut off, nothing
// is stored that was not acknowledged, and none of them costs memory.
import { setTimeout as pause } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { catalogue, type ProblemCode } from '#gateway/http/problems.ts';
import { acme, type GatewayUnderTest, openGateway, receipt } from './gateway-under-test.ts';
import { type RawAnswer, type RawConnection, rawConnection } from './raw-connection.ts';

const MB = 1 << 20;

const problemOf = (answer: RawAnswer | undefined): unknown => {
  if (!answer) return 'closed';
  if (!answer.headers.get('content-type')?.startsWith('application/problem+json')) return answer;
  const { code, status } = JSON.parse(answer.body) as { code: ProblemCode; status: number };
  expect(catalogue[code].status).to.equal(answer.status).and.to.equal(status);
  return code;
};

describe('gateway/http: hostile connections', function () {
  this.timeout(60_000);
  let under: GatewayUnderTest;
  let url: string;
  let token: string;
  const open: RawConnection[] = [];

  before(async () => {
    under = await openGateway(undefined, {
      limits: { headersTimeoutMs: 400, requestTimeoutMs: 800, connectionsMax: 40 },
    });
    url = await under.gateway.listen({ host: '127.0.0.1', port: 0 });
    token = await under.token();
  });
  afterEach(async () => {
    for (const connection of open) connection[Symbol.dispose]();
    await Promise.all(open.splice(0).map(({ closed }) => closed));
    expect(under.faults).to.deep.equal([]);
  });
  after(() => under[Symbol.asyncDispose]());

  const connected = async (): Promise<RawConnection> => {
    const connection = await rawConnection(url);
    open.push(connection);
    return connection;
  };
  const sent = async (bytes: string | Buffer): Promise<RawConnection> => {
    const connection = await connected();
    connection.send(bytes);
    return connection;
  };
  const post = (headers: string, body = '', type = 'application/json') =>
    `POST /receipts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Type: ${type}\r\n${headers}\r\n${body}`;
  const whole = (body = JSON.stringify(receipt())) =>
    post(`Content-Length: ${Buffer.byteLength(body)}\r\n`, body);
  const seq = async () => (await under.store.head(acme))?.seq;

  const REFUSED: readonly (readonly [title: string, bytes: () => string, code: ProblemCode])[] = [
    ['what is not HTTP', () => 'HELO there\r\n\r\n', 'request-malformed'],
    ['a TLS handshake', () => '\x16\x03\x01\x02\x00\x01\x00', 'request-malformed'],
    ['HTTP/2 without being asked', () => 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'request-malformed'],
    ['no Host', () => 'GET /healthz HTTP/1.1\r\n\r\n', 'request-malformed'],
    [
      'headers beyond 16 KiB',
      () => `GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: ${'x'.repeat(17_000)}\r\n\r\n`,
      'headers-too-large',
    ],
    [
      'more than 100 headers',
      () => `GET /healthz HTTP/1.1\r\nHost: x\r\n${'A: b\r\n'.repeat(120)}\r\n`,
      'headers-too-large',
    ],
    [
      'more headers than Node keeps',
      () => `GET /healthz HTTP/1.1\r\nHost: x\r\n${'A:b\r\n'.repeat(2_500)}\r\n`,
      'headers-too-large',
    ],
    [
      'a path beyond 8 KiB',
      () => `GET /healthz?${'x'.repeat(8_192)} HTTP/1.1\r\nHost: x\r\n\r\n`,
      'url-too-long',
    ],
    ['two hosts', () => 'GET /healthz HTTP/1.1\r\nHost: x\r\nhost: y\r\n\r\n', 'header-repeated'],
    ['two tokens', () => post(`authorization: Bearer plt_globex.x.${'x'.repeat(43)}\r\n`), 'header-repeated'],
    ['two content types', () => post('CONTENT-TYPE: application/x-ndjson\r\n'), 'header-repeated'],
    ['two idempotency keys', () => post('Idempotency-Key: a\r\nidempotency-key: b\r\n'), 'header-repeated'],
    ['an attribute twice', () => post('Ce-Id: a\r\nce-id: b\r\n'), 'header-repeated'],
    ['two lengths', () => post('Content-Length: 5\r\nContent-Length: 6\r\n', '{}'), 'request-malformed'],
    [
      'a length and chunks, as request smuggling needs them',
      () => post('Content-Length: 5\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'),
      'request-malformed',
    ],
    [
      'chunks inside gzip',
      () => post('Transfer-Encoding: gzip, chunked\r\n', '0\r\n\r\n'),
      'request-malformed',
    ],
    [
      'chunks of no size',
      () => post('Transfer-Encoding: chunked\r\n', 'zz\r\n{}\r\n0\r\n\r\n'),
      'request-malformed',
    ],
    ['a bare line feed in a header', () => post('X-A: b\nX-B: c\r\n'), 'request-malformed'],
    ['a header without a name', () => post(': b\r\n'), 'request-malformed'],
    ['an expectation', () => post('Expect: miracles\r\nContent-Length: 2\r\n', '{}'), 'expectation-unmet'],
    [
      'a token in bytes that are no UTF-8',
      () => `GET /ledger/acme/head HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfe\xc3\r\n\r\n`,
      'token-refused',
    ],
    [
      'a key in such bytes',
      () => post('Idempotency-Key: \xff\xfe\r\nContent-Length: 2\r\n', '{}'),
      'idempotency-key-malformed',
    ],
    ['a path in such bytes', () => 'GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n', 'request-malformed'],
  ];

  for (const [title, bytes, code] of REFUSED) {
    it(`${title}: ${code}, and nothing is stored`, async () => {
      const before = await seq();
      const connection = await sent(Buffer.from(bytes(), 'latin1'));
      expect(problemOf(await connection.answer())).to.equal(code);
      expect(await seq()).to.equal(before);
    });
  }

  it('headers that trickle in end after their time, however many come', async () => {
    const slow = await Promise.all(
      Array.from({ length: 20 }, async () => {
        const connection = await sent('GET /healthz HTTP/1.1\r\nHost: x\r\n');
        const drip = setInterval(() => connection.send('X-Drip: x\r\n'), 50);
        void connection.closed.then(() => clearInterval(drip));
        return connection;
      }),
    );
    // Others are served meanwhile.
    expect((await (await sent('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n')).answer())?.status).to.equal(200);
    for (const connection of slow) {
      expect(problemOf(await connection.answer())).to.equal('request-timeout');
      await connection.closed;
    }
  });

  it('a body that trickles in ends after its time; what it began is not stored', async () => {
    const before = await seq();
    const connection = await sent(post('Content-Length: 500\r\n', '{"id":"slow",'));
    const drip = setInterval(() => connection.send(' '), 50);
    expect(problemOf(await connection.answer())).to.equal('request-timeout');
    clearInterval(drip);
    await connection.closed;
    expect(await seq()).to.equal(before);
  });

  for (const [title, missing] of [
    ['a body whose last bytes', 1],
    ['a request whose headers', 400],
  ] as const)
    it(`${title} come after their time was over is not stored: its sender was told that it did not arrive`, async () => {
      const before = await seq();
      const bytes = whole(JSON.stringify(receipt({ id: `late-${missing}` })));
      const connection = await sent(bytes.slice(0, -missing));
      expect(problemOf(await connection.answer())).to.equal('request-timeout');
      // The service has closed its side alone, so that the answer is read.
      connection.send(bytes.slice(-missing));
      await connection.closed;
      await pause(100);
      expect(await seq()).to.equal(before);
    });

  it('a batch that trickles in keeps what was acknowledged, and its answer is cut where nothing else can be said', async () => {
    const line = `${JSON.stringify(receipt({ id: 'slow-batch' }))}\n`;
    const chunk = `${Buffer.byteLength(line).toString(16)}\r\n${line}\r\n`;
    const connection = await sent(post('Transfer-Encoding: chunked\r\n', chunk, 'application/x-ndjson'));
    await connection.closed;
    expect(connection.received()).to.not.match(/HTTP\/1\.1 [45]\d\d[^]*HTTP\/1\.1/);
    expect(connection.received().match(/HTTP\/1\.1/g) ?? []).to.have.lengthOf.at.most(1);
  });

  it('a sender that closes its side in the middle of a body stores nothing', async () => {
    const before = await seq();
    const connection = await sent(post('Content-Length: 500\r\n', '{"id":"half",'));
    connection.socket.end();
    expect(problemOf(await connection.answer())).to.be.oneOf(['closed', 'request-malformed']);
    await connection.closed;
    expect(await seq()).to.equal(before);
  });

  it('a connection that is reset in the middle of anything harms nobody', async () => {
    const before = await seq();
    for (const bytes of [
      'GET',
      post('Content-Length: 500\r\n', '{"id":'),
      post('Transfer-Encoding: chunked\r\n', '5\r\n{"id'),
    ]) {
      const connection = await sent(bytes);
      await pause(20);
      connection.socket.resetAndDestroy();
      await connection.closed;
    }
    await pause(50);
    expect(await seq()).to.equal(before);
  });

  it('what follows a whole request and is none is not taken for its answer', async () => {
    const before = (await seq()) ?? 0;
    const connection = await sent(`${whole()}${whole()}garbage\r\n\r\n`);
    expect([(await connection.answer())?.status, (await connection.answer())?.status]).to.deep.equal([
      201, 201,
    ]);
    expect(await connection.answer()).to.equal(undefined);
    expect(await seq()).to.equal(before + 2);
  });

  it('requests sent without waiting are answered in their order', async () => {
    const connection = await sent(Array.from({ length: 50 }, () => whole()).join(''));
    for (let count = 0; count < 50; count += 1) expect((await connection.answer())?.status).to.equal(201);
  });

  it('100 Continue is said to who may go on, and to nobody else', async () => {
    const body = JSON.stringify(receipt());
    const length = `Content-Length: ${Buffer.byteLength(body)}\r\n`;
    const may = await sent(post(`${length}Expect: 100-continue\r\n`));
    while (!may.received().startsWith('HTTP/1.1 100')) await pause(5);
    may.send(body);
    expect((await may.answer())?.status).to.equal(201);
    const mayNot = await sent(
      `POST /receipts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n${length}Expect: 100-continue\r\n\r\n`,
    );
    expect(problemOf(await mayNot.answer())).to.equal('token-missing');
    expect(mayNot.received()).to.not.contain('100 Continue');
  });

  it('a large body is not waited for when its sender is refused', async () => {
    const connection = await sent(
      'POST /receipts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n{',
    );
    const answer = await connection.answer();
    expect(problemOf(answer)).to.equal('token-missing');
    expect(answer?.headers.get('connection')).to.equal('close');
  });

  it('a gzip bomb is not opened', async () => {
    const bomb = gzipSync(Buffer.alloc(100 * MB));
    const connection = await sent(post(`Content-Encoding: gzip\r\nContent-Length: ${bomb.length}\r\n`));
    connection.send(bomb);
    expect(problemOf(await connection.answer())).to.equal('media-type-unsupported');
  });

  for (const [title, head] of [
    ['announced', `Content-Length: ${100 * MB}\r\n`],
    ['in chunks, unannounced', 'Transfer-Encoding: chunked\r\n'],
  ] as const) {
    it(`bodies of 100 MB, ${title}, cost no memory and are cut off`, async () => {
      const before = await seq();
      const piece = Buffer.alloc(MB, ' ');
      const framed = head.startsWith('T')
        ? Buffer.concat([Buffer.from('100000\r\n'), piece, Buffer.from('\r\n')])
        : piece;
      const rss = process.memoryUsage.rss();
      const senders = await Promise.all(Array.from({ length: 10 }, () => sent(post(head))));
      const pushed = senders.map(async ({ socket, send, closed }) => {
        for (let count = 0; count < 100 && socket.writable; count += 1) {
          send(framed);
          if (socket.writableNeedDrain)
            await Promise.race([closed, new Promise((resolve) => socket.once('drain', resolve))]);
        }
        await closed;
      });
      await Promise.all(pushed);
      // Cut off before the answer was read, or after.
      for (const sender of senders)
        expect(problemOf(await sender.answer())).to.be.oneOf(['body-too-large', 'closed']);
      expect(process.memoryUsage.rss() - rss).to.be.lessThan(150 * MB);
      expect(await seq()).to.equal(before);
    });
  }

  it('no more connections are held than may be', async () => {
    await Promise.all(Array.from({ length: 40 }, connected));
    const further = await Promise.all(Array.from({ length: 5 }, connected));
    await Promise.all(further.map(({ closed }) => closed));
    expect(further.map(({ received }) => received())).to.deep.equal(['', '', '', '', '']);
  });
});
