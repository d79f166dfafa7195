// What the middlewares share: one receipt per request to a privileged route, once the answer is out.
import type { ServerResponse } from 'node:http';
import type { Operation } from './operation.ts';
import type { ReceiptBody } from './types.ts';

/** What takes receipts: a client or a spool. */
export interface Recorder {
  record(receipt: ReceiptBody): Promise<unknown>;
}

/** A route that leaves a receipt. */
export interface Privileged<Request> {
  /** What is asked for, for example db.export. */
  readonly action: string;
  /** What the decision is made from, for the receipt. Leave out what must not be kept for ever. */
  readonly inputs?: (request: Request) => { [name: string]: unknown };
  /** Unless given: `deny` for 401 and 403, `allow` for every other answer. */
  readonly decision?: (request: Request, status: number) => 'allow' | 'deny';
  /** Further members of the receipt, for example policy_version and region. */
  readonly members?: (request: Request) => Partial<ReceiptBody>;
}

export interface Recording<Request> {
  /** A spool keeps receipts through outages and kills; a client alone loses them with the process. */
  readonly ledger: Recorder;
  /** Who asks; asked when the answer is out, so that an authentication made meanwhile is seen. */
  readonly actor: (request: Request) => string | undefined;
  /** Told of a receipt that was not taken. The answer to the request is out by then. */
  readonly onError: (error: unknown, receipt: ReceiptBody) => void;
}

export interface Asked<Request> {
  readonly request: Request;
  readonly response: ServerResponse;
  readonly operation: Operation;
}

/** Records when the response is closed: sent, or cut off by the caller. */
export const recordWhenAnswered = <Request>(
  { request, response, operation }: Asked<Request>,
  route: Privileged<Request>,
  { ledger, actor, onError }: Recording<Request>,
): void => {
  const at = new Date().toISOString();
  response.once('close', () => {
    const { action, inputs, decision = usual } = route;
    const { opId, opParentId, traceparent } = operation;
    let receipt: ReceiptBody = { action, actor: 'unknown', decision: 'deny' };
    try {
      const members = route.members?.(request) ?? {};
      const trace = traceparent === undefined ? {} : { traceparent };
      receipt = {
        created_at: at,
        op_id: opId,
        ...(opParentId !== undefined && { op_parent_id: opParentId }),
        ...(inputs && { inputs: inputs(request) }),
        ...members,
        action,
        actor: actor(request) ?? 'anonymous',
        decision: decision(request, response.statusCode),
        ext: { status: response.statusCode, ...trace, ...members.ext },
      };
      // Not awaited: nobody waits for the answer any more, and every failure has its listener.
      void ledger.record(receipt).catch((error: unknown) => onError(error, receipt));
    } catch (error) {
      onError(error, receipt);
    }
  });
};

const usual = (_request: unknown, status: number): 'allow' | 'deny' =>
  status === 401 || status === 403 ? 'deny' : 'allow';
