// Requests as Node itself reports them: the gateway does not know that somebody looks on.
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { requestIds } from '#gateway/http/request-id.ts';
import type { Gateway } from '#gateway/http/server.ts';

export interface WatchedRequest {
  readonly method: string;
  /** The pattern, never the path: a path may hold anything. */
  readonly route: string;
  readonly requestId: string;
  /** What the gateway will read; may be changed. */
  readonly headers: IncomingHttpHeaders;
}

export interface AnsweredRequest {
  readonly status: number;
  readonly ms: number;
}

/** `begun` is told of each request before the gateway sees it, and returns what is told of its end. */
export type OnRequest = (request: WatchedRequest) => (answered: AnsweredRequest) => void;

interface Started {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

/** The gateway must listen already: its port tells its requests from those of other servers in this process. */
export const watchRequests = (gateway: Pick<Gateway, 'url' | 'routes'>, begun: OnRequest): Disposable => {
  const port = Number(new URL(gateway.url()).port);
  const idOf = requestIds();
  const routeOf = routeFinder(gateway.routes.map(({ path }) => path));
  const onStart = (message: unknown): void => {
    const { request, response } = message as Started;
    if (request.socket.localPort !== port) return;
    const { method = 'GET', headers } = request;
    const requestId = idOf({ headers });
    // The gateway keeps an id that came with the request: so both have the same.
    headers['x-request-id'] = requestId;
    const from = performance.now();
    const ended = begun({
      method: METHODS.has(method) ? method : '_OTHER',
      route: routeOf(request.url ?? '/'),
      headers,
      requestId,
    });
    response.once('close', () => ended({ status: response.statusCode, ms: performance.now() - from }));
  };
  subscribe('http.server.request.start', onStart);
  return { [Symbol.dispose]: () => void unsubscribe('http.server.request.start', onStart) };
};

// Semantic conventions for HTTP: an unknown method would be a label of the caller's own choice.
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

const routeFinder = (patterns: readonly string[]) => {
  const split = [...new Set(patterns)].map((pattern) => ({ pattern, segments: pattern.split('/') }));
  return (url: string): string => {
    const path = (url.split('?', 1)[0] ?? '').split('/');
    return (
      split.find(
        ({ segments }) =>
          segments.length === path.length &&
          segments.every((segment, index) => segment.startsWith(':') || segment === path[index]),
      )?.pattern ?? 'none'
    );
  };
};
