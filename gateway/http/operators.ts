// The operators' address of a process that answers no callers: how it is, and its figures.
import type { Instant } from '#schemas/ids.ts';
import { authoriser } from './auth.ts';
import { LIMITS } from './limits.ts';
import { type Listener, listener } from './listener.ts';
import { gatewayMetrics, type Measure } from './metrics.ts';
import { rateLimiter } from './rate-limit.ts';
import { operatorRoutes, type Readiness } from './routes.ts';
import { web } from './web.ts';

export interface OperatorsOptions {
  /** Asked at each GET /readyz. */
  readonly readiness: () => Promise<Readiness>;
  /** Figures for GET /metrics. */
  readonly measures: readonly Measure[];
  readonly onFault: (error: unknown, requestId: string) => void;
}

export const createOperators = ({
  readiness,
  measures,
  onFault,
}: OperatorsOptions): Listener & AsyncDisposable => {
  const served = web({
    routes: operatorRoutes({ readiness, metrics: gatewayMetrics(measures, () => 0) }),
    audience: 'operators',
    // No route of these asks for a token.
    authorise: authoriser({ store: { readStream: async () => [] }, clock: () => Date.now() as Instant }),
    rates: rateLimiter({}),
    limits: LIMITS,
    draining: () => false,
    entered: () => undefined,
    left: () => undefined,
    answered: () => undefined,
    fault: onFault,
  });
  return { ...listener(served), [Symbol.asyncDispose]: () => served.app.close() };
};
