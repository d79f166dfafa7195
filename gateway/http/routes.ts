// Every path of the service, each with its guard beside it. A path that is not in this table does not exist; a route
// without a guard does not start (server.ts), and a test reads this table and plants one to see that.
import type { AdminParts } from './admin-command.ts';
import { type ProjectionParts, projectionRoutes } from './admin-projections.ts';
import { tenantRoutes } from './admin-tenants.ts';
import { tokenRoutes } from './admin-tokens.ts';
import { attestationRoutes } from './attestations.ts';
import { programDocument } from './conditional.ts';
import { type FlagParts, flagRoutes } from './flags.ts';
import { chainRoutes, type LedgerParts, receiptRoutes } from './ledger-routes.ts';
import type { GatewayMetrics } from './metrics.ts';
import type { Operation } from './operation.ts';
import { problem } from './problems.ts';
import { type Call, jsonReply, type MountableRoute, problemReply, type Route } from './route.ts';

const operations = {
  keys: {
    id: 'getKeys',
    subject: 'verification',
    summary: 'The public keys that receipts of this ledger are verified with.',
    answers: {
      200: { description: 'A JWK Set.', media: [{ type: 'application/jwk-set+json', schema: 'Keys' }] },
    },
  },
  health: {
    id: 'getHealth',
    subject: 'service',
    summary: 'The process answers.',
    answers: {
      200: {
        description: 'It does.',
        media: [{ type: 'application/json', schema: 'Alive', example: { status: 'ok' } }],
      },
    },
  },
  readiness: {
    id: 'getReadiness',
    subject: 'service',
    summary: 'The service takes requests, or what is missing for that.',
    answers: { 200: { description: 'It does.', media: [{ type: 'application/json', schema: 'Ready' }] } },
    problems: ['not-ready'],
  },
  metrics: {
    id: 'getMetrics',
    subject: 'service',
    summary: 'Figures of the process for Prometheus.',
    answers: {
      200: { description: 'The figures.', media: [{ type: 'text/plain', schema: { type: 'string' } }] },
    },
  },
} as const satisfies { readonly [name: string]: Operation };

export interface Readiness {
  readonly ready: boolean;
  /** What is not ready, in words for an operator; empty when ready. */
  readonly missing: readonly string[];
}

export interface Service
  extends Omit<LedgerParts, 'store'>,
    Omit<AdminParts, 'store'>,
    Omit<ProjectionParts, 'store'>,
    FlagParts {
  readonly store: LedgerParts['store'] & AdminParts['store'];
  readonly readiness: () => Promise<Readiness>;
  readonly metrics: GatewayMetrics;
}

export const routes = (service: Service): readonly Route[] => [
  ...receiptRoutes(service),
  ...chainRoutes(service),
  ...flagRoutes(service),
  ...attestationRoutes(service),
  ...tenantRoutes(service),
  ...tokenRoutes(service),
  ...projectionRoutes(service),
  ...serviceRoutes(service),
];

/** What the routes say of themselves, where there is no service behind them; none of them may be called. */
export const routeTable = (): readonly Route[] => routes({} as Service);

const serviceRoutes = (service: Service): readonly Route[] => [
  {
    method: 'GET',
    path: '/.well-known/jwks.json',
    unversioned: true,
    about: operations.keys,
    guard: { open: 'public keys, which whoever verifies a receipt needs' },
    handle: async (call: Call) =>
      programDocument(call, {
        ...jsonReply(await service.jwks()),
        type: 'application/jwk-set+json; charset=utf-8',
      }),
  },
  ...healthRoutes(service),
];

const healthRoutes = (service: Pick<Service, 'readiness'>): readonly Route[] => [
  {
    method: 'GET',
    path: '/healthz',
    unversioned: true,
    about: operations.health,
    guard: { open: 'says only that the process answers' },
    handle: () => jsonReply({ status: 'ok' }, 200, { 'cache-control': 'no-store' }),
  },
  {
    method: 'GET',
    path: '/readyz',
    unversioned: true,
    about: operations.readiness,
    guard: { open: 'names parts of the service, and nothing that is in them' },
    handle: async ({ requestId }: Call) => {
      const { ready, missing } = await service.readiness();
      if (ready) return jsonReply({ status: 'ready', missing: [] }, 200, { 'cache-control': 'no-store' });
      return problemReply(problem('not-ready', `not ready: ${missing.join(', ')}`, { missing }), requestId);
    },
  },
];

/** On the address for operators: their own, and what tells whether the process is well. */
export const operatorRoutes = (
  service: Pick<Service, 'readiness' | 'metrics'>,
): readonly MountableRoute[] => [
  ...healthRoutes(service),
  {
    method: 'GET',
    path: '/metrics',
    unversioned: true,
    about: operations.metrics,
    guard: { operators: 'figures name the busiest tenants, and must be readable when the store is away' },
    handle: async ({ headers }: Call) => ({
      status: 200,
      headers: { 'cache-control': 'no-store', vary: 'accept' },
      ...(await service.metrics.page(String(headers['accept'] ?? ''))),
    }),
  },
];
