// A client that knows no HTTP: bytes out, bytes in, over a real socket.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export interface RawAnswer {
  readonly status: number;
  /** Lower-case names. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

export interface RawConnection extends Disposable {
  readonly socket: Socket;
  readonly send: (bytes: string | Buffer) => void;
  /** The next whole answer; `undefined` when the connection ends first. */
  readonly answer: () => Promise<RawAnswer | undefined>;
  readonly closed: Promise<void>;
  readonly received: () => string;
}

export const rawConnection = async (url: string): Promise<RawConnection> => {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  let received = Buffer.alloc(0);
  let taken = 0;
  let ended = false;
  let wake = Promise.withResolvers<void>();
  const woken = (): void => {
    wake.resolve();
    wake = Promise.withResolvers();
  };
  socket.on('error', () => undefined);
  socket.on('data', (chunk) => {
    received = Buffer.concat([received, chunk]);
    woken();
  });
  const closed = new Promise<void>((resolve) => {
    socket.once('close', () => {
      ended = true;
      resolve();
      woken();
    });
  });
  await once(socket, 'connect');
  return {
    socket,
    send: (bytes) => void (socket.writable && socket.write(bytes)),
    answer: async () => {
      for (;;) {
        const whole = wholeAnswer(received.subarray(taken));
        if (whole) {
          taken += whole.bytes;
          return whole.answer;
        }
        if (ended) return undefined;
        await wake.promise;
      }
    },
    closed,
    received: () => received.toString('latin1'),
    [Symbol.dispose]: () => socket.destroy(),
  };
};

/** With a Content-Length or chunked; interim answers (100) are passed over. */
const wholeAnswer = (bytes: Buffer): { readonly answer: RawAnswer; readonly bytes: number } | undefined => {
  const end = bytes.indexOf('\r\n\r\n');
  if (end < 0) return undefined;
  const [first = '', ...lines] = bytes.subarray(0, end).toString('latin1').split('\r\n');
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(first)?.[1]);
  if (!status) throw new Error(`not an answer: ${first.slice(0, 200)}`);
  const start = end + 4;
  if (status === 100) {
    const next = wholeAnswer(bytes.subarray(start));
    return next && { ...next, bytes: next.bytes + start };
  }
  const headers = new Map(
    lines.map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const;
    }),
  );
  const body = headers.get('transfer-encoding') === 'chunked' ? dechunked : sized;
  const read = body(bytes.subarray(start), headers);
  return read && { answer: { status, headers, body: read.text }, bytes: start + read.bytes };
};

type Body = { readonly text: string; readonly bytes: number } | undefined;

const sized = (bytes: Buffer, headers: ReadonlyMap<string, string>): Body => {
  const length = Number(headers.get('content-length') ?? 0);
  return bytes.length < length
    ? undefined
    : { text: bytes.subarray(0, length).toString('utf8'), bytes: length };
};

const dechunked = (bytes: Buffer): Body => {
  const parts: Buffer[] = [];
  let at = 0;
  for (;;) {
    const line = bytes.indexOf('\r\n', at);
    if (line < 0) return undefined;
    const size = Number.parseInt(bytes.subarray(at, line).toString('latin1'), 16);
    const from = line + 2;
    if (bytes.length < from + size + 2) return undefined;
    at = from + size + 2;
    if (size === 0) return { text: Buffer.concat(parts).toString('utf8'), bytes: at };
    parts.push(bytes.subarray(from, from + size));
  }
};
