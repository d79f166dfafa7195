// `@prov-ledger/sdk/fastify`: a plugin for Fastify 5. A route is privileged when its `config.ledger` says so.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { inOperation, operationOf } from './operation.ts';
import { type Privileged, type Recording, recordWhenAnswered } from './privileged.ts';

export { currentOperation, operationHeaders } from './operation.ts';
export type { Privileged, Recorder, Recording } from './privileged.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** This route leaves a receipt with each answer. */
    ledger?: Privileged<FastifyRequest>;
  }
}

export const privilegedRoutes = (
  app: FastifyInstance,
  recording: Recording<FastifyRequest>,
  registered: () => void,
): void => {
  app.addHook('onRequest', (request, reply, next) => {
    const { ledger } = request.routeOptions.config;
    if (!ledger) return next();
    const operation = operationOf(request.headers);
    recordWhenAnswered({ request, response: reply.raw, operation }, ledger, recording);
    inOperation(operation, next);
  });
  registered();
};

// The routes are those of whoever registers this, not of a scope of its own (Fastify, "Plugins", skip-override).
Object.assign(privilegedRoutes, {
  [Symbol.for('skip-override')]: true,
  [Symbol.for('fastify.display-name')]: '@prov-ledger/sdk/fastify',
});
