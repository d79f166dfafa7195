// `@prov-ledger/sdk/operation`: which operation the running code belongs to, so that receipts of one cause can be
// followed across services. Node and Bun (AsyncLocalStorage).
import { AsyncLocalStorage } from 'node:async_hooks';
import type { IncomingHttpHeaders } from 'node:http';
import { uuidMaker } from './uuid.ts';

export interface Operation {
  readonly opId: string;
  readonly opParentId: string | undefined;
  /** W3C Trace Context. */
  readonly traceparent: string | undefined;
}

const OP_ID = /^[!-~]{1,128}$/;
// W3C Trace Context section 3.2; the all-zero ids are invalid.
const TRACEPARENT = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

const running = new AsyncLocalStorage<Operation>();
const newOpId = uuidMaker();

/** The operation of the running code; `undefined` outside of every one. */
export const currentOperation = (): Operation | undefined => running.getStore();

/** Runs `work`, and all that it awaits, as part of an operation. */
export const inOperation = <T>(operation: Operation, work: () => T): T => running.run(operation, work);

/** The operation that a request names with X-Op-Id and X-Op-Parent-Id; a new one, when it names none. */
export const operationOf = (headers: IncomingHttpHeaders): Operation => ({
  opId: matching(headers['x-op-id'], OP_ID) ?? newOpId(),
  opParentId: matching(headers['x-op-parent-id'], OP_ID),
  traceparent: matching(headers['traceparent'], TRACEPARENT),
});

const matching = (header: string | string[] | undefined, form: RegExp): string | undefined =>
  typeof header === 'string' && form.test(header) ? header : undefined;

/** Headers for a request to another service: an operation of its own, caused by the running one. */
export const operationHeaders = (): { [name: string]: string } => {
  const operation = currentOperation();
  return {
    'x-op-id': newOpId(),
    ...(operation && { 'x-op-parent-id': operation.opId }),
    ...(operation?.traceparent !== undefined && { traceparent: operation.traceparent }),
  };
};
