// Requests and answers as they stand on each connection, for the one case that needs to know: bytes that are no HTTP.
// What Node's parser refuses never becomes a request, so its answer is written by hand, and must neither cut into an
// answer that is being sent nor be taken for the answer to the request before it.
import type { ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { problemDocument } from './problem-document.ts';
import { type ProblemCode, problem, problemEntry } from './problems.ts';

export interface Exchanges {
  /** A request has begun on its connection. */
  readonly began: (response: ServerResponse) => void;
  readonly ended: (response: ServerResponse) => void;
  /** For the server's `clientError`. */
  readonly refuse: (error: Error & { readonly code?: string }, socket: Duplex) => void;
  /**
   * The connection was refused before this request had arrived. It may arrive all the same, or its rest, since the
   * connection lingers: what its sender was told has failed must then not be done.
   */
  readonly isRefused: (response: ServerResponse) => boolean;
}

export const exchanges = (): Exchanges => {
  const open = new WeakMap<Duplex, Set<ServerResponse>>();
  const refused = new WeakSet<Duplex>();
  return {
    isRefused: (response) => refused.has(response.req.socket),
    began: (response) => {
      const { socket } = response.req;
      const here = open.get(socket);
      if (here) here.add(response);
      else open.set(socket, new Set([response]));
    },
    ended: (response) => void open.get(response.req.socket)?.delete(response),
    refuse: (error, socket) => {
      const here = open.get(socket) ?? new Set();
      if (!answerable(error, socket)) return void socket.destroy();
      const cut = Array.from(here).find(({ req }) => !req.complete);
      // Its own answer is under way already, or others are before it: nothing can be said on this connection any more.
      if (cut && (cut.headersSent || here.size > 1)) return void socket.destroy();
      if (cut || here.size === 0) {
        refused.add(socket);
        return farewell(socket, error.code);
      }
      // What cannot be read came behind whole requests: those are answered, and then it is closed.
      for (const response of here) {
        if (!response.headersSent) response.setHeader('connection', 'close');
        response.once('close', () => {
          if (here.size === 0) end(socket);
        });
      }
    },
  };
};

/** Not when the other side is gone, nor when there was no handshake: nobody could read it. */
const answerable = ({ code = '' }: { readonly code?: string }, socket: Duplex): boolean =>
  socket.writable && code !== 'ECONNRESET' && !/^ERR_(?:SSL|TLS)_/.test(code);

const CODES: { readonly [code: string]: ProblemCode } = {
  ERR_HTTP_REQUEST_TIMEOUT: 'request-timeout',
  HPE_HEADER_OVERFLOW: 'headers-too-large',
};

const farewell = (socket: Duplex, cause = ''): void => {
  const code = CODES[cause] ?? 'request-malformed';
  const { status, title } = problemEntry(code);
  const body = JSON.stringify(problemDocument(problem(code, title), 'none'));
  end(
    socket,
    `HTTP/1.1 ${status} ${title}\r\nContent-Type: application/problem+json; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
};

/** For who reads slowly, and long enough for a client to read why; none is kept by not closing its side. */
const LINGER_MS = 2_000;

const end = (socket: Duplex, last = ''): void => {
  socket.end(last);
  const gone = setTimeout(() => socket.destroy(), LINGER_MS);
  gone.unref();
  socket.once('close', () => clearTimeout(gone));
};
