// The web framework, and the only file that knows it: routes of plain data in, a Fastify server out. Before a
// handler runs, its guard has been passed; a route without one is refused when the server is made.

import { Readable } from 'node:stream';
import fastify, {
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type HTTPMethods,
} from 'fastify';
import type { Authorise, Caller, Verdict } from './auth.ts';
import { EVENT, EVENT_BATCH, EVENT_BATCH_BYTES_MAX } from './cloud-events.ts';
import { type Exchanges, exchanges } from './exchanges.ts';
import { type Limits, requestFault } from './limits.ts';
import { mediaType, type Operation } from './operation.ts';
import { problemOf } from './problem-causes.ts';
import { type Problem, type ProblemCode, problem, problemEntry } from './problems.ts';
import type { RateLimiter } from './rate-limit.ts';
import { requestIds } from './request-id.ts';
import {
  type Call,
  type Guard,
  type MountableRoute,
  problemReply,
  type Reply,
  type ScopedRoute,
} from './route.ts';
import { type TlsMaterial, tlsOptions } from './tls.ts';
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
  readonly routes: readonly MountableRoute[];
  /** Who can reach the server: routes for operators are refused on one for callers. */
  readonly audience: 'callers' | 'operators';
  readonly authorise: Authorise;
  readonly rates: RateLimiter;
  readonly limits: Limits;
  /** Plain HTTP without. */
  readonly tls?: TlsMaterial | undefined;
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
/** Media types of bodies that are read whole, with their bytes at most unless a route has its own limit. */
const WHOLE_BODIES: readonly (readonly [type: string, bytesMax: number])[] = [
  ['application/json', RECEIPT_BYTES_MAX],
  [EVENT, RECEIPT_BYTES_MAX],
  [EVENT_BATCH, EVENT_BATCH_BYTES_MAX],
];
const METHODS: readonly HTTPMethods[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];

export const web = (options: WebOptions): Web => {
  const open = exchanges();
  const app = newServer(options, open);
  const mounted: MountedRoute[] = [];
  app.addHook('onRoute', ({ method, url, config }) => {
    const guard = declaredGuard(config?.guard, `${String(method)} ${url}`, options.audience);
    for (const each of [method].flat()) mounted.push({ method: each, path: url, guard });
  });
  app.decorateRequest('caller', undefined);
  app.removeAllContentTypeParsers();
  for (const [type, bodyLimit] of WHOLE_BODIES)
    app.addContentTypeParser(type, { parseAs: 'buffer', bodyLimit }, (_, body, done) => done(null, body));
  app.addContentTypeParser('application/x-ndjson', (_, stream, done) => done(null, stream));
  app.addHook('onRequest', admission(options, open));
  app.addHook('preHandler', (_, reply, done) => {
    if (open.isRefused(reply.raw)) reply.hijack();
    else done();
  });
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
  mount(app, options);
  return { app, mounted };
};

const newServer = (options: WebOptions, { refuse }: Exchanges): FastifyInstance => {
  const { limits, tls } = options;
  const versioned = options.routes.filter((route) => !route.unversioned).map(({ path }) => path);
  const unversionedUrl = withoutVersion(versioned);
  const app = fastify({
    genReqId: requestIds(),
    rewriteUrl: ({ url = '/' }) => unversionedUrl(url),
    requestTimeout: limits.requestTimeoutMs,
    keepAliveTimeout: limits.keepAliveMs,
    http: {
      headersTimeout: limits.headersTimeoutMs,
      connectionsCheckingInterval: Math.min(2_000, limits.headersTimeoutMs),
      maxHeaderSize: limits.headerBytesMax,
      // Looked at with the other headers, where it is answered with a problem.
      requireHostHeader: false,
    },
    routerOptions: { maxParamLength: limits.headerBytesMax },
    return503OnClosing: false,
    forceCloseConnections: true,
    clientErrorHandler: refuse,
    ...(tls && { https: tlsOptions(tls, limits.headersTimeoutMs) }),
    frameworkErrors: (error, request, reply) => {
      void send(reply as FastifyReply, problemReply(thrown(error, request.id, options), request.id));
    },
  });
  const { server } = app;
  server.maxConnections = limits.connectionsMax;
  // Both would be answered by Node itself: the one with a bare 417, the other with 100 before anybody asked who it is.
  for (const expectation of ['checkExpectation', 'checkContinue'])
    server.on(expectation, (request, response) => server.emit('request', request, response));
  return app as unknown as FastifyInstance;
};

const declaredGuard = (guard: Guard | undefined, route: string, audience: WebOptions['audience']): Guard => {
  const said: unknown = guard && Object.values(guard)[0];
  if (!guard || typeof said !== 'string' || said.length === 0)
    throw new TypeError(`${route} declares no guard: say which scope it takes, or why it is open`);
  if ('operators' in guard && audience !== 'operators')
    throw new TypeError(`${route} is for operators: callers must not reach it`);
  return guard;
};

const admission =
  ({ authorise, rates, limits, draining, entered, left }: WebOptions, { began, ended }: Exchanges) =>
  (request: FastifyRequest, reply: FastifyReply, done: (error?: Error) => void): void => {
    const { raw } = reply;
    entered();
    began(raw);
    raw.once('close', () => {
      ended(raw);
      left();
    });
    reply.header('x-request-id', request.id);
    const refused = (of: Problem): void => void refuse(request, reply, of);
    const fault = requestFault(request.raw, limits);
    if (fault) {
      // Two programs may see the end of such a request in two places.
      reply.header('connection', 'close');
      return refused(fault);
    }
    if (draining()) {
      reply.header('connection', 'close');
      return refused(problem('shutting-down', 'this process takes no new requests'));
    }
    const { guard, allow, takes } = request.routeOptions.config;
    if (allow !== undefined) {
      reply.header('allow', allow);
      return refused(problem('method-not-allowed', `this path takes ${allow}`));
    }
    const admit = (verdict: Verdict): void => {
      if ('problem' in verdict) return refused(verdict.problem);
      const { caller } = verdict;
      request.caller = caller;
      const tooMuch = rates.take(caller);
      reply.headers(rates.headers(caller));
      if (tooMuch) return void setTimeout(refused, rates.pace(caller), tooMuch);
      admitBody();
    };
    const admitBody = (): void => {
      const { 'content-encoding': encoding, 'content-type': type } = request.headers;
      if (takes && type !== undefined && !takes.includes(mediaType(type)))
        return refused(problem('media-type-unsupported', `this path takes ${takes.join(', ')}`));
      if (encoding === undefined || encoding === 'identity') {
        if (request.headers.expect !== undefined) raw.writeContinue();
        return done();
      }
      refused(problem('media-type-unsupported', 'the body has a Content-Encoding'));
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

const mount = (app: FastifyInstance, { routes, audience }: WebOptions): void => {
  const methods = Map.groupBy(routes, (route) => route.path);
  for (const route of routes) {
    const { method, path, guard, bodyBytesMax } = route;
    const limit = bodyBytesMax === undefined ? {} : { bodyLimit: bodyBytesMax };
    app.route({
      method,
      url: pattern(path),
      config: { guard, ...takenBy(route) },
      handler: handler(route, audience),
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

const handler = (route: MountableRoute, audience: WebOptions['audience']) => {
  declaredGuard(route.guard, `${route.method} ${route.path}`, audience);
  const answer = (call: Call, caller: Caller | undefined) => {
    if (!isScoped(route)) return route.handle(call);
    if (!caller) throw new Error(`${route.path} was reached without a caller`);
    return route.handle(call, caller);
  };
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

const isScoped = (route: MountableRoute): route is ScopedRoute => 'scope' in route.guard;

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
