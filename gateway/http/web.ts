// The web framework, and the only file that knows it: routes of plain data in, a Fastify server out. Before a
// handler runs, its guard has been passed; a route without one is refused when the server is made.

import { type Duplex, Readable } from 'node:stream';
import fastify, {
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type HTTPMethods,
} from 'fastify';
import type { Authorise, Caller, Verdict } from './auth.ts';
import { EVENT, EVENT_BATCH, EVENT_BATCH_BYTES_MAX } from './cloud-events.ts';
import { mediaType, type Operation } from './operation.ts';
import {
  type Problem,
  type ProblemCode,
  problem,
  problemDocument,
  problemEntry,
  problemOf,
} from './problems.ts';
import { requestIds } from './request-id.ts';
import { type Call, type Guard, problemReply, type Reply, type Route } from './route.ts';
import { withoutVersion } from './version.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    guard?: Guard;
    /** Media types of the bodies that the route declares. */
    takes?: readonly string[];
    /** On the stand-ins for methods that a path does not take: the ones it does. */
    allow?: string;
  }
  interface FastifyRequest {
    caller: Caller | undefined;
  }
}

export interface WebOptions {
  readonly routes: readonly Route[];
  readonly authorise: Authorise;
  /** True from the moment on which new requests are to be refused. */
  readonly draining: () => boolean;
  /** Called when a request begins, and when its connection is done with it. */
  readonly entered: () => void;
  readonly left: () => void;
  readonly answered: (request: {
    readonly method: string;
    readonly route: string;
    readonly status: number;
    readonly seconds: number;
  }) => void;
  /** Told of what was thrown, which the caller is not. */
  readonly fault: (error: unknown, requestId: string) => void;
}

export interface MountedRoute {
  readonly method: string;
  readonly path: string;
  readonly guard: Guard;
}

export interface Web {
  readonly app: FastifyInstance;
  /** What the framework really serves, stand-ins included. */
  readonly mounted: readonly MountedRoute[];
}

const RECEIPT_BYTES_MAX = 1 << 20;
const HEADER_BYTES_MAX = 16_384;
/** Media types of bodies that are read whole, with their bytes at most unless a route has its own limit. */
const WHOLE_BODIES: readonly (readonly [type: string, bytesMax: number])[] = [
  ['application/json', RECEIPT_BYTES_MAX],
  [EVENT, RECEIPT_BYTES_MAX],
  [EVENT_BATCH, EVENT_BATCH_BYTES_MAX],
];
const METHODS: readonly HTTPMethods[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];

export const web = (options: WebOptions): Web => {
  const app = newServer(options);
  const mounted: MountedRoute[] = [];
  app.addHook('onRoute', ({ method, url, config }) => {
    const guard = declaredGuard(config?.guard, `${String(method)} ${url}`);
    for (const each of [method].flat()) mounted.push({ method: each, path: url, guard });
  });
  app.decorateRequest('caller', undefined);
  app.removeAllContentTypeParsers();
  for (const [type, bodyLimit] of WHOLE_BODIES)
    app.addContentTypeParser(type, { parseAs: 'buffer', bodyLimit }, (_, body, done) => done(null, body));
  app.addContentTypeParser('application/x-ndjson', (_, stream, done) => done(null, stream));
  app.addHook('onRequest', admission(options));
  app.addHook('onResponse', (request, reply, done) => {
    const { method, routeOptions } = request;
    options.answered({
      method,
      route: routeOptions.url ?? 'none',
      status: reply.statusCode,
      seconds: reply.elapsedTime / 1_000,
    });
    done();
  });
  app.setErrorHandler((error, request, reply) =>
    send(reply, problemReply(thrown(error, request.id, options), request.id)),
  );
  app.setNotFoundHandler((request, reply) =>
    refuse(request, reply, problem('no-such-route', 'no route has this path')),
  );
  mount(app, options.routes);
  return { app, mounted };
};

const newServer = (options: WebOptions): FastifyInstance => {
  const versioned = options.routes.filter((route) => !route.unversioned).map(({ path }) => path);
  const unversionedUrl = withoutVersion(versioned);
  const app = fastify({
    genReqId: requestIds(),
    rewriteUrl: ({ url = '/' }) => unversionedUrl(url),
    // Also covers a body that trickles in.
    requestTimeout: 120_000,
    keepAliveTimeout: 65_000,
    http: { headersTimeout: 10_000, connectionsCheckingInterval: 2_000, maxHeaderSize: HEADER_BYTES_MAX },
    routerOptions: { maxParamLength: HEADER_BYTES_MAX },
    return503OnClosing: false,
    forceCloseConnections: true,
    clientErrorHandler: answerClientError,
    frameworkErrors: (error, request, reply) => {
      void send(reply as FastifyReply, problemReply(thrown(error, request.id, options), request.id));
    },
  });
  return app as unknown as FastifyInstance;
};

const declaredGuard = (guard: Guard | undefined, route: string): Guard => {
  const said: unknown = guard && ('scope' in guard ? guard.scope : guard.open);
  if (guard && typeof said === 'string' && said.length > 0) return guard;
  throw new TypeError(`${route} declares no guard: say which scope it takes, or why it is open`);
};

const admission =
  ({ authorise, draining, entered, left }: WebOptions) =>
  (request: FastifyRequest, reply: FastifyReply, done: (error?: Error) => void): void => {
    entered();
    reply.raw.once('close', left);
    reply.header('x-request-id', request.id);
    if (draining()) {
      reply.header('connection', 'close');
      return void refuse(request, reply, problem('shutting-down', 'this process takes no new requests'));
    }
    const { guard, allow, takes } = request.routeOptions.config;
    if (allow !== undefined) {
      reply.header('allow', allow);
      return void refuse(request, reply, problem('method-not-allowed', `this path takes ${allow}`));
    }
    const admit = (verdict: Verdict): void => {
      if ('problem' in verdict) return void refuse(request, reply, verdict.problem);
      request.caller = verdict.caller;
      admitBody();
    };
    const admitBody = (): void => {
      const { 'content-encoding': encoding, 'content-type': type } = request.headers;
      if (takes && type !== undefined && !takes.includes(mediaType(type)))
        return void refuse(
          request,
          reply,
          problem('media-type-unsupported', `this path takes ${takes.join(', ')}`),
        );
      if (encoding === undefined || encoding === 'identity') return done();
      void refuse(request, reply, problem('media-type-unsupported', 'the body has a Content-Encoding'));
    };
    if (guard === undefined || !('scope' in guard)) return admitBody();
    const verdict = authorise(request.headers.authorization, guard.scope);
    if (verdict instanceof Promise) verdict.then(admit, done);
    else admit(verdict);
  };

/** Answers before the body was read. A body still on its way is not waited for. */
const refuse = (request: FastifyRequest, reply: FastifyReply, of: Problem): FastifyReply => {
  const { 'content-length': length, 'transfer-encoding': coding } = request.headers;
  if (coding !== undefined || Number(length ?? 0) > RECEIPT_BYTES_MAX) reply.header('connection', 'close');
  return send(reply, problemReply(of, request.id));
};

const send = (reply: FastifyReply, { status, type, headers, body }: Reply): FastifyReply => {
  if (headers) reply.headers(headers);
  return reply.code(status).header('content-type', type).send(body);
};

const mount = (app: FastifyInstance, routes: readonly Route[]): void => {
  const methods = Map.groupBy(routes, (route) => route.path);
  for (const route of routes) {
    const { method, path, guard, bodyBytesMax } = route;
    const limit = bodyBytesMax === undefined ? {} : { bodyLimit: bodyBytesMax };
    app.route({
      method,
      url: pattern(path),
      config: { guard, ...takenBy(route) },
      handler: handler(route),
      ...limit,
    });
  }
  for (const [path, siblings] of methods) {
    const taken = new Set<string>(siblings.map((route) => route.method));
    if (taken.has('GET')) taken.add('HEAD');
    const config = { guard: { open: 'names the methods that there are' }, allow: [...taken].join(', ') };
    const rest = METHODS.filter((method) => !taken.has(method));
    // Never called: the method is refused on admission.
    app.route({
      method: rest,
      url: pattern(path),
      config,
      handler: async (request, reply) => reply.callNotFound(),
    });
  }
};

const takenBy = ({ about }: { readonly about?: Operation }): { readonly takes?: readonly string[] } =>
  about?.body ? { takes: about.body.map(({ type }) => type) } : {};

const pattern = (path: string): string => path.replaceAll(/\{(\w+)\}/g, ':$1');

const handler = (route: Route) => {
  const guard = declaredGuard(route.guard, `${route.method} ${route.path}`);
  const answer =
    'scope' in guard
      ? (call: Call, caller: Caller | undefined) => {
          if (!caller) throw new Error(`${route.path} was reached without a caller`);
          return route.handle(call, caller);
        }
      : (call: Call) => (route as Extract<Route, { guard: { open: string } }>).handle(call);
  return async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const { params, query, headers, body, id } = request;
    const call = { params, query, headers, body, requestId: id } as Call;
    const given = await answer(call, request.caller);
    if (request.method !== 'HEAD' || !(given.body instanceof Readable)) return send(reply, given);
    // The framework would read on to the end of a stream that nobody gets; some have none.
    given.body.destroy();
    return send(reply, { ...given, body: Readable.from([]) });
  };
};

const FRAMEWORK_CODES: { readonly [code: string]: ProblemCode } = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'body-too-large',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'media-type-unsupported',
};

/** The problem of something thrown on the way; what is ours to mend goes to `fault`. */
const thrown = (error: unknown, requestId: string, { fault }: WebOptions): Problem => {
  const { code, statusCode } = error as { readonly code?: string; readonly statusCode?: number };
  const known =
    FRAMEWORK_CODES[code ?? ''] ??
    (statusCode !== undefined && statusCode >= 400 && statusCode < 500 ? 'request-malformed' : undefined);
  if (known) return problem(known, problemEntry(known).title);
  fault(error, requestId);
  return problemOf(error);
};

const CLIENT_ERRORS: { readonly [code: string]: ProblemCode } = {
  ERR_HTTP_REQUEST_TIMEOUT: 'request-timeout',
  HPE_HEADER_OVERFLOW: 'headers-too-large',
};

/** What Node's parser refuses never becomes a request, so the answer is written by hand. */
export const answerClientError = (error: Error & { readonly code?: string }, socket: Duplex): void => {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy();
  const code = CLIENT_ERRORS[error.code ?? ''] ?? 'request-malformed';
  const { status, title } = problemEntry(code);
  const body = JSON.stringify(problemDocument(problem(code, title), 'none'));
  const head = `HTTP/1.1 ${status} ${title}\r\nContent-Type: application/problem+json; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n`;
  socket.end(head + body);
};
