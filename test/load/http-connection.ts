// One keep-alive HTTP/1.1 connection for load generators: one request at a time, and of the answer only what a generator
// needs. It shares two cores with the server it measures, so it must cost a small part of what a real client costs.
import { connect, type Socket } from 'node:net';

export interface HttpAnswer {
  readonly status: number;
  readonly body: Buffer;
  /** Seconds; 0 when it has none. */
  readonly retryAfter: number;
}

export interface HttpConnection {
  /** One request at a time. Rejects when the connection ends before the answer. */
  send(head: string, body: string): Promise<HttpAnswer>;
  end(): void;
}

const HEAD_END = Buffer.from('\r\n\r\n');
const LAST_CHUNK = Buffer.from('0\r\n\r\n');

/** A whole answer, or `undefined` while some of it is on its way. */
const parse = (bytes: Buffer): HttpAnswer | undefined => {
  const end = bytes.indexOf(HEAD_END);
  if (end < 0) return undefined;
  const head = bytes.toString('latin1', 0, end);
  const body = bytes.subarray(end + HEAD_END.length);
  const length = /\r\ncontent-length: (\d+)/i.exec(head)?.[1];
  // Chunks are not taken apart: no line of a result ends as the last chunk does.
  const whole = length === undefined ? body.subarray(-5).equals(LAST_CHUNK) : body.length >= Number(length);
  const retryAfter = Number(/\r\nretry-after: (\d+)/i.exec(head)?.[1] ?? 0);
  return whole ? { status: Number(head.slice(9, 12)), body, retryAfter } : undefined;
};

export const httpConnection = async (url: string): Promise<HttpConnection> => {
  const { hostname, port } = new URL(url);
  const socket: Socket = connect({ host: hostname, port: Number(port), noDelay: true });
  let waiting: PromiseWithResolvers<HttpAnswer> | undefined;
  let held: Buffer[] = [];
  const failed = (error: Error): void => {
    waiting?.reject(error);
    waiting = undefined;
  };
  await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  socket.on('error', failed);
  socket.on('close', () => failed(new Error('the server closed the connection')));
  socket.on('data', (chunk) => {
    held.push(chunk);
    const answer = parse(held.length === 1 ? chunk : Buffer.concat(held));
    if (!answer) return;
    held = [];
    const of = waiting;
    waiting = undefined;
    of?.resolve(answer);
  });
  return {
    send: (head, body) => {
      waiting = Promise.withResolvers();
      socket.write(`${head}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
      return waiting.promise;
    },
    end: () => void socket.destroy(),
  };
};
