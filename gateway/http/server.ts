// The HTTP gateway: the store, the keys and the clock go in, a server comes out. It keeps nothing that another gateway
// on the same store would need to know, so any number of them may run.
import type { AddressInfo } from 'node:net';
import type { ListReceipts } from '#projectors/postgres/receipt-list.ts';
import type { KeySet } from '#proofs/keys/public-key.ts';
import type { Instant } from '#schemas/ids.ts';
import type { StreamFeed, StreamStore } from '#streams/stream.ts';
import { type Authorise, authoriser } from './auth.ts';
import { type Build, documentationRoutes } from './documentation.ts';
import { gatewayMetrics, type Measure } from './metrics.ts';
import { type Readiness, routes } from './routes.ts';
import type { TailParts } from './tail.ts';
import { tailRings } from './tail-ring.ts';
import { type MountedRoute, web } from './web.ts';

export type GatewayStore = Pick<
  StreamStore,
  'append' | 'find' | 'head' | 'ledgerId' | 'proof' | 'read' | 'readStream'
>;

export interface GatewayOptions {
  readonly store: GatewayStore;
  /** For GET /ledger/{tenant}/tail; asked for nothing before somebody watches. */
  readonly feed: Pick<StreamFeed, 'subscribe'>;
  /** How long a client that takes nothing is kept; 10,000 ms unless told. */
  readonly patienceMs?: number;
  /** A tenant's receipts from the read model, for GET /receipts. */
  readonly listReceipts: ListReceipts;
  /** The public keys that receipts of this ledger are verified with. */
  readonly jwks: () => KeySet | Promise<KeySet>;
  /** Asked at each GET /readyz. */
  readonly readiness: () => Promise<Readiness>;
  /** Shown at GET /version and in the OpenAPI document. */
  readonly build?: Build;
  /** Milliseconds since the Unix epoch; the system's unless told. */
  readonly clock?: () => number;
  /** Figures of the rest of the process, for GET /metrics. */
  readonly measures?: readonly Measure[];
  /** Told what was thrown behind an answer of 500 or 503: the caller learns only the request's id. */
  readonly onFault?: (error: unknown, requestId: string) => void;
}

export interface Gateway extends AsyncDisposable {
  /** Takes requests; returns the base URL. Port 0 takes a free one. */
  listen(at: { readonly host: string; readonly port: number }): Promise<string>;
  /** The base URL; throws before `listen`. */
  url(): string;
  /**
   * From now on new requests get 503; those under way are finished, for `deadlineMs` at most (10,000 unless told);
   * then all connections are closed. May be called again: every caller waits for the same end.
   */
  drain(deadlineMs?: number): Promise<void>;
  /** One request without a socket, for tests. */
  inject(request: InjectedRequest): Promise<InjectedAnswer>;
  readonly routes: readonly MountedRoute[];
}

export interface InjectedRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'OPTIONS';
  readonly path: string;
  readonly headers?: { readonly [name: string]: string };
  readonly body?: string | Buffer;
}

export interface InjectedAnswer {
  readonly status: number;
  readonly headers: { readonly [name: string]: unknown };
  readonly body: string;
}

/** Of a program that does not say what it is. */
const UNNAMED: Build = { name: 'prov-ledger', version: '0.0.0', runtime: `node ${process.version}` };

export const createGateway = (options: GatewayOptions): Gateway => {
  const {
    store,
    listReceipts,
    jwks,
    readiness,
    clock = Date.now,
    measures = [],
    onFault = () => undefined,
  } = options;
  const now = clock as () => Instant;
  const requests = requestCount();
  const metrics = gatewayMetrics(measures, requests.active);
  const timed = {
    append: metrics.timed((request) => store.append(request)),
    find: store.find,
    head: store.head,
    ledgerId: store.ledgerId,
    proof: store.proof,
    read: store.read,
  };
  const ending = new AbortController();
  const authorise = authoriser({ store, clock: now });
  const service = {
    ...tailing(options, authorise, ending.signal),
    store: timed,
    listReceipts,
    jwks,
    readiness,
    metrics,
    clock: now,
    fault: onFault,
  };
  let ended: Promise<void> | undefined;
  const own = routes(service);
  const { app, mounted } = web({
    routes: [...own, ...documentationRoutes(own, options.build ?? UNNAMED)],
    authorise,
    draining: () => ended !== undefined,
    entered: requests.entered,
    left: requests.left,
    answered: metrics.answered,
    fault: onFault,
  });
  const end = async (deadlineMs: number): Promise<void> => {
    ending.abort();
    await requests.none(deadlineMs);
    await app.close();
  };
  const drain = (deadlineMs = 10_000): Promise<void> => (ended ??= end(deadlineMs));
  return {
    listen: (at) => app.listen(at),
    url: () => baseUrl(app.server.address()),
    drain,
    [Symbol.asyncDispose]: () => drain(),
    routes: mounted,
    inject: (request) => injected(app, request),
  };
};

const tailing = (
  { feed, patienceMs }: GatewayOptions,
  authorise: Authorise,
  ending: AbortSignal,
): Omit<TailParts, 'store' | 'fault'> => ({
  watch: tailRings(feed),
  stillMay: (authorization) => authorise(authorization, 'ledger:read'),
  ending,
  ...(patienceMs !== undefined && { patienceMs }),
});

const injected = async (
  app: ReturnType<typeof web>['app'],
  { method, path, headers = {}, body }: InjectedRequest,
): Promise<InjectedAnswer> => {
  const answer = await app.inject({
    method,
    url: path,
    headers: { ...headers },
    ...(body !== undefined && { payload: body }),
  });
  return { status: answer.statusCode, headers: answer.headers, body: answer.body };
};

const baseUrl = (address: AddressInfo | string | null): string => {
  if (address === null || typeof address === 'string')
    throw new Error('the gateway does not listen: call listen first');
  const host = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return `http://${host}:${address.port}`;
};

const requestCount = () => {
  let active = 0;
  let idle: (() => void) | undefined;
  return {
    active: () => active,
    entered: (): void => {
      active += 1;
    },
    left: (): void => {
      active -= 1;
      if (active === 0) idle?.();
    },
    /** Resolves when no request is under way, or at the deadline. */
    none: async (deadlineMs: number): Promise<void> => {
      if (active === 0) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      idle = resolve;
      const timer = setTimeout(resolve, deadlineMs);
      await promise;
      clearTimeout(timer);
    },
  };
};
