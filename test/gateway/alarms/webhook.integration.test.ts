import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { expect } from 'chai';
import { sendWebhook, webhookHeaders } from '#gateway/alarms/webhook.ts';

const SECRET = Buffer.from('MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'base64');
const MESSAGE = { id: 'msg_p5jXN8AQM9LWM0D4loKWxJek', body: '{"test": 2432232314}' };

/** A receiver that says whatever `answer` writes. */
const receiver = async (answer: (socket: Socket) => void) => {
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.on('error', () => undefined);
    socket.once('data', () => answer(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  return {
    url: `http://127.0.0.1:${port}/hook`,
    [Symbol.asyncDispose]: async () => {
      for (const socket of open) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
};

const status = (line: string, more = '') => `HTTP/1.1 ${line}\r\ncontent-length: 0\r\n${more}\r\n`;
const send = async (url: string, withinMs = 10_000) =>
  await sendWebhook({ url, secrets: [SECRET] }, MESSAGE, {
    clock: () => 1_614_265_330_000,
    signal: new AbortController().signal,
    withinMs,
  });

describe('gateway/alarms: a webhook', () => {
  it('is signed as the test vector of Standard Webhooks says', () => {
    expect(webhookHeaders(MESSAGE, [SECRET], 1_614_265_330)).to.deep.equal({
      'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
      'webhook-timestamp': '1614265330',
      'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
    });
    const both = webhookHeaders(MESSAGE, [SECRET, Buffer.alloc(24)], 1_614_265_330)['webhook-signature'];
    expect(both?.split(' ')).to.have.length(2);
  });

  it('is taken by any 2xx, by nothing else, and follows nobody', async () => {
    for (const [answer, fault] of [
      ['200 OK', undefined],
      ['204 No Content', undefined],
      ['410 Gone', 'it answered 410'],
      ['500 Internal Server Error', 'it answered 500'],
    ] as const) {
      await using there = await receiver((socket) => socket.end(status(answer)));
      expect((await send(there.url))?.text, answer).to.equal(fault);
    }
    await using elsewhere = await receiver((socket) => socket.end(status('200 OK')));
    await using there = await receiver((socket) =>
      socket.end(status('307 Temporary Redirect', `location: ${elsewhere.url}\r\n`)),
    );
    expect((await send(there.url))?.text).to.equal('it answered 307');
  });

  it('says how long a receiver asks to be left alone, in seconds or until a moment', async () => {
    for (const [header, afterMs] of [
      ['retry-after: 120', 120_000],
      ['retry-after: Thu, 25 Feb 2021 15:03:00 GMT', 50_000],
      ['retry-after: soon', 0],
      ['x-other: 1', 0],
    ] as const) {
      await using there = await receiver((socket) =>
        socket.end(status('503 Service Unavailable', `${header}\r\n`)),
      );
      expect(await send(there.url), header).to.deep.equal({ text: 'it answered 503', afterMs });
    }
  });

  it('is given up on a receiver that hangs, goes away, or talks nonsense, without an exception', async () => {
    await using hanging = await receiver(() => undefined);
    expect((await send(hanging.url, 200))?.text).to.equal('it did not answer within 200 ms');
    await using leaving = await receiver((socket) => socket.destroy());
    expect((await send(leaving.url))?.text).to.match(/^it cannot be reached: /);
    await using babbling = await receiver((socket) => socket.end('no http\r\n\r\n'));
    expect((await send(babbling.url))?.text).to.match(/^it cannot be reached: /);
    expect((await send('http://127.0.0.1:1/'))?.text).to.match(/^it cannot be reached: /);
  });

  it('takes the first of two answers', async () => {
    await using twice = await receiver((socket) =>
      socket.end(`${status('200 OK')}${status('500 Internal Server Error')}`),
    );
    expect(await send(twice.url)).to.equal(undefined);
  });
});
