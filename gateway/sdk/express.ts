// `@prov-ledger/sdk/express`: a middleware for each privileged route of Express 4 or 5.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { inOperation, operationOf } from './operation.ts';
import { type Privileged, type Recording, recordWhenAnswered } from './privileged.ts';

export { currentOperation, operationHeaders } from './operation.ts';
export type { Privileged, Recorder, Recording } from './privileged.ts';

type Handler<Request> = (request: Request, response: ServerResponse, next: (error?: unknown) => void) => void;

/**
 * Once for the application; what it returns makes the middleware of each privileged route:
 * `app.post('/export', privileged({ action: 'db.export' }), handler)`.
 */
export const privilegedRoutes =
  <Request extends IncomingMessage>(recording: Recording<Request>) =>
  (route: Privileged<Request>): Handler<Request> =>
  (request, response, next) => {
    const operation = operationOf(request.headers);
    recordWhenAnswered({ request, response, operation }, route, recording);
    inOperation(operation, next);
  };
