// The HTTP gateway: the store, the keys and the clock go in, a server comes out. It keeps nothing that another gateway
// on the same store would need to know, so any number of them may run.
import type { ListFlags } from '#projectors/postgres/flag-list.ts';
import type { ListReceipts } from '#projectors/postgres/receipt-list.ts';
import type { KeySet } from '#proofs/keys/public-key.ts';
import type { Instant } from '#schemas/ids.ts';
import type { LastUses } from '#streams/postgres/token-uses.ts';
import type { StreamFeed, StreamStore } from '#streams/stream.ts';
import type { Jobs } from '../projections/jobs.ts';
import type { ReadModels } from '../projections/read-models.ts';
import { type AuthOptions, type Authorise, authoriser } from './auth.ts';
import { bulkShares } from './bulk-shares.ts';
import { type Build, documentationRoutes } from './documentation.ts';
import type { Identify } from './identity.ts';
import { LIMITS, type Limits } from './limits.ts';
import { type Listener, listener } from './listener.ts';
import { gatewayMetrics, type Measure } from './metrics.ts';
import { type RateLimits, rateLimiter } from './rate-limit.ts';
import { operatorRoutes, type Readiness, routes, type Service } from './routes.ts';
import type { TailParts } from './tail.ts';
import { tailRings } from './tail-ring.ts';
import type { TlsMaterial } from './tls.ts';
import { web } from './web.ts';

export type GatewayStore = Pick<
  StreamStore,
  'append' | 'find' | 'head' | 'heads' | 'ledgerId' | 'proof' | 'read' | 'readStream'
>;

export interface GatewayOptions {
  readonly store: GatewayStore;
  /** For GET /ledger/{tenant}/tail; asked for nothing before somebody watches. */
  readonly feed: Pick<StreamFeed, 'subscribe'>;
  /** How long a client that takes nothing is kept; 10,000 ms unless told. */
  readonly patienceMs?: number;
  /** A tenant's receipts from the read model, for GET /receipts. */
  readonly listReceipts: ListReceipts;
  /** A tenant's flags from the read model, for GET /flags. */
  readonly listFlags: ListFlags;
  /** For operators' /projections. */
  readonly readModels: ReadModels;
  /** The work that is begun on them there; not ended with the gateway. */
  readonly jobs: Jobs;
  /** The public keys that receipts of this ledger are verified with. */
  readonly jwks: () => KeySet | Promise<KeySet>;
  /** Asked at each GET /readyz. */
  readonly readiness: () => Promise<Readiness>;
  /** Shown at GET /version and in the OpenAPI document. */
  readonly build?: Build;
  /** What tenants may send; as much as they like unless told. */
  readonly rates?: RateLimits;
  /** How full the queue of appends is, from 0 to 1: what is bulk is refused from a half on. */
  readonly load?: () => number;
  /** Milliseconds since the Unix epoch; the system's unless told. */
  readonly clock?: () => number;
  /** Figures of the rest of the process, for GET /metrics. */
  readonly measures?: readonly Measure[];
  /** What differs from `LIMITS`. */
  readonly limits?: Partial<Limits>;
  /** For tokens that are none of this ledger. */
  readonly identify?: Identify | undefined;
  /** Told of each entry by a token of this ledger. */
  readonly onTokenUse?: AuthOptions['onUse'];
  /** Shown with the tokens of a tenant. */
  readonly lastUses?: LastUses | undefined;
  /** For callers' connections; plain HTTP without. */
  readonly tls?: TlsMaterial | undefined;
  /** Told what was thrown behind an answer of 500 or 503: the caller learns only the request's id. */
  readonly onFault?: (error: unknown, requestId: string) => void;
}

export interface Gateway extends Listener, AsyncDisposable {
  /**
   * From now on new requests get 503; those under way are finished, for `deadlineMs` at most (10,000 unless told);
   * then all connections are closed. May be called again: every caller waits for the same end.
   */
  drain(deadlineMs?: number): Promise<void>;
  /** An address of their own for those who run the service: figures and health, in plain HTTP. Closed with the rest. */
  readonly operators: Listener;
}

/** Of a program that does not say what it is. */
const UNNAMED: Build = { name: 'prov-ledger', version: '0.0.0', runtime: `node ${process.version}` };

export const createGateway = (options: GatewayOptions): Gateway => {
  const { store, clock = Date.now, measures = [], onFault = () => undefined } = options;
  const now = clock as () => Instant;
  const requests = requestCount();
  const metrics = gatewayMetrics(measures, requests.active);
  const ending = new AbortController();
  const { identify, onTokenUse: onUse } = options;
  const authorise = authoriser({ store, clock: now, identify, onUse });
  const rates = rateLimiter(options.rates ?? {});
  const service = serviceOf(options, {
    ...tailing(options, authorise, ending.signal),
    metrics,
    admission: { rates, load: options.load ?? ((): number => 0), shares: bulkShares() },
    clock: now,
    fault: onFault,
  });
  let ended: Promise<void> | undefined;
  const own = routes(service);
  const limits = { ...LIMITS, ...options.limits };
  const callers = web({
    routes: [...own, ...documentationRoutes(own, options.build ?? UNNAMED)],
    audience: 'callers',
    authorise,
    rates,
    limits,
    tls: options.tls,
    draining: () => ended !== undefined,
    entered: requests.entered,
    left: requests.left,
    answered: metrics.answered,
    fault: onFault,
  });
  const operators = web({
    ...UNCOUNTED,
    routes: operatorRoutes(service),
    audience: 'operators',
    authorise,
    rates,
    limits,
    fault: onFault,
  });
  const end = async (deadlineMs: number): Promise<void> => {
    ending.abort();
    await requests.none(deadlineMs);
    await Promise.all([callers.app.close(), operators.app.close()]);
  };
  const drain = (deadlineMs = 10_000): Promise<void> => (ended ??= end(deadlineMs));
  return {
    ...listener(callers),
    operators: listener(operators),
    drain,
    [Symbol.asyncDispose]: () => drain(),
  };
};

/** What the routes are made of. */
const serviceOf = (
  { store, listReceipts, listFlags, readModels, jobs, jwks, readiness, lastUses }: GatewayOptions,
  rest: Pick<
    Service,
    'metrics' | 'admission' | 'clock' | 'fault' | 'watch' | 'stillMay' | 'ending' | 'patienceMs'
  >,
): Service => ({
  ...rest,
  store: {
    append: rest.metrics.timed((request) => store.append(request)),
    find: store.find,
    head: store.head,
    heads: store.heads,
    ledgerId: store.ledgerId,
    proof: store.proof,
    read: store.read,
    readStream: store.readStream,
  },
  listReceipts,
  listFlags,
  readModels,
  jobs,
  jwks,
  readiness,
  lastUses,
});

/** Figures are of callers' requests, and are asked for until the end. */
const UNCOUNTED = {
  draining: () => false,
  entered: () => undefined,
  left: () => undefined,
  answered: () => undefined,
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
