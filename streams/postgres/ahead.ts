// Batches made ready while the one before is still on its way to disk: sealed behind facts that are not yet durable, on
// the assumption that they will be. Only for what needs no question to the database, pure inserts behind a head this
// process knows; everything else, and everything after a failure, goes the sure way (commit.ts).
import type { QueuedAppend } from './append-queue.ts';
import {
  type CommitState,
  doubt,
  type ReadyBatch,
  readyBatch,
  rememberHeads,
  settleBatch,
} from './commit.ts';
import { isConnectionFailure, withClient } from './connect.ts';
import { planBatch } from './plan.ts';

export interface Ahead {
  /** `undefined` when the requests must go the sure way. */
  readonly prepare: (items: readonly QueuedAppend[]) => Promise<ReadyBatch | undefined>;
  /** False when it is not known to be durable: its requests, and those of batches sealed behind it, go the sure way. */
  readonly store: (ready: ReadyBatch) => Promise<boolean>;
  /** Answers the requests of a batch that `store` found durable, in so many seconds. */
  readonly settle: (ready: ReadyBatch, seconds: number) => void;
  /** Forgets the heads of a batch that did not become durable, or was never sent. */
  readonly forget: (ready: ReadyBatch) => void;
}

export const committingAhead = (state: CommitState): Ahead => {
  const forget = ({ plan }: ReadyBatch): void => {
    for (const { head } of plan.tenants) state.known.delete(head.tenant);
  };
  return {
    forget,
    settle: (ready, seconds) => settleBatch(state, ready, seconds),
    prepare: async (items) => {
      const isPlain = ({ request }: QueuedAppend): boolean =>
        request.expect.kind === 'any' && (state.known.get(request.tenant)?.seq ?? 0) > 0;
      if (!items.every(isPlain)) return undefined;
      const plan = planBatch({
        items,
        requestOf: (item) => item.request,
        heads: state.known,
        revisions: new Map(),
        now: state.clock(),
      });
      if (plan.answered.length > 0 || plan.deferred.length > 0) return undefined;
      const batchNo = state.numbers.atHand();
      if (batchNo === undefined) return undefined;
      // A signer that fails is the sure way's to report.
      const ready = await readyBatch(state, plan, batchNo).catch(() => undefined);
      if (ready) rememberHeads(state, plan);
      return ready;
    },
    store: async (ready) => {
      let sent = false;
      try {
        await withClient(state.pool, (client) => {
          sent = true;
          return ready.send(client);
        });
        return true;
      } catch (error) {
        if (sent && isConnectionFailure(error)) doubt(ready.plan);
        // Whatever it was, the sure way meets it again and knows what to do about it.
        forget(ready);
        return false;
      }
    },
  };
};
